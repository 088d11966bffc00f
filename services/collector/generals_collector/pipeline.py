"""Groups of raw records in; batches out, delivered, in the order in which the groups were given.

Everything happens in the caller's thread: `submit` converts a group and hands its records to the producer, whose own
threads (librdkafka's) talk to the broker; `turn` sends what had no room and hears what was delivered. Neither waits.
Any of them may raise; then nothing more is sent, and the process should end without acknowledging what was not
delivered.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from confluent_kafka import Message

from generals_collector.conversion import Converted, RawRecord
from generals_runtime import tracing
from generals_runtime.kafka import Headers, OrderedProducer, QueueFull

Convert = Callable[[RawRecord], Converted]


@dataclass(frozen=True, slots=True)
class Destinations:
    """Where batches and dead letters go; without a dead-letter topic, rejected chunks leave their marker only."""

    experiences: str
    dead_letter: str | None


@dataclass(slots=True, eq=False)
class _Group:
    """A group under way. `left`: records made of it that the broker does not have yet."""

    converted: list[Converted]
    left: int = 0
    spans: list[tracing.Span] = field(default_factory=list)

    def delivered(self, _: Message) -> None:
        self.left -= 1
        if self.left == 0:
            for span in self.spans:
                span.end()


@dataclass(frozen=True, slots=True)
class _Outgoing:
    """A record to send, and the group it belongs to."""

    group: _Group
    topic: str
    partition: int | None
    key: bytes | None
    timestamp_ms: int
    value: bytes | None
    headers: Headers | None


class Pipeline:
    """Convert, send, hear of delivery. `note` is told of every chunk before it is sent and may raise to stop all."""

    def __init__(
        self,
        producer: OrderedProducer,
        convert: Convert,
        to: Destinations,
        *,
        note: Callable[[Converted], None] = lambda _: None,
        observe: Callable[[Sequence[Converted], float], None] = lambda _, __: None,
    ) -> None:
        self._producer = producer
        self._convert = convert
        self._to = to
        self._note = note
        self._observe = observe
        self._tracing = tracing.default()
        self._under_way: deque[_Group] = deque()
        self._unsent: deque[_Outgoing] = deque()

    @property
    def under_way(self) -> int:
        """Groups taken and not yet given back by `turn`."""
        return len(self._under_way)

    def submit(self, records: Sequence[RawRecord]) -> None:
        """Convert a group and send it as far as there is room. The caller bounds how many are under way."""
        taken_ns = time.time_ns()
        start = time.perf_counter()
        converted = [self._convert(record) for record in records]
        self._observe(converted, time.perf_counter() - start)
        group = _Group(converted)
        self._under_way.append(group)
        for one in converted:
            self._note(one)
            self._queue(group, one, taken_ns)
            self._send()

    def turn(self, timeout_s: float = 0.0) -> list[list[Converted]]:
        """The groups of which everything has been delivered, in the order of `submit`. Waits `timeout_s` at most.

        Raises:
            DeliveryFailed: a record was not, and none after it will be.
        """
        self._producer.poll(timeout_s)
        self._send()
        done = []
        while self._under_way and not self._under_way[0].left:
            done.append(self._under_way.popleft().converted)
        return done

    def _queue(self, group: _Group, one: Converted, taken_ns: int) -> None:
        source, to = one.source, self._to
        at = source.timestamp_ms
        if one.rejected is not None and to.dead_letter is not None and not source.hole:
            letter = one.dead_letter
            self._unsent.append(_Outgoing(group, to.dead_letter, None, letter.key, at, letter.value, letter.headers))
            group.left += 1
        key, carried = one.carried
        headers: Headers | None = carried or None
        if headers is not None and self._tracing is not None:
            headers = self._follow(self._tracing, group, source, taken_ns)
        for value in one.values:
            self._unsent.append(_Outgoing(group, to.experiences, source.partition, key, at, value, headers))
        group.left += len(one.values)

    def _send(self) -> None:
        while self._unsent:
            one = self._unsent[0]
            try:
                self._producer.send(
                    one.topic, one.partition, one.key, one.value, one.headers,
                    one.timestamp_ms, one.group.delivered, timeout_s=0.0,
                )  # fmt: skip
            except QueueFull:
                return
            self._unsent.popleft()

    def _follow(self, follower: tracing.Tracing, group: _Group, source: RawRecord, taken_ns: int) -> Headers:
        """The headers of what is made of a record; a span, if it is followed, from its taking to its delivery."""
        where = {"partition": source.partition, "offset": source.offset}
        span = follower.follow(source.headers, "collect chunk", where, start_ns=taken_ns)
        if span is None:
            return source.headers
        group.spans.append(span)
        return tracing.headers_with(span, source.headers)
