"""A sum tree in numba that works in blocks: many leaves set, many prefix sums found a call.

Sixteen children a node instead of two: a million leaves are five levels deep, and one node's children are one or two
cache lines, so a search touches a tenth of what a binary tree's does. Parents are always summed again from their
children in one order, never adjusted by a difference: the tree is a function of its leaves alone, to the bit, which
is what lets a restored buffer sample as the old one would have.
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
        self._nodes: NDArray[np.float64] = np.zeros(int(self._starts[-1]), np.float64)

    @property
    def nbytes(self) -> int:
        return int(self.leaves.nbytes + self._nodes.nbytes)

    def total(self) -> float:
        """The sum of all leaves."""
        return float(_top_sum(self.leaves, self._nodes, self._starts))

    def set(self, indices: NDArray[np.int64], values: NDArray[np.float32]) -> None:
        """Leaves `indices` become `values`; of an index that stands twice the last value counts.

        indices: `[N]`.  values: `[N]`, finite, not negative.
        """
        _set(self.leaves, self._nodes, self._starts, indices, values)

    def fill(self, start: int, stop: int, value: float) -> None:
        """Leaves `start … stop - 1` become `value`."""
        if start < stop:
            self.leaves[start:stop] = value
            _sum_range(self.leaves, self._nodes, self._starts, start, stop)

    def load(self, leaves: NDArray[np.float32]) -> None:
        """All leaves at once. leaves: `[capacity]`."""
        self.leaves[: self.capacity] = leaves
        _sum_range(self.leaves, self._nodes, self._starts, 0, self.capacity)

    def find(self, sums: NDArray[np.float64]) -> NDArray[np.int64]:
        """For each prefix sum the leaf it falls in; never a leaf of 0 while another is left.

        sums: `[N]`, each in `0 … total()`; ascending ones are fastest.
        """
        return _find(self.leaves, self._nodes, self._starts, sums)


def _padded(size: int) -> int:
    return -(-size // FAN) * FAN


@jit
def _top_sum(leaves: NDArray[np.float32], nodes: NDArray[np.float64], starts: NDArray[np.int64]) -> float:
    total = 0.0
    if len(starts) == 1:
        for leaf in leaves:
            total += leaf
    else:
        for i in range(starts[-2], starts[-1]):
            total += nodes[i]
    return total


@jit
def _sum_leaves(leaves: NDArray[np.float32], parent: int) -> float:
    total = 0.0
    for i in range(parent * 16, parent * 16 + 16):
        total += leaves[i]
    return total


@jit
def _sum_nodes(nodes: NDArray[np.float64], first: int) -> float:
    total = 0.0
    for i in range(first, first + 16):
        total += nodes[i]
    return total


@jit
def _set(
    leaves: NDArray[np.float32],
    nodes: NDArray[np.float64],
    starts: NDArray[np.int64],
    indices: NDArray[np.int64],
    values: NDArray[np.float32],
) -> None:
    for i in range(len(indices)):
        leaves[indices[i]] = values[i]
    levels = len(starts) - 1
    if levels == 0:
        return
    last = -1
    for index in indices:
        parent = index >> 4
        if parent != last:
            nodes[parent] = _sum_leaves(leaves, parent)
        last = parent
    for level in range(1, levels):
        shift = 4 * (level + 1)
        last = -1
        for index in indices:
            parent = index >> shift
            if parent != last:
                nodes[starts[level] + parent] = _sum_nodes(nodes, starts[level - 1] + parent * 16)
            last = parent


@jit
def _sum_range(
    leaves: NDArray[np.float32], nodes: NDArray[np.float64], starts: NDArray[np.int64], start: int, stop: int
) -> None:
    levels = len(starts) - 1
    if levels == 0:
        return
    for parent in range(start >> 4, ((stop - 1) >> 4) + 1):
        nodes[parent] = _sum_leaves(leaves, parent)
    for level in range(1, levels):
        shift = 4 * (level + 1)
        for parent in range(start >> shift, ((stop - 1) >> shift) + 1):
            nodes[starts[level] + parent] = _sum_nodes(nodes, starts[level - 1] + parent * 16)


@jit
def _find(
    leaves: NDArray[np.float32], nodes: NDArray[np.float64], starts: NDArray[np.int64], sums: NDArray[np.float64]
) -> NDArray[np.int64]:
    found = np.empty(len(sums), np.int64)
    levels = len(starts) - 1
    for q in range(len(sums)):
        rest = sums[q]
        index = 0
        for level in range(levels - 1, -1, -1):
            index *= 16
            chosen = index
            for child in range(index, index + 16):
                mass = nodes[starts[level] + child]
                if mass > 0.0:
                    chosen = child
                    if rest < mass:
                        break
                    rest -= mass
            index = chosen
        index *= 16
        chosen = index
        for child in range(index, index + 16):
            mass = np.float64(leaves[child])
            if mass > 0.0:
                chosen = child
                if rest < mass:
                    break
                rest -= mass
        found[q] = chosen
    return found
