"""On three brokers, as in production: what one broker cannot show."""

import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from running_pipeline import MODULES, Pipeline, assert_nothing_is_lost_or_twice

from generals_runtime.broker import EmbeddedBroker
from generals_runtime.cluster import bootstrap_servers, embedded_cluster
from generals_runtime.kafka import ensure_topics
from generals_runtime.settings import KafkaSettings

PARTITIONS = 6
TRICKLE_S = 30.0
AWAY_S = 6.0


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[list[EmbeddedBroker]]:
    with embedded_cluster(tmp_path / "kafka", 3) as running:
        yield running


@pytest.mark.timeout(400)
def test_a_trickle_is_borne_and_each_broker_may_be_killed(
    brokers: list[EmbeddedBroker], tmp_path: Path, seed: int
) -> None:
    """A trickle, because an idle broker answers late: its answer waits behind a fetch that waits for records."""
    kafka = KafkaSettings(bootstrap_servers=bootstrap_servers(brokers), replication_factor=3)
    topics = kafka.topics().with_partitions(PARTITIONS)
    ensure_topics(kafka, replace(topics, games=replace(topics.games, partitions=1)))
    pipeline = Pipeline(tmp_path, kafka, games=16, ticks_per_second=100)
    with pipeline.children:
        for name in MODULES:
            pipeline.start(name)
        watch(pipeline, TRICKLE_S)
        for broker in random.Random(seed).sample(brokers, len(brokers)):
            broker.kill()
            watch(pipeline, AWAY_S)
            broker.start()
            watch(pipeline, AWAY_S)
        pipeline.children.stop("engine")
        pipeline.drain()
        report = pipeline.audit()
    assert_nothing_is_lost_or_twice(report)
    assert report.experiences_emitted > 1_000


def watch(pipeline: Pipeline, seconds: float) -> None:
    """Nobody ends meanwhile."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pipeline.children.check()
        time.sleep(0.25)
