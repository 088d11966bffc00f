"""The experiences topic as a log that can be read by offsets, apart from any consumer group."""

import time
from collections.abc import Sequence

import confluent_kafka
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from generals_client.client_errors import passes
from generals_runtime.kafka import KafkaUnavailable, log_bounds, make_consumer
from generals_runtime.settings import KafkaSettings
from generals_writer.build import LogRecord
from generals_writer.errors import ClaimConflict, LogExpired
from generals_writer.layout import LogPartition

GROUP = "generals-archive-reader"
"""Named because librdkafka wants a name; nothing is ever committed to it."""
SILENCE_S = 60.0
FETCH_RECORDS = 500


class KafkaLog:
    """Reads ranges of the log with a consumer made for each."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka

    def first_offset(self, log: LogPartition) -> int:
        return self.bounds(log)[0]

    def bounds(self, log: LogPartition) -> tuple[int, int]:
        """The oldest offset that the log holds, and the one that the next record will have."""
        consumer = self._consumer()
        try:
            return log_bounds(consumer, log.topic, log.number)
        finally:
            consumer.close()

    def read(self, log: LogPartition, first: int, end: int) -> Sequence[LogRecord]:
        """All records in [first, end).

        Raises:
            LogExpired: the log begins after `first`.
            ClaimConflict: the log ends before `end`.
            KafkaUnavailable: nothing came for a minute.
        """
        if end <= first:
            return []
        consumer = self._consumer()
        try:
            low, high = bounds(consumer, log, reached=end)
            check_within(log, first, low, high)
            check_within(log, end, low, high)
            consumer.assign([TopicPartition(log.topic, log.number, first)])
            return _read(consumer, log, end)
        finally:
            consumer.close()

    def _consumer(self) -> Consumer:
        return make_consumer(
            self._kafka, group_id=GROUP, client_id="generals-archive-reader", overrides={"enable.partition.eof": True}
        )


def bounds(consumer: Consumer, log: LogPartition, *, reached: int) -> tuple[int, int]:
    """As KafkaLog.bounds, with a consumer at hand. reached: a log that ends before this offset is asked for again."""
    return log_bounds(consumer, log.topic, log.number, reached=reached)


def check_within(log: LogPartition, offset: int, low: int, high: int) -> None:
    """Raises LogExpired or ClaimConflict if a position is outside what the log holds."""
    if offset < low:
        raise LogExpired(
            f"{log.topic} partition {log.number} begins at offset {low}, but the archive still needs what is from "
            f"{offset} on: {low - offset} offsets were deleted before they were archived. Keep records longer "
            "(retention.ms); `on_expired: skip` makes the writer go on and write the gap down"
        )
    if offset > high:
        raise ClaimConflict(
            f"{log.topic} partition {log.number} ends at offset {high}, but the archive has claimed up to {offset}: "
            "the log was cut or is another one. Give the writer an empty destination"
        )


def to_record(message: Message) -> LogRecord:
    """A message as the archive sees it."""
    kind, timestamp = message.timestamp()
    known = kind != confluent_kafka.TIMESTAMP_NOT_AVAILABLE
    return LogRecord(message.offset() or 0, timestamp if known else 0, message.value() or b"")


def _read(consumer: Consumer, log: LogPartition, end: int) -> list[LogRecord]:
    records: list[LogRecord] = []
    heard = time.monotonic()
    while True:
        for message in consumer.consume(FETCH_RECORDS, 0.5):
            error = message.error()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    if (message.offset() or 0) >= end:  # a new leader's end may be behind the old one's for a moment
                        return records
                elif not passes(error):
                    raise KafkaUnavailable(f"reading {log.topic} partition {log.number} failed: {error.str()}")
            elif (message.offset() or 0) >= end:
                return records
            else:
                heard = time.monotonic()
                records.append(to_record(message))
                if records[-1].offset == end - 1:
                    return records
        if time.monotonic() - heard > SILENCE_S:
            raise KafkaUnavailable(
                f"{log.topic} partition {log.number}: nothing came for {SILENCE_S:g} s, with "
                f"{len(records)} records read towards offset {end}"
            )
