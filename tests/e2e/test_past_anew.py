"""The past with another reward: made again from the raw topic, learnt from, archived."""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from numpy.random import default_rng
from prometheus_client import CollectorRegistry
from random_chunks import random_chunk

from generals_client import ExperienceStream
from generals_collector.retensorise import Job, run
from generals_collector.tensorise import recipe
from generals_runtime.kafka import OrderedProducer
from generals_runtime.metrics import Metrics
from generals_runtime.objects import ObjectStore, open_store
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import encode_chunk
from generals_trainer.checkpoint import CheckpointError
from generals_trainer.settings import LearnerSettings, ReplaySettings, TrainerSettings
from generals_trainer.trainer import Trainer
from generals_writer.archive import read
from generals_writer.destination import DestinationWriter
from generals_writer.settings import Destination, Rotation, WriterSettings

HOW = recipe(reward="outcome+potential", encoding="nine_planes")
CHUNKS, TICKS, WITHIN_S = 40, 8, 60.0


def until(done: Callable[[], bool], work: Callable[[float], None]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not done():
        assert time.monotonic() < deadline
        work(0.1)


def rows_of(store: ObjectStore, topic: str) -> set[tuple[str, int]]:
    """How many rows of which rewards the archive has."""
    return set(Counter(name for batch in read(store, topic) for name in batch.reward_name).items())


def test_what_was_made_anew_is_learnt_from_and_archived(
    kafka_settings: KafkaSettings, topics_for_test: Any, tmp_path: Path, seed: int
) -> None:
    rng, target = default_rng(seed), f"{topics_for_test.prefix}shaped"
    with OrderedProducer(kafka_settings) as producer:
        for number in range(CHUNKS):
            chunk = random_chunk(rng, players=2, sides=(6, 5), ticks=TICKS)
            producer.send(topics_for_test.transitions, number % 2, b"game", encode_chunk(chunk))
        producer.flush()
    run(Job(kafka_settings, topics_for_test.transitions, target, HOW))

    kafka = kafka_settings.model_copy(update={"topic_prefix": topics_for_test.prefix})
    archive = tmp_path / "archive"
    store, metrics = open_store(archive), Metrics(CollectorRegistry())
    writer = DestinationWriter(
        WriterSettings(kafka=kafka, topic=target, group_prefix=target, rotation=Rotation(idle_seconds=0.2)),
        Destination(url=str(archive)),
        observed=metrics.writer,
        runtime=metrics.runtime,
    )
    learning = TrainerSettings(
        kafka=kafka,
        topic=target,
        group=f"{target}-trainer",
        run_dir=tmp_path / "run",
        learner=LearnerSettings(batch_size=16, network_width=4, network_blocks=1),
        replay=ReplaySettings(capacity=5000, warmup=100, n_step=3),
    )
    trainer = Trainer(learning)
    with ExperienceStream(bootstrap_servers=kafka.bootstrap_servers, topic=target, group=f"{target}-count") as stream:
        made = sum(len(batch) for batch in stream)
    with ExitStack() as stack:
        for service in (writer, trainer):
            service.start()
            stack.callback(service.stop)
        until(lambda: trainer.limiter.inserted == made and trainer.steps > 0, trainer.run_once)
        until(lambda: rows_of(store, target) == {("outcome+potential", made)}, writer.run_once)

    other = Trainer(learning.model_copy(update={"topic": None}))
    with pytest.raises(CheckpointError, match=rf"has read {target}, and {topics_for_test.experiences} is to be read"):
        other.start()
