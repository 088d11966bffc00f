"""A producer that never reorders, never leaves a gap and never gives up by itself.

What is promised: within a partition the log holds what was sent, in the order of the calls, once each; and after a
record that could not be delivered nothing more is delivered. Built from librdkafka's idempotent producer with
`enable.gapless.guarantee` (experimental there; tests/integration/runtime bounces a broker under it) and no time-out.

Unusual: a failed delivery is final. `failed` is set, every later call raises DeliveryFailed, and the process should end
without acknowledging anything more: what was not delivered is then read and sent again by its successor.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from generals_runtime import metrics
from generals_runtime.errors import OperatorError
from generals_runtime.kafka_clients import PRODUCER_DEFAULTS, client_configuration
from generals_runtime.settings import KafkaSettings

Headers = Sequence[tuple[str, str | bytes | None]]

_ORDERED = {
    "enable.gapless.guarantee": True,
    # Wait for a broker for ever: a time-out would be a gap.
    "message.timeout.ms": 0,
    "max.in.flight.requests.per.connection": 5,
}
_POLL_S = 0.05
_SERVE_EVERY_S = 0.005
"""To look for answers is to let go of the GIL; beside a busy thread that takes milliseconds to come back, each time."""


class DeliveryFailed(OperatorError):
    """A record could not be delivered; nothing after it will be. End the process."""


class RecordTooLarge(Exception):
    """The record is over `message.max.bytes`. It was not queued; the producer goes on."""


class QueueFull(Exception):
    """The queue was still full when the time was over. The record was not queued; the producer goes on."""


class OrderedProducer:
    """Sends in order. Calls from several threads are put in one order; callbacks must not send."""

    def __init__(
        self, kafka: KafkaSettings, *, client_id: str = "generals", overrides: Mapping[str, Any] | None = None
    ) -> None:
        config = client_configuration(kafka, {**PRODUCER_DEFAULTS, **_ORDERED}, overrides, client_id)
        self._producer = Producer(config)
        self._lock = threading.Lock()
        self._sender: int | None = None
        self._failure: str | None = None
        self._delivered = 0
        self._reported: Counter[str] = Counter()
        self._reported_bytes: Counter[str] = Counter()
        self._serve_at = 0.0
        self._runtime = metrics.default().runtime

    @property
    def failed(self) -> str | None:
        """Why nothing more will be delivered, or None."""
        return self._failure

    @property
    def delivered(self) -> int:
        """Records the broker acknowledged."""
        return self._delivered

    def __len__(self) -> int:
        """Records queued or in flight, and reports of delivery that nobody has heard yet."""
        return len(self._producer)

    def send(
        self,
        topic: str,
        partition: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Headers | None = None,
        timestamp_ms: int | None = None,
        on_delivery: Callable[[Message], None] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> None:
        """Queue one record. Blocks while the queue is full, for ever or `timeout_s`.

        `on_delivery` is called with the record and its offset once the broker has it, from `send`, `poll` or `flush`.
        Raises DeliveryFailed, RecordTooLarge, QueueFull.
        """
        if self._sender == threading.get_ident():
            raise RuntimeError("on_delivery must not send: its record would overtake the one that waits")
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._lock:  # held while waiting: a later call must not overtake
            self._sender = threading.get_ident()
            try:
                while not self._try(topic, partition, key, value, headers, timestamp_ms, on_delivery):
                    if deadline is not None and time.monotonic() >= deadline:
                        raise QueueFull(f"{len(self)} records wait for a broker; none was taken in {timeout_s:g} s")
                    self._served(self._producer.poll, _POLL_S)
                if time.monotonic() >= self._serve_at:
                    self._served(self._producer.poll, 0.0)
                    self._serve_at = time.monotonic() + _SERVE_EVERY_S
            finally:
                self._sender = None
        self._check()

    def poll(self, timeout_s: float = 0.0) -> None:
        """Run delivery callbacks. Blocks up to `timeout_s`. Raises DeliveryFailed."""
        self._served(self._producer.poll, timeout_s)
        self._check()

    def flush(self, timeout_s: float | None = None) -> int:
        """Wait until everything is delivered, for ever or `timeout_s`; how many are not. Raises DeliveryFailed."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            # In steps: a signal handler runs between them, and a failure is seen at once.
            left = self._served(self._producer.flush, 4 * _POLL_S)
            self._check()
            if left == 0 or (deadline is not None and time.monotonic() >= deadline):
                return left

    def close(self, timeout_s: float = 10.0) -> int:
        """Flush, then drop what is left so that no thread lives on; how many were dropped. Raises nothing."""
        left = len(self._producer)
        try:
            left = self.flush(timeout_s)
        except DeliveryFailed:
            left = len(self._producer)
        if left:
            self._producer.purge()
            self._served(self._producer.flush, 1.0)
        return left

    def __enter__(self) -> OrderedProducer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _served(self, serve: Callable[[float], int], timeout_s: float) -> int:
        """Run callbacks by `poll` or `flush`, which raise a fatal error over and over."""
        try:
            return serve(timeout_s)
        except KafkaException as error:
            self._fail(f"{error.args[0].name()}: {error.args[0].str()}")
            return len(self._producer)
        finally:
            self._count()

    def _count(self) -> None:
        """Metrics of what was reported: once for many records, because a metric costs as much as a record."""
        while self._reported:
            topic, records = self._reported.popitem()
            self._runtime.records_produced.labels(topic).inc(records)
            self._runtime.bytes_produced.labels(topic).inc(self._reported_bytes.pop(topic, 0))

    def _try(
        self,
        topic: str,
        partition: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Headers | None,
        timestamp_ms: int | None,
        on_delivery: Callable[[Message], None] | None,
    ) -> bool:
        self._check()
        try:
            self._producer.produce(
                topic,
                value=value,
                key=key,
                partition=-1 if partition is None else partition,
                headers=None if headers is None else list(headers),
                timestamp=0 if timestamp_ms is None else timestamp_ms,
                on_delivery=self._reporter(on_delivery),
            )
        except BufferError:
            return False
        except KafkaException as error:
            self._refused(error.args[0], topic, _size(key, value, headers))
        return True

    def _reporter(self, on_delivery: Callable[[Message], None] | None) -> Callable[[KafkaError | None, Message], None]:
        def report(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self._fail(f"{message.topic()}[{message.partition()}]: {error.name()}: {error.str()}")
                return
            self._delivered += 1
            topic = message.topic() or ""
            self._reported[topic] += 1
            self._reported_bytes[topic] += len(message)
            if on_delivery is not None:
                on_delivery(message)

        return report

    def _refused(self, error: KafkaError, topic: str, size: int) -> None:
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            raise RecordTooLarge(f"a record of {size:,} bytes for {topic} is over message.max.bytes") from None
        self._served(self._producer.poll, _POLL_S)  # an earlier record's report may say better why, and comes first
        self._fail(f"{topic}: {error.name()}: {error.str()}")
        self._check()

    def _fail(self, reason: str) -> None:
        self._failure = self._failure or reason  # the first one is the cause, the others follow from it

    def _check(self) -> None:
        if self._failure is not None:
            raise DeliveryFailed(self._failure)


def _size(key: bytes | None, value: bytes | None, headers: Headers | None) -> int:
    return len(key or b"") + len(value or b"") + sum(len(name) + len(text or b"") for name, text in headers or ())
