"""Groups of raw records in; batches out, delivered, in the order in which the groups were given.

The caller's thread converts groups, or others do, in any order; one thread sends them in order and runs the delivery
callbacks. The future that `submit` returns is done when every record of its group is acknowledged by the broker. After
the first failure nothing is sent any more and every future fails: the process should end without acknowledging what
these stand for.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from confluent_kafka import Message

from generals_collector.conversion import Converted, RawRecord
from generals_runtime import tracing
from generals_runtime.kafka import Headers, OrderedProducer

Convert = Callable[[RawRecord], Converted]
P = ParamSpec("P")
T = TypeVar("T")
_IDLE_S = 0.005


@dataclass(frozen=True, slots=True)
class Destinations:
    """Where batches and dead letters go; without a dead-letter topic, rejected chunks leave their marker only."""

    experiences: str
    dead_letter: str | None


@dataclass(slots=True, eq=False)
class _Group:
    """A group under way. `left` counts its undelivered records, and one more until the last is sent."""

    conversion: "Future[list[Converted]]"
    done: "Future[list[Converted]]" = field(default_factory=Future)
    converted: list[Converted] = field(default_factory=list)
    left: int = 1
    taken_ns: int = 0
    spans: list[tracing.Span] = field(default_factory=list)

    def delivered(self, _: Message | None = None) -> None:
        self.left -= 1
        if self.left == 0:
            self.done.set_result(self.converted)
            for span in self.spans:
                span.end()


class _Here(Executor):
    """Runs what it is given at once, in the caller's thread."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except BaseException as error:  # who asks for the result gets it, as from any executor
            done.set_exception(error)
        return done


class Pipeline:
    """Convert, send, wait for delivery. `note` is told of every chunk before it is sent and may raise to stop all."""

    def __init__(
        self,
        producer: OrderedProducer,
        convert: Convert,
        to: Destinations,
        *,
        threads: int = 0,
        note: Callable[[Converted], None] = lambda _: None,
        observe: Callable[[Sequence[Converted], float], None] = lambda _, __: None,
    ) -> None:
        self._producer = producer
        self._convert = convert
        self._to = to
        self._note = note
        self._observe = observe
        self._tracing = tracing.default()
        self._groups: queue.SimpleQueue[_Group | None] = queue.SimpleQueue()
        self._under_way: list[_Group] = []
        self._failure: BaseException | None = None
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="convert") if threads else _Here()
        self._sender = threading.Thread(target=self._run, name="send", daemon=True)
        self._sender.start()

    @property
    def failure(self) -> BaseException | None:
        """Why nothing is sent any more, or None."""
        return self._failure

    def submit(self, records: Sequence[RawRecord]) -> "Future[list[Converted]]":
        """Take a group, and convert it if no threads do. Does not wait: the caller bounds how many are under way."""
        group = _Group(self._pool.submit(self._convert_all, records))
        if self._tracing is not None:
            group.taken_ns = time.time_ns()
        self._groups.put(group)
        return group.done

    def close(self, timeout_s: float) -> bool:
        """Send what was submitted and wait for its delivery; whether all of it was delivered in time."""
        self._groups.put(None)
        self._sender.join(timeout_s)
        self._pool.shutdown(wait=False, cancel_futures=True)
        return not self._sender.is_alive() and self._failure is None

    def _convert_all(self, records: Sequence[RawRecord]) -> list[Converted]:
        start = time.perf_counter()
        converted = [self._convert(record) for record in records]
        self._observe(converted, time.perf_counter() - start)
        return converted

    def _run(self) -> None:
        try:
            while (group := self._next()) is not None:
                self._under_way = [other for other in self._under_way if other.left] + [group]
                self._send(group)
            self._producer.flush()
        except BaseException as error:  # whatever it is, the futures have to hear of it
            self._fail(error)

    def _next(self) -> _Group | None:
        while True:
            try:
                return self._groups.get(timeout=_IDLE_S)
            except queue.Empty:
                self._producer.poll()

    def _send(self, group: _Group) -> None:
        group.converted = group.conversion.result()
        for converted in group.converted:
            self._note(converted)
            source = converted.source
            if converted.rejected is not None and self._to.dead_letter is not None:
                group.left += 1
                self._producer.send(
                    self._to.dead_letter, None, source.key, source.value, converted.dead_letter_headers,
                    source.timestamp_ms, group.delivered,
                )  # fmt: skip
            headers: Headers | None = source.headers or None
            if headers is not None and self._tracing is not None:
                headers = self._follow(self._tracing, group, source)
            for value in converted.values:
                group.left += 1
                self._producer.send(
                    self._to.experiences, source.partition, source.key, value, headers,
                    source.timestamp_ms, group.delivered,
                )  # fmt: skip
        group.delivered()

    def _follow(self, follower: tracing.Tracing, group: _Group, source: RawRecord) -> Headers:
        """The headers of what is made of a record; a span, if it is followed, from its taking to its delivery."""
        where = {"partition": source.partition, "offset": source.offset}
        span = follower.follow(source.headers, "collect chunk", where, start_ns=group.taken_ns)
        if span is None:
            return source.headers
        group.spans.append(span)
        return tracing.headers_with(span, source.headers)

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        while self._under_way or not self._groups.empty():
            group = self._under_way.pop() if self._under_way else self._groups.get()
            if group is not None and not group.done.done():
                group.done.set_exception(error)
