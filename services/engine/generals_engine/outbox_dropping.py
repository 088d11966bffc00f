"""`drop_oldest` and `drop_newest`: play never stands still; what finds no room in memory is given up and counted.

Unusual: it is games that are given up, not chunks. A game with a missing chunk would be worth nothing and look like a
loss, so with a chunk go all chunks of its game that follow, and its summary: what the log has of a game is always its
beginning without a gap, and what has a summary is complete. What is with Kafka's client already is never dropped.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

import structlog

from generals_engine.outbox_window import Window
from generals_engine.spill_frames import Record
from generals_runtime.kafka import DeliveryFailed, Headers
from generals_runtime.metrics import EngineMetrics

_log = structlog.get_logger("generals_engine.outbox")
_REPORT_EVERY_S = 30.0
_CLOSE_S = 5.0
Strategy = Literal["drop_oldest", "drop_newest"]


class DroppingOutbox:
    """`chunks` names the topic of chunks; what comes on another is its game's last record, the summary."""

    def __init__(
        self,
        window: Window,
        metrics: EngineMetrics,
        *,
        strategy: Strategy,
        chunks: str,
        queue_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._window, self._strategy, self._chunks, self._limit = window, strategy, chunks, queue_bytes
        self._drops, self._summaries = metrics.drops.labels(strategy), metrics.dropped_summaries.labels(strategy)
        self._clock = clock
        self._queue: OrderedDict[int, Record] = OrderedDict()
        self._tickets: dict[bytes, list[int]] = {}
        self._cut: set[bytes] = set()  # games given up whose end has not come yet
        self._bytes = self._ticket = 0
        self._unreported, self._reported_at = 0, -_REPORT_EVERY_S

    @property
    def unsent(self) -> int:
        return len(self._queue)

    def put(
        self, topic: str, partition: int, key: bytes, value: bytes, timestamp_ms: int, headers: Headers | None = None
    ) -> None:
        """Never waits. Raises DeliveryFailed, RecordTooLarge."""
        record = Record(topic, partition, key, value, timestamp_ms, headers=headers)
        self.pump()
        if record.key in self._cut:
            self._drop(record)
        elif (self._queue or not self._window.send(record)) and self._make_room(record):
            self._enqueue(record)

    def pump(self, timeout_s: float = 0.0) -> None:
        self._window.poll(timeout_s)
        while self._queue:
            ticket, record = next(iter(self._queue.items()))
            if not self._window.send(record):
                break
            self._dequeue(ticket)
        self._report()

    def close(self) -> int:
        """Try for some seconds, then give up what is left, counted like everything else."""
        until = self._clock() + _CLOSE_S
        try:
            while (self._queue or len(self._window)) and self._clock() < until:
                self.pump(0.05)
        except DeliveryFailed as failed:
            _log.error(str(failed))
        left = [*self._queue.values(), *(flight.record for flight in self._window.flights())]
        self._window.producer.close(0.0)
        for record in left:
            self._drop(record)
        self._report(now=True)
        return len(left)

    def _make_room(self, record: Record) -> bool:
        """Give games up until there is room; False if the game of `record` was one, and it is dropped."""
        if not self._is_chunk(record):  # small, and never more of them than of last chunks that found room
            return True
        while self._bytes + record.size > self._limit:
            victim = record if self._strategy == "drop_newest" else self._oldest_chunk()
            if victim is None:
                return True
            self._give_up(victim.key)
            if record.key in self._cut:
                self._drop(record)
                return False
        return True

    def _oldest_chunk(self) -> Record | None:
        return next((record for record in self._queue.values() if self._is_chunk(record)), None)

    def _give_up(self, game: bytes) -> None:
        """drop_oldest: all that waits of the game goes. Both: all that comes of it will."""
        ended = False
        if self._strategy == "drop_oldest":
            for ticket in list(self._tickets[game]):
                dropped = self._dequeue(ticket)
                ended |= not self._is_chunk(dropped)
                self._drop(dropped)
        if not ended:
            self._cut.add(game)

    def _enqueue(self, record: Record) -> None:
        self._ticket += 1
        self._queue[self._ticket] = record
        self._tickets.setdefault(record.key, []).append(self._ticket)
        self._bytes += record.size

    def _dequeue(self, ticket: int) -> Record:
        record = self._queue.pop(ticket)
        tickets = self._tickets[record.key]
        tickets.remove(ticket)
        if not tickets:
            del self._tickets[record.key]
        self._bytes -= record.size
        return record

    def _drop(self, record: Record) -> None:
        if self._is_chunk(record):
            self._drops.inc()
        else:
            self._summaries.inc()
            self._cut.discard(record.key)
        self._unreported += 1

    def _is_chunk(self, record: Record) -> bool:
        return record.topic == self._chunks

    def _report(self, *, now: bool = False) -> None:
        if self._unreported and (now or self._clock() - self._reported_at >= _REPORT_EVERY_S):
            _log.warning("records dropped: the broker does not take them", strategy=self._strategy,
                         records=self._unreported, games_being_given_up=len(self._cut))  # fmt: skip
            self._unreported, self._reported_at = 0, self._clock()
