"""What a reader asks the broker: where partitions begin and end, and what the group committed.

Questions are asked again for a while: right after a broker came back it knows neither its groups nor its leaders.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import TypeVar

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from generals_client.client_errors import PASSING, UNKNOWN
from generals_client.errors import PositionLost, StreamError, TopicMissing
from generals_client.positions import Position
from generals_client.starts import Start

log = logging.getLogger(__name__)

ANSWER_S = 15.0
PATIENCE_S = 60.0
AGAIN_S = 0.2
OLD_END_S = 3.0
"""A broker that stood still learns within about a second, when it goes on, that it leads a partition no more."""
R = TypeVar("R")


class BrokerLog:
    """One topic as a consumer of a group sees it. `partitions` are those there were when it was made.

    start_wins: whether `start` is an offset or a time, which count more than what the group committed.
    """

    def __init__(self, consumer: Consumer, topic: str, start: Start) -> None:
        self._consumer, self._topic, self._start = consumer, topic, start
        self.start_wins = isinstance(start, int | datetime)
        try:
            self.partitions = _patiently(self._all_partitions)
        except KafkaException as error:
            raise StreamError(f"the partitions of {topic} are not known: {error.args[0].str()}") from error

    def _all_partitions(self) -> frozenset[int]:
        found = self._consumer.list_topics(self._topic, timeout=ANSWER_S).topics[self._topic]
        if found.error is None:
            return frozenset(found.partitions)
        if found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise TopicMissing(f"topic {self._topic}: {found.error.str()}; `generals topics create` makes it")
        raise KafkaException(found.error)

    def committed(self, numbers: list[int]) -> dict[int, Position]:
        """The group's positions, of those partitions that have one."""
        asked = [TopicPartition(self._topic, number) for number in numbers]
        found = _patiently(lambda: _checked(self._consumer.committed(asked, timeout=ANSWER_S))) if asked else []
        return {
            tp.partition: Position.from_metadata(self._topic, tp.partition, tp.offset, tp.metadata)
            for tp in found
            if tp.offset >= 0
        }

    def begins(self, numbers: list[int]) -> dict[int, int]:
        """Where `start` says that partitions begin: offsets, or OFFSET_BEGINNING and OFFSET_END.

        A partition that the topic did not have when the reader was made begins at its beginning: all its records are
        later than "latest".
        """
        if not numbers:
            return {}
        old = [number for number in numbers if number in self.partitions]
        begins = dict.fromkeys(numbers, OFFSET_BEGINNING)
        if isinstance(self._start, datetime):
            stamp = int(self._start.timestamp() * 1000)
            asked = [TopicPartition(self._topic, number, stamp) for number in numbers]
            found = self._of_leaders(lambda: _checked(self._consumer.offsets_for_times(asked, timeout=ANSWER_S)))
            begins |= {tp.partition: tp.offset if tp.offset >= 0 else OFFSET_END for tp in found}
        elif isinstance(self._start, int):
            begins |= dict.fromkeys(old, self._start)
        elif self._start == "latest":
            begins |= dict.fromkeys(old, OFFSET_END)
            if old and self.committed(sorted(self.partitions)):
                log.warning(
                    "the group has committed other partitions, but none of these: they begin at their end, and what "
                    "came while nobody of the group was reading is passed over",
                    extra={"topic": self._topic, "partitions": old},
                )
        return begins

    def _of_leaders(self, ask: Callable[[], R | None]) -> R:
        """What the leaders of partitions answer, patiently. `ask` says None to an answer that it doubts."""

        def asked() -> R | None:
            answer = None
            try:
                answer = ask()
            finally:
                if answer is None:
                    # Otherwise librdkafka may ask the broker that led the partition before, again and again.
                    with suppress(KafkaException):  # the first error says more
                        self._consumer.list_topics(self._topic, timeout=ANSWER_S)
            return answer

        return _patiently(asked)

    def _bounds(self, number: int, reached: int) -> tuple[int, int]:
        """The first offset and the end. An end before `reached` is believed only if it stays for some seconds: a broker
        that led the partition before may have answered."""
        spot, believed_at = TopicPartition(self._topic, number), time.monotonic() + OLD_END_S

        def ask() -> tuple[int, int] | None:
            low, high = self._consumer.get_watermark_offsets(spot, timeout=ANSWER_S)
            return (low, high) if high >= reached or time.monotonic() >= believed_at else None

        return self._of_leaders(ask)

    def within(self, position: Position) -> tuple[Position, int]:
        """The position as a real offset, and the partition's end.

        Raises:
            PositionLost: the log does not hold the offset.
        """
        number = position.partition
        low, high = self._bounds(number, position.offset)
        if position.offset in (OFFSET_BEGINNING, OFFSET_END):
            return Position(self._topic, number, low if position.offset == OFFSET_BEGINNING else high), high
        if not low <= position.offset <= high:
            raise PositionLost(
                f"{self._topic}[{number}]: offset {position.offset} is outside the log, which holds {low} … {high}; "
                "start from 'earliest', or from an offset that is there"
            )
        if position.mark is None and position.offset > low:
            log.info(
                "starting in the middle of a partition without a mark: its first records may repeat earlier ones",
                extra={"partition": number, "offset": position.offset},
            )
        return position, high


def _patiently(ask: Callable[[], R | None]) -> R:
    """The answer, asked for again while the broker is not ready: then partitions that are there are unknown, too."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            answer = ask()
        except KafkaException as error:
            if error.args[0].code() not in PASSING | UNKNOWN or time.monotonic() > deadline:
                raise
            log.info("the broker is not ready; asking again", extra={"error": error.args[0].str()})
        else:
            if answer is not None:
                return answer
            if time.monotonic() > deadline:
                raise StreamError(f"the broker did not answer within {PATIENCE_S:g} s")
        time.sleep(AGAIN_S)


def _checked(found: list[TopicPartition]) -> list[TopicPartition]:
    for partition in found:
        if partition.error is not None:
            raise KafkaException(partition.error)
    return found
