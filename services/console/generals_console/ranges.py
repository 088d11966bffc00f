"""Reading a range of a topic outside any group."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from generals_runtime.kafka import KafkaUnavailable, log_bounds, partitions_of

STALLED_S = 60.0
FETCH_RECORDS = 1000
TELL_THE_END = {"enable.partition.eof": True}
"""For consumers of transitions: transactions of foreign producers leave marks there, at the end too, and no records."""


@dataclass(frozen=True, slots=True)
class Range:
    """The offsets `first … end - 1` of a partition."""

    first: int
    end: int

    def __len__(self) -> int:
        return max(0, self.end - self.first)


def whole_log(consumer: Consumer, topic: str) -> dict[int, Range]:
    """What each partition of a topic holds now.

    Raises:
        TopicMissing, KafkaUnavailable.
    """
    return {number: Range(*log_bounds(consumer, topic, number)) for number in partitions_of(consumer, topic)}


def read_ranges(consumer: Consumer, topic: str, ranges: Mapping[int, Range]) -> Iterator[Message]:
    """Every record of the ranges, each partition in order. By `TELL_THE_END` a consumer says where a log ends.

    Raises:
        KafkaUnavailable: nothing came for a minute though records are left, or the broker refused.
    """
    left = {number: span for number, span in ranges.items() if len(span)}
    consumer.assign([TopicPartition(topic, number, span.first) for number, span in left.items()])
    waited, remaining = 0.0, sum(map(len, left.values()))
    while left:
        # No more than there are: a consumer waits out its time for those that it does not find.
        messages = consumer.consume(max(1, min(FETCH_RECORDS, remaining)), 1.0)
        waited = 0.0 if messages else waited + 1.0
        if waited > STALLED_S:
            raise KafkaUnavailable(f"{topic}: no record for {STALLED_S:.0f} s though {len(left)} partitions have some")
        for message in messages:
            error = message.error()
            number, offset = message.partition() or 0, message.offset() or 0
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise KafkaUnavailable(f"{topic}: {error.str()}")
            span = left.get(number)
            if span is None:
                continue
            if offset + (error is None) >= span.end:
                del left[number]
            if error is None and offset < span.end:
                remaining -= 1
                yield message
    consumer.unassign()
