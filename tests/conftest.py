"""Fixtures of all tests: a real Kafka, fresh topics, a real S3 server, and a seed that is told when a test fails.

Where S3 comes from: GENERALS_TEST_S3_ENDPOINT (with AWS_* credentials), versitygw on PATH, else moto's server.
Where Kafka comes from, the first that applies: GENERALS_KAFKA__BOOTSTRAP_SERVERS, the embedded jars, testcontainers.
With none of them the tests that need it fail and say what to install: a skipped proof proves nothing.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import boto3
import pytest

from generals_runtime.broker import BrokerError, BrokerUnavailable, EmbeddedBroker, free_port
from generals_runtime.kafka import ensure_topics, make_admin
from generals_runtime.settings import KafkaSettings
from generals_schemas.topics import TOPICS, Topics

SERVERS_VARIABLE = "GENERALS_KAFKA__BOOTSTRAP_SERVERS"
S3_VARIABLE = "GENERALS_TEST_S3_ENDPOINT"
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
    # The long files first, so that no process is left with one of them at the end.
    items.sort(key=lambda item: item.get_closest_marker("integration") is None)


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
    admin = make_admin(settings)  # held: a client that is collected takes its requests with it
    for future in admin.delete_topics(names, operation_timeout=10).values():
        future.result(10)


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real S3 server's URL."""
    given = os.environ.get(S3_VARIABLE)
    if given:
        yield given
        return
    folder, address = tmp_path_factory.mktemp("s3"), f"127.0.0.1:{free_port()}"
    gateway = shutil.which("versitygw")
    if gateway is None:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", address.split(":")[1]]
    else:
        (folder / "objects").mkdir()
        command = [gateway, "--quiet", "--port", address, "posix", str(folder / "objects")]
    environment = {**os.environ, "ROOT_ACCESS_KEY": "test", "ROOT_SECRET_KEY": "test-secret"}
    with (
        (folder / "server.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=folder) as server,
    ):
        try:
            _wait_for_http(f"http://{address}/", server, folder / "server.log")
            yield f"http://{address}"
        finally:
            server.kill()


def _wait_for_http(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=1).close()  # noqa: S310 - our own http URL
        except urllib.error.HTTPError as answer:
            answer.close()  # it refused us: it is up
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"the S3 server did not come up: {log.read_text()[-500:]}", pytrace=False)


@pytest.fixture
def s3(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a fresh bucket for `open_store`; AWS_* variables are set for the test."""
    if not os.environ.get(S3_VARIABLE):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test-secret")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    bucket = f"t{uuid.uuid4().hex[:16]}"
    region = os.environ.get("AWS_REGION", "us-east-1")
    boto3.client("s3", endpoint_url=s3_endpoint, region_name=region).create_bucket(Bucket=bucket)
    return f"s3://{bucket}/archive?endpoint={s3_endpoint}"
