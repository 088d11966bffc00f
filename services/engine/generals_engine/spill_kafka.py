"""Kafka's log as a spill needs it: where partitions end, which topics they are, and what lies behind an offset."""

import time
from collections.abc import Callable, Iterable, Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from generals_engine.spill_frames import Spot
from generals_engine.spill_recovery import Found
from generals_runtime.kafka import KafkaUnavailable, make_consumer
from generals_runtime.settings import KafkaSettings

_ASK_S = 0.5
_REST_S = 2.0
_HIDES_S = 1.0
_START_S = 20.0
_RECORDS = 500
_FINAL = (
    KafkaError._AUTO_OFFSET_RESET,
    KafkaError.OFFSET_OUT_OF_RANGE,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
)
"""Errors of reading that no waiting mends. All others pass: a broker that is away comes back."""


class KafkaLog:
    """A LogReader. After the broker did not answer it is not asked again for two seconds: play goes on meanwhile."""

    def __init__(self, kafka: KafkaSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._consumer: Consumer = make_consumer(
            kafka,
            group_id="generals-engine-spill",
            client_id="generals-engine-spill",
            overrides={"enable.partition.eof": True},
        )
        self._clock = clock
        self._rest_until = clock()
        self._positions: dict[Spot, int] = {}
        self._reason = ""
        self._moved: set[str] = set()
        self._hides, self._hides_until = True, clock()

    def ends(self, spots: Iterable[Spot]) -> dict[Spot, int]:
        """Where each partition ends now. Raises KafkaUnavailable."""
        deadline = self._clock() + _START_S
        ends: dict[Spot, int] = {}
        for spot in spots:
            while (span := self._ask(spot, 5.0)) is None:  # a topic just made may have no leader yet
                if self._clock() > deadline:
                    raise KafkaUnavailable(f"Kafka did not say where {spot[0]}[{spot[1]}] ends: {self._reason}")
                time.sleep(0.1)
            ends[spot] = span[1]
        return ends

    def span(self, spot: Spot) -> tuple[int, int] | None:
        if self._clock() < self._rest_until:
            return None
        span = self._ask(spot, _ASK_S)
        if span is None:
            self._rest_until = self._clock() + _REST_S
        return span

    def hides(self, spots: Iterable[Spot]) -> bool:
        """As asked a second ago at most. Of three replicas two must have a record before it is seen."""
        if self._clock() >= self._hides_until:
            numbers: dict[str, list[int]] = {}
            for topic, number in spots:
                numbers.setdefault(topic, []).append(number)
            self._hides = any(self._lacks_replicas(topic, numbers[topic]) for topic in numbers)
            self._hides_until = self._clock() + _HIDES_S
        return self._hides

    def replicated(self, topics: Iterable[str]) -> bool:
        """Whether any of their partitions has a second replica. Raises KafkaUnavailable."""
        try:
            found = [self._consumer.list_topics(topic, timeout=_START_S).topics[topic] for topic in topics]
        except KafkaException as error:
            raise KafkaUnavailable(f"Kafka did not say how its topics are replicated: {error.args[0].str()}") from error
        return any(len(partition.replicas) > 1 for topic in found for partition in topic.partitions.values())

    def _lacks_replicas(self, topic: str, numbers: Iterable[int]) -> bool:
        """Also if nobody says."""
        try:
            found = self._consumer.list_topics(topic, timeout=_ASK_S).topics[topic].partitions
        except KafkaException as error:
            self._reason = error.args[0].str()
            return True
        return any(
            number not in found or len(found[number].isrs) < min(2, len(found[number].replicas) - 1)
            for number in numbers
        )

    def seek(self, starts: Mapping[Spot, int]) -> None:
        self._positions = dict(starts)
        self._consumer.assign([TopicPartition(*spot, offset) for spot, offset in starts.items()])

    def read(self, timeout_s: float) -> list[Found]:
        """Raises KafkaUnavailable: the broker refuses to give what it must have."""
        found = []
        for message in self._consumer.consume(_RECORDS, timeout_s):
            spot = message.topic() or "", message.partition() or 0
            offset, error = message.offset() or 0, message.error()
            if error is None:
                found.append(Found(spot, offset, message.key() or b"", message.value() or b""))
                self._positions[spot] = offset + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                self._positions[spot] = max(self._positions[spot], offset)
            elif error.code() in _FINAL:
                raise KafkaUnavailable(f"{spot[0]}[{spot[1]}] cannot be read: {error.str()}")
        return found

    def position(self, spot: Spot) -> int:
        return self._positions[spot]

    def close(self) -> None:
        self._consumer.close()

    def _ask(self, spot: Spot, timeout_s: float) -> tuple[int, int] | None:
        topic = spot[0]
        try:
            if topic in self._moved:  # otherwise librdkafka may ask the broker that led the partition before
                self._consumer.list_topics(topic, timeout=timeout_s)
            low, high = self._consumer.get_watermark_offsets(TopicPartition(*spot), timeout=timeout_s)
        except KafkaException as error:
            self._reason = error.args[0].str()
            self._moved.add(topic)
            return None
        self._moved.discard(topic)
        return low, high
