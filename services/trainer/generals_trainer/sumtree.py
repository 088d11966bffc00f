"""A sum tree in numba that works in blocks: many leaves set, many prefix sums found a call.

Sixteen children a node instead of two: a million leaves are five levels deep. Beside its sum a node keeps the running
sum over its siblings before it, so that a search compares sixteen numbers at once instead of subtracting one by one;
and all searches go down level by level together, so that they wait for memory together.

Parents are always summed again from their children in one order, never adjusted by a difference: the tree is a function
of its leaves alone, to the bit, which is what lets a restored buffer sample as the old one would have.
"""

import numpy as np
from numpy.typing import NDArray

from generals_schemas.jit import jit

FAN = 16


class SumTree:
    """`capacity` non-negative float32 leaves, all 0 at first; sums in float64."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a sum tree of {capacity} leaves: at least one is needed")
        self.capacity = capacity
        sizes = [_padded(capacity)]
        while sizes[-1] > FAN:
            sizes.append(_padded(sizes[-1] // FAN))
        self.leaves: NDArray[np.float32] = np.zeros(sizes[0], np.float32)
        self._starts: NDArray[np.int64] = np.cumsum([0, *sizes[1:]]).astype(np.int64)
        self._sums: NDArray[np.float64] = np.zeros(int(self._starts[-1]), np.float64)
        self._running: NDArray[np.float64] = np.zeros(int(self._starts[-1]), np.float64)

    @property
    def nbytes(self) -> int:
        return int(self.leaves.nbytes + self._sums.nbytes + self._running.nbytes)

    def total(self) -> float:
        """The sum of all leaves."""
        if len(self._starts) == 1:
            return float(self.leaves.sum(dtype=np.float64))
        return float(self._running[-1])

    def set(self, indices: NDArray[np.int64], values: NDArray[np.float32]) -> None:
        """Leaves `indices` become `values`; of an index that stands twice the last value counts.

        indices: `[N]`.  values: `[N]`, finite, not negative.
        """
        _set(self.leaves, self._sums, self._running, self._starts, indices, values)

    def fill(self, start: int, stop: int, value: float) -> None:
        """Leaves `start … stop - 1` become `value`."""
        if start < stop:
            self.leaves[start:stop] = value
            _sum_range(self.leaves, self._sums, self._running, self._starts, start, stop)

    def load(self, leaves: NDArray[np.float32]) -> None:
        """All leaves at once. leaves: `[capacity]`."""
        self.leaves[: self.capacity] = leaves
        _sum_range(self.leaves, self._sums, self._running, self._starts, 0, self.capacity)

    def find(self, sums: NDArray[np.float64]) -> NDArray[np.int64]:
        """For each prefix sum the leaf it falls in; never a leaf of 0 while another is left.

        sums: `[N]`, each in `0 … total()`; ascending ones are fastest.
        """
        found = np.zeros(len(sums), np.int64)
        _find(self.leaves, self._running, self._starts, sums.copy(), found)
        return found


def _padded(size: int) -> int:
    return -(-size // FAN) * FAN


@jit
def _sum_leaves(leaves: NDArray[np.float32], sums: NDArray[np.float64], parent: int) -> None:
    total = 0.0
    for leaf in leaves[parent * 16 : parent * 16 + 16]:
        total += leaf
    sums[parent] = total


@jit
def _run(sums: NDArray[np.float64], running: NDArray[np.float64], first: int) -> float:
    """Running sums of the 16 siblings that begin at node `first`. Returns their total."""
    siblings = sums[first : first + 16]
    out = running[first : first + 16]
    total = 0.0
    for i in range(16):
        total += siblings[i]
        out[i] = total
    return total


@jit
def _set(
    leaves: NDArray[np.float32],
    sums: NDArray[np.float64],
    running: NDArray[np.float64],
    starts: NDArray[np.int64],
    indices: NDArray[np.int64],
    values: NDArray[np.float32],
) -> None:
    for i in range(len(indices)):
        leaves[indices[i]] = values[i]
    if len(starts) == 1:
        return
    last = -1
    for index in indices:
        if index >> 4 != last:
            last = index >> 4
            _sum_leaves(leaves, sums, last)
    for level in range(len(starts) - 1):
        last = -1
        for index in indices:
            group = index >> (4 * (level + 2))
            if group != last:
                last = group
                total = _run(sums, running, starts[level] + group * 16)
                if level + 2 < len(starts):
                    sums[starts[level + 1] + group] = total


@jit
def _sum_range(
    leaves: NDArray[np.float32],
    sums: NDArray[np.float64],
    running: NDArray[np.float64],
    starts: NDArray[np.int64],
    start: int,
    stop: int,
) -> None:
    if len(starts) == 1:
        return
    for parent in range(start >> 4, ((stop - 1) >> 4) + 1):
        _sum_leaves(leaves, sums, parent)
    for level in range(len(starts) - 1):
        shift = 4 * (level + 2)
        for group in range(start >> shift, ((stop - 1) >> shift) + 1):
            total = _run(sums, running, starts[level] + group * 16)
            if level + 2 < len(starts):
                sums[starts[level + 1] + group] = total


@jit
def _choose(running: NDArray[np.float64], rest: float) -> int:
    """The first of 16 running sums above `rest`. If rounding has left none, the last that has a share."""
    below = 0
    for i in range(16):
        below += running[i] <= rest
    if below == 16:
        below = 15
        while below > 0 and running[below - 1] == running[below]:
            below -= 1
    return below


@jit
def _find(
    leaves: NDArray[np.float32],
    running: NDArray[np.float64],
    starts: NDArray[np.int64],
    rest: NDArray[np.float64],
    found: NDArray[np.int64],
) -> None:
    for level in range(len(starts) - 2, -1, -1):
        for q in range(len(rest)):
            first = starts[level] + found[q] * 16
            siblings = running[first : first + 16]
            child = _choose(siblings, rest[q])
            if child:
                rest[q] -= siblings[child - 1]
            found[q] = found[q] * 16 + child
    shares = np.empty(16, np.float64)
    for q in range(len(rest)):
        first = found[q] * 16
        total = 0.0
        for i in range(16):
            total += leaves[first + i]
            shares[i] = total
        found[q] = first + _choose(shares, rest[q])
