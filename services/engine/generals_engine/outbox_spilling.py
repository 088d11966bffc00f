"""`spill_to_disk`: while the broker is away or too slow, records are written to disk first and sent on in order.

Four rules make it exactly once, whenever the process dies:
- While nothing waits on disk and the broker answers, records go straight to Kafka's client, with a copy kept.
- Once the oldest of them is not acknowledged in `away_after_s`, or the client takes no more, all that are on their way
  are written to disk, and so is every later record before it is sent. From then on the client gets its records from
  the disk.
- Those on their way are *not* sent again: the client still has them and delivers them once. The copies are for a
  successor, who reads the log to see which of them arrived (`spill_recovery`).
- When everything on disk has been handed on and the broker answers, records go straight again. All files are gone as
  soon as what was in them is acknowledged.
"""

import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from generals_engine.outbox import NotNow
from generals_engine.outbox_window import Window
from generals_engine.spill_frames import Record
from generals_engine.spill_log import SpillFull, SpillLog
from generals_engine.spill_recovery import Recovery
from generals_runtime.kafka import DeliveryFailed, Headers, RecordTooLarge
from generals_runtime.metrics import EngineMetrics

_log = structlog.get_logger("generals_engine.outbox")
_MOST_BYTES = 1_000_000 - 1024
"""The client's own limit less its overhead. Refused before it is on disk, where it would stand in the way for ever."""
_HAND_ON_S = 0.1
_STEP_S = 0.1


class SpillingOutbox:
    """`chunks` names the topic of chunks; what comes on another is its game's last record, the summary."""

    def __init__(
        self,
        window: Window,
        log: SpillLog,
        recovery: Recovery,
        metrics: EngineMetrics,
        *,
        chunks: str,
        away_after_s: float,
        wait_s: float = 1.0,
        close_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._window, self._log, self._metrics, self._chunks = window, log, metrics, chunks
        self._away_after_s, self._wait_s, self._close_s, self._clock = away_after_s, wait_s, close_s, clock
        self._indices: dict[bytes, int] = {}
        self._said = False
        window.delivered = log.acknowledge
        for topic, count in recovery.given_up.items():
            given_up = metrics.drops if topic == chunks else metrics.dropped_summaries
            given_up.labels("spill_to_disk").inc(count)
        self._recovery = None if recovery.step(0.0) else recovery

    @property
    def unsent(self) -> int:
        return self._log.unsettled

    def put(
        self, topic: str, partition: int, key: bytes, value: bytes, timestamp_ms: int, headers: Headers | None = None
    ) -> None:
        """Blocks up to `wait_s` while the disk's share is full. Raises NotNow, DeliveryFailed, RecordTooLarge."""
        if len(value) + len(key) > _MOST_BYTES:
            raise RecordTooLarge(f"a record of {len(value):,} bytes for {topic} is over Kafka's limit")
        record = Record(topic, partition, key, value, timestamp_ms, self._indices.get(key, 0), headers)
        self._serve()
        if not self._straight(record):
            self._spill(record)
        if topic == self._chunks:
            self._indices[key] = record.index + 1
        else:
            self._indices.pop(key, None)

    def pump(self, timeout_s: float = 0.0) -> None:
        self._serve(timeout_s)
        if self._recovery is not None and self._recovery.step(_STEP_S):
            self._recovery = None
            self._serve()

    def close(self) -> int:
        """Deliver for some seconds; what is still on its way then is on disk, too. How many could not be written."""
        until = self._clock() + self._close_s
        try:
            while (len(self._window) or self._log.waiting) and self._clock() < until and not self._away:
                self.pump(0.05)
            self._window.poll()
            self._keep()
        except (DeliveryFailed, SpillFull) as reason:
            _log.error("not everything is sent", reason=str(reason))
        lost = self._window.in_memory_only
        self._window.producer.close(0.0)
        if self._log.unsettled:
            _log.warning("records wait on disk: an engine with this folder will send them",
                         records=self._log.unsettled, folder=str(self._log.folder))  # fmt: skip
        try:
            self._log.close()
        except SpillFull as full:
            _log.warning("what was written last may not outlive a power cut", reason=str(full))
        return lost

    @property
    def _away(self) -> bool:
        return self._window.oldest_s >= self._away_after_s

    def _straight(self, record: Record) -> bool:
        """Send without the disk, if nothing waits there and the broker answers."""
        if self._recovery is not None or self._log.waiting or self._away:
            return False
        try:
            return self._window.send(record)
        except DeliveryFailed:
            self._try_to_keep()
            raise

    def _spill(self, record: Record) -> None:
        begun = self._clock()
        try:
            self._keep()
            while not self._log.has_room(record):
                self._wait(begun)
            self._log.append(record)
        except SpillFull:
            self._wait(begun)
            raise NotNow from None
        finally:
            waited = self._clock() - begun
            if waited > 0.01:
                self._metrics.blocked_seconds.inc(waited)
        if record.topic == self._chunks:
            self._metrics.spilled.inc()
        self._say()
        self._hand_on()

    def _wait(self, begun: float) -> None:
        """Wait a little for room on disk. Raises NotNow when that took `wait_s` altogether."""
        if self._clock() - begun >= self._wait_s:
            raise NotNow
        self.pump(0.05)

    def _serve(self, timeout_s: float = 0.0) -> None:
        """Hear of deliveries, hand on, take up room again. A client that has failed leaves all it had on disk."""
        try:
            self._window.poll(timeout_s)
            self._hand_on()
        except DeliveryFailed:
            self._try_to_keep()
            raise
        if self._away:
            self._try_to_keep()
        self._log.collect()
        with suppress(SpillFull):  # and is tried again the next time
            self._log.sync()
        self._metrics.spill_bytes.set(self._log.bytes)
        if self._said and not self._log.unsettled:
            self._said = False
            _log.info("all spilled records are sent")

    def _hand_on(self) -> None:
        """Give the client what is next on disk, as long as it takes it."""
        until = self._clock() + _HAND_ON_S
        while not self._away and (following := self._log.peek()) is not None:
            number, record = following
            if not self._window.send(record, number):
                break
            self._log.advance()
            if self._clock() >= until:
                break

    def _try_to_keep(self) -> None:
        try:
            self._keep()
        except SpillFull as full:
            _log.error("records on their way cannot be written to disk", records=self._window.in_memory_only,
                       reason=str(full))  # fmt: skip

    def _keep(self) -> None:
        """Write what is on its way to disk. It stays on its way. Raises SpillFull."""
        if not self._window.in_memory_only:
            return
        for flight in self._window.flights():
            if flight.number is None:
                number = self._log.append(flight.record)
                self._log.pass_by(number)
                self._window.put_on_disk(flight, number)
                if flight.record.topic == self._chunks:
                    self._metrics.spilled.inc()
        self._log.sync(now=True)
        self._say()

    def _say(self) -> None:
        if not self._said:
            self._said = True
            _log.warning("the broker does not take records: spilling to disk", folder=str(self._log.folder),
                         oldest_unacknowledged_s=round(self._window.oldest_s, 1))  # fmt: skip
