"""Where a job begins in time, whatever a broker that is not ready says first."""

from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition

from generals_collector.retensorise import Job, _starts
from generals_collector.tensorise import recipe
from generals_runtime import kafka_questions
from generals_runtime.settings import KafkaSettings

LATER_THAN_ALL, ANY = -1, -1001


class Consumer:
    """Answers `offsets_for_times` with each of these in turn: (offset, error) by partition. Logs hold 10 … 50."""

    def __init__(self, *answers: list[tuple[int, int | None]]) -> None:
        self._answers: Iterator[list[tuple[int, int | None]]] = iter(answers)

    def get_watermark_offsets(self, partition: TopicPartition, timeout: float) -> tuple[int, int]:
        return 10, 50

    def offsets_for_times(self, wanted: list[TopicPartition], timeout: float) -> list[Any]:
        return [
            SimpleNamespace(partition=one.partition, offset=offset, error=None if code is None else KafkaError(code))
            for one, (offset, code) in zip(wanted, next(self._answers), strict=True)
        ]


def test_a_partition_that_a_time_cannot_be_found_in_yet_is_asked_for_again_and_not_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kafka_questions, "_AGAIN_S", 0.0)
    job = Job(KafkaSettings(), "source", "target", recipe(), datetime(2026, 1, 1, tzinfo=UTC))
    consumer: Any = Consumer(
        [(20, None), (ANY, KafkaError.NOT_LEADER_FOR_PARTITION), (LATER_THAN_ALL, None)],
        [(20, None), (30, None), (LATER_THAN_ALL, None)],
    )
    assert _starts(consumer, job, [0, 1, 2]) == {0: 20, 1: 30, 2: 50}
