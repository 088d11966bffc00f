"""Whether the offsets that come are those that should come: each the one before plus one, from the committed offset
on.

A repeat is no error: after a rebalance what was in flight comes again. A jump forward is: either the log no longer
holds what was to be read, or the consumer has skipped something.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gap:
    """Offsets `expected` … `found - 1` of a partition did not come."""

    partition: int
    expected: int
    found: int

    @property
    def records(self) -> int:
        return self.found - self.expected


class Continuity:
    """Watches the offsets of all partitions."""

    def __init__(self) -> None:
        self._next: dict[int, int] = {}
        self._starts: dict[int, int | None] = {}

    def assigned(self, starts: Mapping[int, int | None]) -> None:
        """Partitions were assigned; `starts` has the committed offset of each, or None without one."""
        self._starts.update(starts)

    def next_offset(self, partition: int) -> int | None:
        """The offset that should come next, if any came."""
        return self._next.get(partition)

    def check(self, partition: int, offset: int) -> Gap | None:
        """Take note of a record; the gap before it, if there is one."""
        expected = self._next.get(partition)
        self._next[partition] = offset + 1
        if expected is not None and offset <= expected:
            return None  # the next one, or a rewind to what was committed
        if partition in self._starts:
            # The first of a new assignment; what another collector did meanwhile lies in between.
            expected = self._starts.pop(partition)
        if expected is None or offset <= expected:
            return None
        return Gap(partition, expected, offset)
