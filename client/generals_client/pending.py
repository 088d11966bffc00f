"""Steps that wait until a batch of their boards' shape is full."""

from collections import OrderedDict, deque

import numpy as np
from numpy.typing import NDArray

from generals_client.batch import ShapeKey
from generals_client.reader import Delivered

Steps = NDArray[np.int64]


class Queue:
    """Records of one shape, oldest first. `since`: the stream's clock when the oldest came."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.count = 0
        self._records: deque[tuple[Delivered, Steps]] = deque()

    def add(self, record: Delivered, steps: Steps) -> None:
        self._records.append((record, steps))
        self.count += len(steps)

    def take(self, limit: int) -> list[tuple[Delivered, Steps, int]]:
        """At most `limit` steps, oldest first: (record, its steps, how many leading steps are now handed on)."""
        taken: list[tuple[Delivered, Steps, int]] = []
        while self._records and limit:
            record, steps = self._records[0]
            if len(steps) <= limit:
                self._records.popleft()
                taken.append((record, steps, record.batch.steps))
            else:
                taken.append((record, steps[:limit], int(steps[limit])))
                self._records[0] = (record, steps[limit:])
            used = len(taken[-1][1])
            limit -= used
            self.count -= used
        return taken

    def forget(self, partition: int) -> None:
        """Drop what came from a partition."""
        self._records = deque(entry for entry in self._records if entry[0].partition != partition)
        self.count = sum(len(steps) for _, steps in self._records)


class Waiting:
    """The queues of all shapes, the longest unserved first."""

    def __init__(self) -> None:
        self._queues: OrderedDict[ShapeKey, Queue] = OrderedDict()

    def __len__(self) -> int:
        return len(self._queues)

    def add(self, key: ShapeKey, record: Delivered, steps: Steps, now: float) -> None:
        if key not in self._queues:
            self._queues[key] = Queue(now)
        self._queues[key].add(record, steps)

    def take(self, key: ShapeKey, limit: int, now: float) -> list[tuple[Delivered, Steps, int]]:
        """The next steps of a shape; what is left of it waits from now on."""
        queue = self._queues[key]
        taken = queue.take(limit)
        if queue.count:
            queue.since = now
            self._queues.move_to_end(key)
        else:
            del self._queues[key]
        return taken

    def first(self) -> ShapeKey | None:
        """The shape that waits longest."""
        return next(iter(self._queues), None)

    def since(self) -> float | None:
        """Since when it waits."""
        return next((queue.since for queue in self._queues.values()), None)

    def full(self, size: int) -> ShapeKey | None:
        """A shape of which at least `size` steps wait."""
        return next((key for key, queue in self._queues.items() if queue.count >= size), None)

    def forget(self, partition: int) -> None:
        """Drop what came from a partition."""
        for key in list(self._queues):
            self._queues[key].forget(partition)
            if not self._queues[key].count:
                del self._queues[key]
