"""Fixtures of all tests: a real Kafka, fresh topics, a real S3 server, and a seed that is told when a test fails.

Where Kafka comes from, the first that applies: GENERALS_KAFKA__BOOTSTRAP_SERVERS, the embedded jars, testcontainers.
With none of them the tests that need it fail and say what to install: a skipped proof proves nothing.
"""

from __future__ import annotations

import os
import secrets
import shutil
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from generals_runtime.broker import BrokerError, BrokerUnavailable, EmbeddedBroker
from generals_runtime.kafka import ensure_topics, make_admin
from generals_runtime.settings import KafkaSettings
from generals_schemas.topics import TOPICS, Topics

SERVERS_VARIABLE = "GENERALS_KAFKA__BOOTSTRAP_SERVERS"
SEED_VARIABLE = "GENERALS_TEST_SEED"
FAST_START = ("-XX:TieredStopAtLevel=1",)
IMAGE = "apache/kafka:4.3.0"

_seeds = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "partitions(n): partitions of topics_for_test's transitions and experiences")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).parts[0] in ("integration", "e2e"):
            item.add_marker(pytest.mark.integration)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    drawn = item.stash.get(_seeds, None)
    if report.failed and drawn is not None:
        report.sections.append(("seed", f"{SEED_VARIABLE}={drawn} repeats this"))
    return report


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A fresh seed each run; GENERALS_TEST_SEED fixes it. A failing test's report names the one it had."""
    given = os.environ.get(SEED_VARIABLE)
    drawn = int(given) if given else secrets.randbits(32)
    request.node.stash[_seeds] = drawn
    return drawn


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of a real Kafka that lives as long as the session. Take topics of your own from it."""
    given = os.environ.get(SERVERS_VARIABLE)
    if given:
        yield given
        return
    broker = EmbeddedBroker(tmp_path_factory.mktemp("kafka"), jvm_arguments=FAST_START)
    try:
        broker.start()
    except BrokerUnavailable as missing:
        yield from _kafka_in_a_container(str(missing))
        return
    except BrokerError as error:
        pytest.fail(str(error), pytrace=False)
    yield broker.bootstrap_servers
    broker.kill()  # nobody wants its data any more
    shutil.rmtree(broker.data_dir / "log", ignore_errors=True)


def _kafka_in_a_container(missing: str) -> Iterator[str]:
    try:
        from testcontainers.kafka import KafkaContainer

        container = KafkaContainer(IMAGE).with_kraft()
        container.start()
    except Exception as error:
        pytest.fail(
            f"No Kafka for the tests. {missing} Or start Docker (testcontainers: {error}), "
            f"or set {SERVERS_VARIABLE} to a broker's host:port.",
            pytrace=False,
        )
    yield container.get_bootstrap_server()
    container.stop()


@pytest.fixture
def kafka_settings(kafka: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=kafka)


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """A running broker of the test's own, to be killed and restarted at will."""
    try:
        broker = EmbeddedBroker(tmp_path / "kafka", jvm_arguments=FAST_START).start()
    except BrokerError as error:
        pytest.fail(str(error), pytrace=False)
    yield broker
    broker.kill()


@dataclass(frozen=True)
class TopicsForTest:
    """Five existing topics nobody else uses. A service gets them by `kafka.topic_prefix` = `prefix`."""

    prefix: str
    specs: Topics

    @property
    def partitions(self) -> int:
        return self.specs.transitions.partitions

    @property
    def transitions(self) -> str:
        return self.specs.transitions.name

    @property
    def experiences(self) -> str:
        return self.specs.experiences.name

    @property
    def games(self) -> str:
        return self.specs.games.name

    @property
    def policies(self) -> str:
        return self.specs.policies.name

    @property
    def dead_letter(self) -> str:
        return self.specs.dead_letter.name


@pytest.fixture
def topics_for_test(request: pytest.FixtureRequest, kafka_settings: KafkaSettings) -> Iterator[TopicsForTest]:
    """Fresh topics; `@pytest.mark.partitions(n)` says how many partitions, 2 where not said."""
    marker = request.node.get_closest_marker("partitions")
    partitions = int(marker.args[0]) if marker else 2
    prefix = f"t{uuid.uuid4().hex[:12]}."
    specs = TOPICS.with_prefix(prefix).with_partitions(partitions)
    specs = replace(specs, games=replace(specs.games, partitions=1))
    ensure_topics(kafka_settings, specs)
    yield TopicsForTest(prefix, specs)
    _delete(kafka_settings, [spec.name for spec in specs])


@pytest.fixture
def make_topic(kafka_settings: KafkaSettings) -> Iterator[Callable[..., str]]:
    """`make_topic(partitions=1, config=None)` makes one more fresh topic and returns its name."""
    made: list[str] = []

    def make(partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        spec = replace(
            TOPICS.games, name=f"t{uuid.uuid4().hex[:12]}.made", partitions=partitions, config=dict(config or {})
        )
        ensure_topics(kafka_settings, [spec])
        made.append(spec.name)
        return spec.name

    yield make
    if made:
        _delete(kafka_settings, made)


def _delete(settings: KafkaSettings, names: list[str]) -> None:
    for future in make_admin(settings).delete_topics(names, operation_timeout=10).values():
        future.result(10)
