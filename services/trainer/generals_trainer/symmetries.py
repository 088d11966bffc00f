"""The symmetries of `generals_client.symmetries` as tables, so that each sample of a batch can have one of its own."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from generals_client.symmetries import count, turn_action, turn_mask, turn_state
from generals_schemas.actions import num_actions


@dataclass(frozen=True, slots=True, eq=False)
class Symmetries:
    """Of one board size; K symmetries. Tables hold where to read: `new[i] = old[table[s, i]]`.

    tiles: `[K, HW]`.  actions: `[K, A]`, for masks and values.
    moved: `[K, A]`, the other way: what action `a` is called on the new board.
    """

    tiles: NDArray[np.int64]
    actions: NDArray[np.int64]
    moved: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.tiles)


@cache
def symmetries(width: int, height: int) -> Symmetries:
    """All symmetries that keep a board's shape: eight if it is square, else four. The first changes nothing."""
    tiles = np.arange(width * height).reshape(height, width)
    actions = np.arange(num_actions(width, height))
    kept = range(count(width, height))
    return Symmetries(
        tiles=np.stack([turn_state(tiles, symmetry).ravel() for symmetry in kept]),
        actions=np.stack([turn_mask(actions, symmetry, width, height) for symmetry in kept]),
        moved=np.stack([turn_action(actions, symmetry, width, height) for symmetry in kept]).astype(np.int64),
    )
