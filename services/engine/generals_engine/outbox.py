"""Where finished records go, and what happens while the broker does not take them.

This is the one seam between playing and sending: a strategy for a broker that is away is another Outbox. `block` is
here; the others are in `outbox_dropping` and `outbox_spilling`, and `outbox_choice` makes the one that is asked for.
"""

import time
from typing import Protocol

from generals_runtime.kafka import Headers, OrderedProducer, QueueFull
from generals_runtime.metrics import EngineMetrics


class Outbox(Protocol):
    """Takes records in order; within a partition they reach the log in that order or not at all.

    A game's records reach it without a gap: once one is given up, so are all that follow.
    """

    def put(
        self, topic: str, partition: int, key: bytes, value: bytes, timestamp_ms: int, headers: Headers | None = None
    ) -> None:
        """Take one record. May block, but not for ever: it raises NotNow to let the service's loop breathe."""

    def pump(self, timeout_s: float = 0.0) -> None:
        """Serve delivery reports and send on what waits. May block for `timeout_s`."""

    @property
    def unsent(self) -> int:
        """Records that `close` would leave behind although the broker may be about to take them."""

    def close(self) -> int:
        """Deliver what was taken; how many records could not be."""


class NotNow(Exception):
    """There is no room; offer the same record again."""


class BlockingOutbox:
    """`block`: with the producer's queue full, play stands still until the broker takes records again."""

    def __init__(self, producer: OrderedProducer, metrics: EngineMetrics, *, wait_s: float = 1.0) -> None:
        self._producer, self._metrics, self._wait_s = producer, metrics, wait_s

    def put(
        self, topic: str, partition: int, key: bytes, value: bytes, timestamp_ms: int, headers: Headers | None = None
    ) -> None:
        """Blocks up to `wait_s`. Raises NotNow, DeliveryFailed."""
        begun = time.monotonic()
        try:
            self._producer.send(topic, partition, key, value, headers, timestamp_ms, timeout_s=self._wait_s)
        except QueueFull:
            raise NotNow from None
        finally:
            waited = time.monotonic() - begun
            if waited > 0.01:
                self._metrics.blocked_seconds.inc(waited)

    def pump(self, timeout_s: float = 0.0) -> None:
        self._producer.poll(timeout_s)

    @property
    def unsent(self) -> int:
        return 0

    def close(self) -> int:
        return self._producer.close()
