"""Which records are not wholly handed on, so that a saved position never passes one."""

from collections import OrderedDict

from generals_client.batch import ShapeKey
from generals_client.positions import Mark, Position
from generals_client.reader import Delivered


class Ledger:
    """The records of each partition from the first that is not wholly handed on."""

    def __init__(self) -> None:
        self._open: dict[int, OrderedDict[int, _Entry]] = {}

    def add(self, record: Delivered, key: ShapeKey | None = None) -> None:
        """A record that waits to be handed on, in the queue of its shape."""
        partition = self._open.setdefault(record.partition, OrderedDict())
        partition[record.offset] = _Entry(record.batch.steps, record.handed, record.mark_before, key)

    def hand(self, record: Delivered, handed: int) -> None:
        """Note that the first `handed` steps of a record were handed on (all of them: it is done)."""
        partition = self._open[record.partition]
        entry = partition[record.offset]
        entry.handed = handed
        entry.done = handed >= entry.steps
        while partition and next(iter(partition.values())).done:
            partition.popitem(last=False)

    def position(self, read: Position) -> Position:
        """What `read` (behind all that was polled) comes to when open records are not passed."""
        entries = self._open.get(read.partition)
        if not entries:
            return read
        offset, first = next(iter(entries.items()))
        handed = {at: entry.handed for at, entry in entries.items() if entry.handed}
        return Position(
            read.topic, read.partition, offset, first.mark_before, read.source_id, {**handed, **read.handed}
        )

    def forget(self, partition: int) -> None:
        """The partition is another member's now."""
        self._open.pop(partition, None)

    def holding(self, limit: int) -> ShapeKey | None:
        """A shape whose oldest record holds a partition's position back by more than `limit` records."""
        for entries in self._open.values():
            if len(entries) > limit:
                return next(iter(entries.values())).key
        return None


class _Entry:
    __slots__ = ("done", "handed", "key", "mark_before", "steps")

    def __init__(self, steps: int, handed: int, mark_before: Mark | None, key: ShapeKey | None) -> None:
        self.steps = steps
        self.handed = handed
        self.mark_before = mark_before
        self.key = key
        self.done = False
