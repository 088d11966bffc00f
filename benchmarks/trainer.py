"""P8: updates a second of the trainer fed by Kafka, against the same trainer fed from memory.

Default network and batch on 12x12, the default samples per insert. Both runs execute the same service; in one its
records come from a real broker (read, checked, decompressed in the feed's thread), in the other from a list of decoded
batches. They take turns, so that a busy machine slows both alike.

    python benchmarks/trainer.py [--seconds 20] [--rounds 3]
"""

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
import uuid
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
from generals_runtime.kafka import OrderedProducer, ensure_topics
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import encode_batch
from generals_schemas.records import ExperienceBatch
from generals_trainer.settings import ReplaySettings, TrainerSettings
from generals_trainer.trainer import Trainer

RECORDS = 4000
SIDE = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is for the JSON lines
    batches = _unbroken(list(itertools.islice(play(side=SIDE), RECORDS)))
    rates: dict[str, list[float]] = {"kafka": [], "memory": []}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kafka = stack.enter_context(_broker(folder))
        _produce(kafka, batches)
        for turn in range(options.rounds):
            for name in rates:
                settings = TrainerSettings(
                    kafka=kafka,
                    group=uuid.uuid4().hex,
                    run_dir=folder / f"{name}{turn}",
                    replay=ReplaySettings(warmup=20_000),
                )
                trainer = Trainer(settings) if name == "kafka" else _FromMemory(settings, batches)
                rates[name].append(_updates_per_s(trainer, options.seconds))
    kafka_rate, memory_rate = statistics.median(rates["kafka"]), statistics.median(rates["memory"])
    print(
        json.dumps(
            {
                "id": "P8",
                "name": "trainer_updates_per_s_fed_by_kafka",
                "value": round(kafka_rate, 3),
                "unit": "1/s",
                "peer": "fed from memory",
                "peer_value": round(memory_rate, 3),
                "ratio": round(kafka_rate / memory_rate, 4),
            }
        )
    )


def _updates_per_s(trainer: Trainer, seconds: float) -> float:
    """Over a time that begins with the first update behind the warm-up, and ends with one."""
    trainer.start()
    while trainer.steps < 5:
        trainer.run_once(0.5)
    first, begun = trainer.steps, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        trainer.run_once(0.5)
    rate = (trainer.steps - first) / (time.perf_counter() - begun)
    if trainer.limiter.error > 0.01 and trainer.limiter.achieved > trainer.limiter.ratio:
        raise SystemExit(f"the stream did not keep up: {trainer.limiter}")
    trainer.stop()
    return rate


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
    with OrderedProducer(kafka) as producer:
        for batch in batches:
            producer.send(kafka.topics().experiences.name, 0, batch.game_id.encode(), encode_batch(batch))
        producer.flush()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
