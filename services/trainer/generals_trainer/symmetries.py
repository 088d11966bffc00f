"""The eight symmetries of a square board (four of another), as tables for boards, masks and actions.

Symmetry `s` first transposes if bit 2 of `s` is set, then mirrors left-right if bit 0 is, then upside down if bit 1 is.
The four without a transposition keep every board's shape, so they are the only ones of a board that is not square.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from generals_schemas.actions import DX, DY, num_actions

MIRROR, FLIP, TRANSPOSE = 1, 2, 4


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
    made = [_tables(symmetry, width, height) for symmetry in range(8 if width == height else 4)]
    moved = np.stack([actions for _, actions in made])
    return Symmetries(
        tiles=np.stack([np.argsort(tiles) for tiles, _ in made]),
        actions=np.argsort(moved, axis=1),
        moved=moved,
    )


def _tables(symmetry: int, width: int, height: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each tile and each action goes."""
    tile = np.arange(width * height)
    x, y = _turn(symmetry, tile % width, tile // width, width - 1, height - 1)
    tiles = y * width + x
    actions = np.empty(num_actions(width, height), np.int64)
    half = 4 * width * height
    for direction in range(4):
        dx, dy = _turn(symmetry, np.array(DX[direction]), np.array(DY[direction]), 0, 0)
        turned = list(zip(DX, DY, strict=True)).index((int(dx), int(dy)))
        actions[tile * 4 + direction] = tiles * 4 + turned
        actions[half + tile * 4 + direction] = half + tiles * 4 + turned
    actions[2 * half] = 2 * half
    return tiles, actions


def _turn(
    symmetry: int, x: NDArray[np.int64], y: NDArray[np.int64], right: int, bottom: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions for `right`, `bottom` = the last column and row; differences of positions for 0, 0."""
    if symmetry & TRANSPOSE:
        x, y = y, x
    return (right - x if symmetry & MIRROR else x), (bottom - y if symmetry & FLIP else y)
