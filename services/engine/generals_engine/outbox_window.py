"""What is with Kafka's client and not yet acknowledged: a bounded number of records, copies kept.

Unusual: the client's own queue holds 20,000 records and 64 MiB that die with the process and can neither be read back
nor be dropped one by one. So it is never given more than the window, and what must be kept or dropped waits elsewhere.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from confluent_kafka import Message

from generals_engine.spill_frames import Record, Spot
from generals_runtime.kafka import Headers, QueueFull, RecordTooLarge

RECORDS = 16_000
BYTES = 32 << 20


class Sender(Protocol):
    """The part of OrderedProducer that is used."""

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
    ) -> None: ...

    def poll(self, timeout_s: float = 0.0) -> None: ...

    def close(self, timeout_s: float = 10.0) -> int: ...


@dataclass(slots=True)
class Flight:
    """A record on its way. number: its number on disk, None if it is not there."""

    record: Record
    since: float
    number: int | None


class Window:
    """The records on their way, oldest first. `delivered(spot, number, offset)` is called for each that arrived."""

    def __init__(
        self,
        producer: Sender,
        *,
        delivered: Callable[[Spot, int | None, int], None] = lambda _spot, _number, _offset: None,
        records: int = RECORDS,
        size: int = BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.producer, self.delivered, self._clock = producer, delivered, clock
        self._records, self._size = records, size
        # Not a dict: the first key of one that loses its first keys is found in ever longer time.
        self._flights: OrderedDict[int, Flight] = OrderedDict()
        self._bytes = self._ticket = 0
        self.in_memory_only = 0

    def __len__(self) -> int:
        return len(self._flights)

    @property
    def oldest_s(self) -> float:
        """For how long the oldest record has been on its way."""
        return self._clock() - next(iter(self._flights.values())).since if self._flights else 0.0

    def flights(self) -> list[Flight]:
        return list(self._flights.values())

    def send(self, record: Record, number: int | None = None) -> bool:
        """Give a record to the client; False if the window or the client is full. Raises DeliveryFailed."""
        full = len(self._flights) >= self._records or self._bytes + record.size > self._size
        if full and self._flights:
            return False
        self._ticket = ticket = self._ticket + 1
        # Noted first: if `send` fails for good, the record must be among those that are not delivered.
        self._flights[ticket] = Flight(record, self._clock(), number)
        self._bytes += record.size
        self.in_memory_only += number is None
        try:
            self.producer.send(
                record.topic, record.partition, record.key, record.value, record.headers, record.timestamp_ms,
                on_delivery=partial(self._arrived, ticket), timeout_s=0.0,
            )  # fmt: skip
        except QueueFull:
            self._remove(ticket)
            return False
        except RecordTooLarge:
            self._remove(ticket)
            raise
        return True

    def put_on_disk(self, flight: Flight, number: int) -> None:
        """A record on its way has been written to disk, too."""
        flight.number = number
        self.in_memory_only -= 1

    def poll(self, timeout_s: float = 0.0) -> None:
        """Hear of what arrived. Raises DeliveryFailed."""
        self.producer.poll(timeout_s)

    def _arrived(self, ticket: int, message: Message) -> None:
        flight = self._remove(ticket)
        self.delivered(flight.record.spot, flight.number, message.offset() or 0)

    def _remove(self, ticket: int) -> Flight:
        flight = self._flights.pop(ticket)
        self._bytes -= flight.record.size
        self.in_memory_only -= flight.number is None
        return flight
