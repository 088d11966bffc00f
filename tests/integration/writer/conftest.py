"""A topic full of made-up play, and writers as processes."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from numpy.random import default_rng
from synthetic_play import play
from writer_process import WriterProcess

from generals_runtime.kafka import OrderedProducer
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import encode_batch
from generals_schemas.records import ExperienceBatch

BASE_MS = 1_750_000_000_000


@pytest.fixture
def produce(kafka_settings: KafkaSettings) -> Iterator[Callable[..., None]]:
    """`produce(topic, batches, hour_every=n)` sends batches in order; every n records the clock is an hour later."""
    producer = OrderedProducer(kafka_settings)

    def send(topic: str, batches: Sequence[ExperienceBatch], hour_every: int = 100) -> None:
        for number, batch in enumerate(batches):
            producer.send(
                topic,
                batch.source.partition,
                batch.game_id.encode(),
                encode_batch(batch),
                timestamp_ms=BASE_MS + number * 3_600_000 // hour_every,
            )
        producer.flush()

    yield send
    producer.close()


@pytest.fixture
def made_up_play(seed: int) -> Callable[..., list[ExperienceBatch]]:
    """`made_up_play(partition, games, chunks, ticks)`."""

    def make(partition: int = 0, games: int = 6, chunks: int = 6, ticks: int = 16) -> list[ExperienceBatch]:
        rng = default_rng([seed, partition])
        return list(play(rng, games=games, chunks=chunks, ticks=ticks, side=(8, 12), partition=partition))

    return make


@pytest.fixture
def writer_process(kafka: str, tmp_path: Path) -> Iterator[Callable[..., WriterProcess]]:
    """`writer_process(prefix, destinations, **rotation)` makes a process, not yet started; killed at the end."""
    made: list[WriterProcess] = []

    def make(prefix: str, destinations: Sequence[dict[str, Any]], **rotation: Any) -> WriterProcess:
        log = tmp_path / f"writer-{len(made)}.log"
        made.append(WriterProcess(log, servers=kafka, prefix=prefix, destinations=destinations, rotation=rotation))
        return made[-1]

    yield make
    for process in made:
        process.kill()
