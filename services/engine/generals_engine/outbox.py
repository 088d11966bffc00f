"""Where finished records go, and what happens while the broker does not take them.

This is the one seam between playing and sending: a strategy for a broker that is away is another Outbox.
"""

import time
from typing import Protocol

from generals_runtime.kafka import OrderedProducer, QueueFull
from generals_runtime.metrics import EngineMetrics


class Outbox(Protocol):
    """Takes records in order; within a partition they reach the log in that order or not at all."""

    def put(self, topic: str, partition: int, key: bytes, value: bytes, timestamp_ms: int) -> None:
        """Take one record. May block, but not for ever: it raises NotNow to let the service's loop breathe."""

    def pump(self) -> None:
        """Serve delivery reports. Must not block."""

    def close(self) -> int:
        """Deliver what was taken; how many records could not be."""


class NotNow(Exception):
    """There is no room; offer the same record again."""


class BlockingOutbox:
    """`block`: with the producer's queue full, play stands still until the broker takes records again."""

    def __init__(self, producer: OrderedProducer, metrics: EngineMetrics, *, wait_s: float = 1.0) -> None:
        self._producer, self._metrics, self._wait_s = producer, metrics, wait_s

    def put(self, topic: str, partition: int, key: bytes, value: bytes, timestamp_ms: int) -> None:
        """Blocks up to `wait_s`. Raises NotNow, DeliveryFailed."""
        begun = time.monotonic()
        try:
            self._producer.send(topic, partition, key, value, timestamp_ms=timestamp_ms, timeout_s=self._wait_s)
        except QueueFull:
            raise NotNow from None
        finally:
            waited = time.monotonic() - begun
            if waited > 0.01:
                self._metrics.blocked_seconds.inc(waited)

    def pump(self) -> None:
        self._producer.poll()

    def close(self) -> int:
        return self._producer.close()
