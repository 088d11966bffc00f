"""A Kafka that lies in memory, a client that behaves as the ordered producer does, and deaths at any line of code.

The client: what is sent is queued; the broker takes a prefix of each partition's queue when it likes, and says so when
it likes. When the process dies the queue dies with it, but a prefix may still land some time later.
"""

import gc
import io
import os
import sys
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from numpy.random import Generator

from generals_engine.spill_frames import Spot
from generals_engine.spill_recovery import Found
from generals_runtime.kafka import DeliveryFailed, QueueFull

Sent = tuple[bytes, bytes]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Broker:
    """The log, and what of dead processes is still about to land in it.

    hides: too few replicas are in sync: nothing is acknowledged, and what a process has left behind is not to be seen.
    """

    clock: Clock
    up: bool = True
    hides: bool = False
    logs: dict[Spot, list[Sent]] = field(default_factory=lambda: defaultdict(list))
    late: list[tuple[float, Spot, list[Sent]]] = field(default_factory=list)

    def land(self) -> None:
        if not self.up or self.hides:
            return
        due = [entry for entry in self.late if entry[0] <= self.clock.now]
        self.late = [entry for entry in self.late if entry[0] > self.clock.now]
        for _, spot, records in due:
            self.logs[spot] += records


class Arrived:
    """What a delivery report is asked for."""

    def __init__(self, offset: int) -> None:
        self._offset = offset

    def offset(self) -> int:
        return self._offset


class Client:
    """A Sender."""

    def __init__(self, broker: Broker, most: int = 1000) -> None:
        self.broker, self._most = broker, most
        self.queues: dict[Spot, deque[tuple[Sent, Callable[[Any], None]]]] = defaultdict(deque)
        self._reports: deque[Callable[[], None]] = deque()
        self._unsaid: dict[Spot, list[Callable[[], None]]] = defaultdict(list)
        self.failed = False
        self.sent: list[tuple[Spot, Sent]] = []

    def send(
        self, topic: str, partition: int | None, key: bytes | None, value: bytes | None, headers: None = None,
        timestamp_ms: int | None = None, on_delivery: Callable[[Any], None] | None = None,
        *, timeout_s: float | None = None,
    ) -> None:  # fmt: skip
        self._check()
        if sum(map(len, self.queues.values())) >= self._most:
            raise QueueFull
        assert partition is not None
        assert on_delivery is not None
        spot, sent = (topic, partition), (key or b"", value or b"")
        self.sent.append((spot, sent))
        self.queues[spot].append((sent, on_delivery))
        self.poll()

    def poll(self, timeout_s: float = 0.0) -> None:
        self.broker.clock.now += timeout_s
        while self._reports:
            self._reports.popleft()()
        self._check()

    def close(self, timeout_s: float = 10.0) -> int:
        return sum(map(len, self.queues.values()))

    def take(self, spot: Spot, count: int, *, report: bool = True) -> None:
        """The broker takes the next `count` records of a partition."""
        if not self.broker.up or self.broker.hides or self.failed:
            return
        queue, log = self.queues[spot], self.broker.logs[spot]
        for _ in range(min(count, len(queue))):
            sent, on_delivery = queue.popleft()
            log.append(sent)
            self._unsaid[spot].append(partial(on_delivery, Arrived(len(log) - 1)))
        if report:  # within a partition reports keep the order of the records
            self._reports += self._unsaid.pop(spot, [])

    def die(self, rng: Generator, within_s: float) -> None:
        """Some of what is queued lands at once or up to `within_s` later; the rest is gone."""
        for spot, queue in self.queues.items():
            landing = [sent for sent, _ in queue][: int(rng.integers(len(queue) + 1))]
            if landing and not self.failed:
                at = self.broker.clock.now + float(rng.uniform(-within_s, within_s))
                self.broker.late.append((at, spot, landing))
        self.queues.clear()
        self.broker.land()

    def _check(self) -> None:
        if self.failed:
            raise DeliveryFailed("it cannot be delivered")


class Reader:
    """A LogReader."""

    def __init__(self, broker: Broker, step_s: float = 0.05) -> None:
        self._broker, self._step_s = broker, step_s
        self._positions: dict[Spot, int] = {}

    def span(self, spot: Spot) -> tuple[int, int] | None:
        self._broker.land()
        return (0, len(self._broker.logs[spot])) if self._broker.up else None

    def seek(self, starts: Mapping[Spot, int]) -> None:
        self._positions = dict(starts)

    def read(self, timeout_s: float) -> list[Found]:
        self._broker.clock.now += self._step_s
        self._broker.land()
        found = []
        for spot, position in self._positions.items() if self._broker.up else ():
            for offset, (key, value) in enumerate(self._broker.logs[spot][position : position + 3], start=position):
                found.append(Found(spot, offset, key, value))
                self._positions[spot] = offset + 1
        return found

    def hides(self, spots: Iterable[Spot]) -> bool:
        return self._broker.hides

    def position(self, spot: Spot) -> int:
        return self._positions[spot]

    def close(self) -> None:
        pass


class Killed(BaseException):
    """SIGKILL, as far as Python code can tell."""


@contextmanager
def killed_after(lines: int, modules: tuple[str, ...]) -> Iterator[None]:
    """Raise Killed before the `lines`-th line of code in files whose names begin with one of `modules`."""
    left = lines

    def trace(frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal left
        if not Path(frame.f_code.co_filename).name.startswith(modules):
            return None
        if event == "line":
            left -= 1
            if left <= 0:
                raise Killed
        return trace

    former = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(former)


def bury(folder: Path) -> None:
    """Close all files below a folder that this process has open: what the kernel does for the dead."""
    for thing in gc.get_objects():
        if issubclass(type(thing), io.BufferedReader) and not thing.closed and str(thing.name).startswith(str(folder)):
            thing.close()
    for link in list(Path("/proc/self/fd").iterdir()):
        try:
            target = link.readlink()
        except OSError:
            continue
        if target.is_relative_to(folder):
            os.close(int(link.name))
