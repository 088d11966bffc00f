"""P8: updates a second of the trainer fed by Kafka, against the same trainer fed from memory.

Default network, batch and samples per insert, on 12x12. Two trainers, both the same service; the records of one come
from a real broker (read, checked, decompressed in the feed's thread), the other's from a list of decoded batches.
They take turns of a second, so that a machine that is now faster, now slower, is so for both; and the clock runs when
each update needs its share of new experiences, so that the stream is in use all the time.

    python benchmarks/trainer.py [--seconds 60]
"""

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog
import torch
from real_play import play

from generals_client.reader import Delivered, ReaderStats
from generals_runtime.broker import EmbeddedBroker
from generals_runtime.kafka import BATCH_PRODUCER, OrderedProducer, ensure_topics
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import encode_batch
from generals_schemas.records import ExperienceBatch
from generals_trainer.settings import TrainerSettings
from generals_trainer.trainer import Trainer

RECORDS = 4000
SIDE = 12
TURN_S = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each trainer, in turns of one")
    options = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is for the JSON lines
    batches = _unbroken(list(itertools.islice(play(side=SIDE), RECORDS)))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kafka = stack.enter_context(_broker(folder))
        _produce(kafka, batches)
        fed = _Measured(Trainer(TrainerSettings(kafka=kafka, run_dir=folder / "kafka")))
        memory = _Measured(_FromMemory(TrainerSettings(kafka=kafka, run_dir=folder / "memory"), batches))
        while fed.seconds < options.seconds:
            for trainer in (fed, memory):
                trainer.turn()
        fed.stop()
        memory.stop()
    print(
        json.dumps(
            {
                "id": "P8",
                "name": "trainer_updates_per_s_fed_by_kafka",
                "value": round(fed.rate, 3),
                "unit": "1/s",
                "peer": "fed from memory",
                "peer_value": round(memory.rate, 3),
                "ratio": round(fed.rate / memory.rate, 4),
            }
        )
    )


class _Measured:
    """A trainer that has learnt from all but a batch of what it inserted, and runs a turn at a time."""

    def __init__(self, trainer: Trainer) -> None:
        self.seconds, self._updates = 0.0, 0
        self._trainer = trainer
        trainer.start()
        while trainer.limiter.may_sample(trainer.settings.learner.batch_size) or not trainer.steps:
            trainer.run_once(TURN_S)

    @property
    def rate(self) -> float:
        """Updates a second."""
        return self._updates / self.seconds

    def turn(self) -> None:
        first, begun = self._trainer.steps, time.perf_counter()
        self._trainer.run_once(TURN_S)
        self.seconds += time.perf_counter() - begun
        self._updates += self._trainer.steps - first

    def stop(self) -> None:
        """Raises SystemExit: it has not had the experiences that it was to have."""
        limiter = self._trainer.limiter
        if limiter.error > 0.01:
            raise SystemExit(f"the stream did not keep up: {limiter}")
        self._trainer.stop()


class _FromMemory(Trainer):
    """The same service, its records from a list."""

    def __init__(self, settings: TrainerSettings, batches: list[ExperienceBatch]) -> None:
        super().__init__(settings)
        self._batches = batches

    def _open_feed(self) -> Any:
        return _Memory(self._batches)


class _Memory:
    assignment = (0,)
    stats = ReaderStats()

    def __init__(self, batches: list[ExperienceBatch]) -> None:
        self._records = (Delivered(batch, 0, offset, 0, 0) for offset, batch in enumerate(batches))

    def take(self, timeout_s: float) -> Delivered | None:
        return next(self._records, None)

    def lag(self) -> dict[int, int]:
        return {0: 0}

    def commit(self, positions: Any) -> None: ...

    def close(self) -> None: ...


def _unbroken(batches: list[ExperienceBatch]) -> list[ExperienceBatch]:
    return [
        replace(batch, source=replace(batch.source, offset=offset, index=0, count=1))
        for offset, batch in enumerate(batches)
    ]


@contextmanager
def _broker(folder: Path) -> Iterator[KafkaSettings]:
    broker = EmbeddedBroker(folder / "kafka").start()
    try:
        yield KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
    finally:
        broker.stop()


def _produce(kafka: KafkaSettings, batches: list[ExperienceBatch]) -> None:
    ensure_topics(kafka, kafka.topics().with_partitions(1))
    with OrderedProducer(kafka, overrides=BATCH_PRODUCER) as producer:
        for batch in batches:
            producer.send(kafka.topics().experiences.name, 0, batch.game_id.encode(), encode_batch(batch))
        producer.flush()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
