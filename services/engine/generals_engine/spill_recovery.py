"""What a dead engine left on disk: which of it does the log have already?

In each partition its records went out in order and without a gap, so the log has the first few of them, in order,
perhaps among those of others, and not before the offset that was noted when they were spilled. Reading the log from
there to its end and ticking off finds them.

Unusual: the end of the log must then stay still for a while. A request of the dead process may be with the broker and
not yet be in the log; nothing else tells.
"""

from __future__ import annotations

import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from generals_engine.spill_frames import Record, Spot, digest
from generals_engine.spill_log import SpillLog
from generals_runtime.errors import OperatorError

_log = structlog.get_logger("generals_engine.spill")
SETTLE_S = 2.0
REPLICAS_SETTLE_S = 60.0
"""With replicas: a record that one of them has not fetched is in the log and not to be seen, until the replica has it
or is dropped, up to 45 s later (one and a half times the broker's `replica.lag.time.max.ms`). If fewer are left than
must have a record (`min.insync.replicas`), it is hidden until more are back. Play goes on meanwhile."""


class LogGone(OperatorError):
    """What the log held when records were spilled is no longer there: whether they are in it cannot be told."""


@dataclass(frozen=True, slots=True)
class Found:
    """A record of the log."""

    spot: Spot
    offset: int
    key: bytes
    value: bytes


class LogReader(Protocol):
    """Reads Kafka's log. While the broker is away it finds nothing and raises nothing."""

    def span(self, spot: Spot) -> tuple[int, int] | None:
        """First offset and end of a partition; None if the broker does not answer."""

    def seek(self, starts: Mapping[Spot, int]) -> None:
        """Read these partitions from these offsets."""

    def read(self, timeout_s: float) -> list[Found]:
        """Some records."""

    def hides(self, spots: Iterable[Spot]) -> bool:
        """Whether one of these partitions may hold records that cannot be seen, for want of replicas."""

    def position(self, spot: Spot) -> int:
        """All records below this offset have been read."""

    def close(self) -> None: ...


@dataclass(slots=True)
class _Expected:
    """One partition's old records, oldest first. found: how many of them the log has."""

    numbers: array[int] = field(default_factory=lambda: array("Q"))
    digests: array[int] = field(default_factory=lambda: array("Q"))
    found: int = 0

    def tick_off(self, seen: int) -> bool:
        if self.found == len(self.digests) or self.digests[self.found] != seen:
            return False
        self.found += 1
        return True


class Recovery:
    """Call `step` until it says True; the log is then ready to be handed on."""

    def __init__(
        self,
        log: SpillLog,
        reader: LogReader,
        ids: Mapping[str, str],
        *,
        settle_s: float = SETTLE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log, self._reader, self._settle_s, self._clock = log, reader, settle_s, clock
        self.given_up: Counter[str] = Counter()  # records, by topic
        self._expected = self._look(ids)
        self._ends: dict[Spot, int] | None = None
        self._still_since: float | None = None
        self._sought = False
        if self._expected:
            _log.warning("records of a former process wait on disk", records=self.records, folder=str(log.folder))

    @property
    def records(self) -> int:
        return sum(len(one.numbers) for one in self._expected.values())

    def step(self, timeout_s: float) -> bool:
        """Read on for about `timeout_s`. Raises LogGone."""
        if not self._expected:
            return self._finish({})
        if not self._sought and not self._seek():
            return False
        if self._ends is None and not self._find_ends():
            return False
        self._read(timeout_s)
        if self._ends is None or any(self._reader.position(spot) < end for spot, end in self._ends.items()):
            return False
        return self._settled()

    def _look(self, ids: Mapping[str, str]) -> dict[Spot, _Expected]:
        """Go through the old files once: what is settled, what cannot follow on a hole, what to look for."""
        expected: dict[Spot, _Expected] = {}
        for number, record in self._continuing(self._log):
            spot = record.spot
            if number <= self._log.settled.get(spot, -1):
                self._log.settle(spot, number)
                continue
            one = expected.setdefault(spot, _Expected())
            one.numbers.append(number)
            one.digests.append(digest(record.key, record.value))
        for topic, topic_id in self._log.old_ids():
            waiting = sum(len(one.numbers) for spot, one in expected.items() if spot[0] == topic)
            if waiting and ids.get(topic) != topic_id:
                raise LogGone(
                    f"{self._log.folder}: {waiting} records wait for topic {topic} with id {topic_id}, but it has id "
                    f"{ids.get(topic, 'none (another topic is used)')} now. Move the folder away to give them up."
                )
        return expected

    def _continuing(self, log: SpillLog) -> Iterator[tuple[int, Record]]:
        """The old records less those of games that might go on behind a gap: files were lost or damaged before.

        Without damage a number left out is no gap: the record went straight to Kafka between two spells of spilling.
        """
        following: dict[bytes, int] = {}
        for number, record in log.old_records():
            game = record.key
            whole = log.damaged_at is None or number < log.damaged_at
            if whole or following.get(game, 0) == record.index:
                following[game] = record.index + 1
                yield number, record
            else:
                log.cut(number)
                self.given_up[record.topic] += 1

    def _seek(self) -> bool:
        starts = self._log.old_starts()
        for spot in self._expected:
            span = self._reader.span(spot)
            if span is None:
                return False
            if span[0] > starts.get(spot, 0):
                raise LogGone(
                    f"{self._log.folder}: records wait that may lie in {spot[0]}[{spot[1]}] from offset "
                    f"{starts.get(spot, 0)} on, but that log begins at {span[0]} now: whether they were sent cannot be "
                    "told. Move the folder away to give them up."
                )
        self._reader.seek({spot: starts.get(spot, 0) for spot in self._expected})
        self._sought = True
        return True

    def _find_ends(self) -> bool:
        ends = {}
        for spot in self._expected:
            span = self._reader.span(spot)
            if span is None:
                return False
            ends[spot] = span[1]
        self._ends = ends
        return True

    def _read(self, timeout_s: float) -> None:
        until = self._clock() + timeout_s
        while True:
            for found in self._reader.read(min(0.1, timeout_s)):
                if found.spot in self._expected:
                    self._tick_off(found)
            if self._clock() >= until or self._at_end():
                return

    def _at_end(self) -> bool:
        return all(self._reader.position(spot) >= end for spot, end in (self._ends or {}).items())

    def _tick_off(self, found: Found) -> None:
        one = self._expected[found.spot]
        if one.tick_off(digest(found.key, found.value)):
            self._still_since = None

    def _settled(self) -> bool:
        """At the end of the log: look again, until nothing of ours has come for a while."""
        now = self._clock()
        if self._still_since is None or self._reader.hides(self._expected):
            self._still_since = now
        done = now - self._still_since >= self._settle_s
        ends, self._ends = self._ends or {}, None
        return self._finish(ends) if done else False

    def _finish(self, ends: Mapping[Spot, int]) -> bool:
        found = 0
        for spot, one in self._expected.items():
            found += one.found
            for number in one.numbers[: one.found]:
                self._log.settle(spot, number)
            self._log.ends[spot] = max(self._log.ends.get(spot, 0), ends.get(spot, 0))
        self._log.recovering = False
        self._reader.close()
        if self.given_up:
            _log.error(
                "records behind a damaged spill file are given up: their games end there", records=self.given_up.total()
            )
        if self.records:
            _log.info("spilled records of a former process", sent_by_it=found, to_send=self.records - found)
        return True
