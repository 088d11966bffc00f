"""A range of the log is read to its end, whatever a broker that has just come to lead the partition says of it."""

from typing import Any

import pytest
from confluent_kafka import KafkaError, Message, TopicPartition

from generals_runtime.settings import KafkaSettings
from generals_writer import kafka_log
from generals_writer.kafka_log import KafkaLog
from generals_writer.layout import LogPartition

LOG = LogPartition("experiences", 2)


class NewLeader:
    """A consumer that comes to what the new leader gives out for its end before it comes to records that are there."""

    def __init__(self, *batches: list[Message]) -> None:
        self.batches = list(batches)

    def get_watermark_offsets(self, _: TopicPartition, timeout: float) -> tuple[int, int]:
        return 0, 3

    def assign(self, _: list[TopicPartition]) -> None: ...

    def consume(self, _: int, __: float) -> list[Message]:
        return self.batches.pop(0)

    def close(self) -> None: ...


def record(offset: int) -> Message:
    return Message(topic=LOG.topic, partition=LOG.number, offset=offset, value=b"", timestamp=(1, 0))


def end_at(offset: int) -> Message:
    eof = KafkaError(KafkaError._PARTITION_EOF)
    return Message(topic=LOG.topic, partition=LOG.number, offset=offset, error=eof)


def read_from(consumer: NewLeader, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    monkeypatch.setattr(kafka_log, "make_consumer", lambda *_, **__: consumer)
    return [one.offset for one in KafkaLog(KafkaSettings()).read(LOG, 0, 3)]


def test_an_end_that_comes_too_early_is_read_past(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer: Any = NewLeader([record(0), end_at(1)], [record(1), record(2)])
    assert read_from(consumer, monkeypatch) == [0, 1, 2]


def test_a_range_that_ends_with_marks_of_transactions_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_from(NewLeader([record(0), record(1), end_at(3)]), monkeypatch) == [0, 1]
