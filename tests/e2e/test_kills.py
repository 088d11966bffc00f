"""Collector and writer are killed in mid-stream, again and again: the audit finds nothing lost and nothing twice."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_pipeline import MODULES, Pipeline, assert_nothing_is_lost_or_twice

from generals_console.audit import AuditReport
from generals_runtime.settings import KafkaSettings


@pytest.fixture
def pipeline(tmp_path: Path, kafka_settings: KafkaSettings, topics_for_test: object) -> Iterator[Pipeline]:
    kafka = kafka_settings.model_copy(update={"topic_prefix": topics_for_test.prefix})  # type: ignore[attr-defined] # the fixture's class is in conftest
    made = Pipeline(tmp_path, kafka)
    with made.children:
        yield made


def run_with_kills(pipeline: Pipeline, kills: int, seed: int) -> AuditReport:
    """Play, kill collector or writer at random moments, start it again, drain; the verdict."""
    dice = random.Random(seed)
    for name in MODULES:
        pipeline.start(name)
    while not pipeline.lag():
        pipeline.children.check()
        time.sleep(0.25)
    for number in range(kills):
        time.sleep(dice.uniform(0.3, 2.5))
        victim = ("collector", "writer")[number % 2]
        pipeline.kill(victim)
        pipeline.start(victim)
    pipeline.children.stop("engine")
    pipeline.drain()
    return pipeline.audit()


@pytest.mark.timeout(170)
def test_killing_collector_and_writer_loses_and_doubles_nothing(pipeline: Pipeline, seed: int) -> None:
    report = run_with_kills(pipeline, kills=4, seed=seed)
    assert_nothing_is_lost_or_twice(report)
    assert report.experiences_emitted > 5_000


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_forty_kills_lose_and_double_nothing(pipeline: Pipeline, seed: int) -> None:
    assert_nothing_is_lost_or_twice(run_with_kills(pipeline, kills=40, seed=seed))
