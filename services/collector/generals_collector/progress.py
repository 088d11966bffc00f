"""How far each partition is, and whether it gets anywhere: a rebalance can leave a partition that nobody fetches."""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Stuck(NamedTuple):
    """A partition that stands at offset `position`."""

    partition: int
    position: int
    lag: int
    still_s: float

    def __str__(self) -> str:
        return f"partition {self.partition} has {self.lag} records left and has not moved for {self.still_s:.0f} s"


class Beyond(NamedTuple):
    """A log that ends before the `position` that was reached in it."""

    partition: int
    position: int
    end: int


class Progress:
    """Acknowledged positions against the ends of the log.

    `stalled` may be called from any thread: what it goes through is replaced, never changed.
    """

    def __init__(self, stall_after_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stall_after_s = stall_after_s
        self._clock = clock
        self._position: dict[int, int] = {}
        self._moved: dict[int, float] = {}
        self._lag: dict[int, int] = {}
        self._beyond: set[int] = set()

    @property
    def lag(self) -> Mapping[int, int]:
        """Records left in each partition when the log's ends were last known."""
        return self._lag

    def assigned(self, starts: Mapping[int, int]) -> None:
        """All that is ours from now on, with the offsets at which each goes on."""
        self._lag = {}
        self._position = dict(starts)
        self._moved = dict.fromkeys(starts, self._clock())

    def reached(self, partition: int, position: int) -> None:
        """All records before `position` are acknowledged."""
        if partition in self._position:
            self._position[partition] = position
            self._moved[partition] = self._clock()

    def look(self, ask: Callable[[], Mapping[int, int]]) -> list[Beyond]:
        """Ask where the log ends. Returns partitions whose log ended, in two looks in a row, before what was collected.

        A caught-up partition counts as moving, and so do all while the broker does not say (`ask` gives nothing). The
        answer may be seconds old when it comes, and records go on being acknowledged meanwhile: a log may well end
        before where we are by then, but never before where we were when we asked.
        """
        before = dict(self._position)
        ends = ask()
        if not ends:
            self._moved = dict.fromkeys(self._position, self._clock())
        known = {p: max(0, end - self._position[p]) for p, end in ends.items() if p in self._position}
        for partition, lag in known.items():
            if not lag:
                self._moved[partition] = self._clock()
        self._lag = {**self._lag, **known}
        beyond = {p: Beyond(p, before[p], ends[p]) for p in known if before.get(p, 0) > ends[p]}
        again = [found for p, found in beyond.items() if p in self._beyond]
        self._beyond = set(beyond)
        return again

    def stuck(self) -> list[Stuck]:
        """Partitions that have records left and have not moved for too long."""
        now, moved, position = self._clock(), self._moved, self._position
        found = (Stuck(p, position.get(p, 0), lag, now - moved.get(p, now)) for p, lag in self._lag.items())
        return [one for one in found if one.lag > 0 and one.still_s > self._stall_after_s]

    def stalled(self) -> str | None:
        """One of them, in words."""
        return next(map(str, self.stuck()), None)
