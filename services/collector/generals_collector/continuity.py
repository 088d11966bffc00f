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
        self._starts: dict[int, int] = {}

    def assigned(self, starts: Mapping[int, int]) -> None:
        """Partitions were assigned; `starts` has the offset at which each goes on."""
        self._starts.update(starts)

    def check(self, partition: int, offset: int) -> Gap | None:
        """Take note of a record; the gap before it, if there is one."""
        expected = self._next.get(partition)
        self._next[partition] = offset + 1
        if expected is not None and offset <= expected:
            return None  # the next one, or a rewind to what was committed
        # After a new assignment what another collector did meanwhile may lie in between.
        known = [one for one in (expected, self._starts.pop(partition, None)) if one is not None]
        if not known or offset <= max(known):
            return None
        return Gap(partition, max(known), offset)
