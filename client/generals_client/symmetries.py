"""The eight symmetries of a square board (four of another): for states, masks and flat actions.

Symmetry `s` first transposes if bit 2 of `s` is set, then mirrors left-right if bit 0 is, then upside down if bit 1 is.
0 changes nothing. The four without a transposition keep every board's shape, so a board that is not square has only
them. The trainer samples by the same ones.

Axes: N experiences, C channels, H W board, A = 8 * H * W + 1 actions.
"""

from functools import cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from generals_schemas.actions import DEAD, DX, DY, num_actions

MIRROR, FLIP, TRANSPOSE = 1, 2, 4
Scalar = TypeVar("Scalar", bound=np.generic)


def count(width: int, height: int) -> int:
    """How many symmetries keep a board's shape."""
    return 8 if width == height else 4


def inverse(symmetry: int) -> int:
    """The symmetry that undoes one. All undo themselves but the two turns by a quarter, which undo each other."""
    mirror, flip, transpose = symmetry & MIRROR, symmetry & FLIP, symmetry & TRANSPOSE
    if not transpose:
        return symmetry
    return transpose | (FLIP if mirror else 0) | (MIRROR if flip else 0)


def turn_state(state: NDArray[Scalar], symmetry: int) -> NDArray[Scalar]:
    """States `[..., H, W]` seen by a symmetry; a view where numpy can give one.

    Raises:
        ValueError: the symmetry does not keep the board's shape.
    """
    height, width = state.shape[-2:]
    _check(symmetry, width, height)
    turned = state.swapaxes(-1, -2) if symmetry & TRANSPOSE else state
    if symmetry & MIRROR:
        turned = turned[..., ::-1]
    return turned[..., ::-1, :] if symmetry & FLIP else turned


def turn_mask(mask: NDArray[Scalar], symmetry: int, width: int, height: int) -> NDArray[Scalar]:
    """Masks, or values of actions, `[..., A]`."""
    if mask.shape[-1] != num_actions(width, height):
        raise ValueError(f"{mask.shape[-1]} actions, a board of {width} x {height} has {num_actions(width, height)}")
    return mask[..., _sources(symmetry, width, height)]


def turn_action(action: NDArray[np.integer[Any]], symmetry: int, width: int, height: int) -> NDArray[np.int32]:
    """Flat actions of any shape; -1 (dead) stays -1.

    Raises:
        ValueError: an action that the board does not have.
    """
    actions = np.asarray(action)
    if actions.size and not (actions.min() >= DEAD and actions.max() < num_actions(width, height)):
        raise ValueError(f"actions outside -1 … {num_actions(width, height) - 1} on a board of {width} x {height}")
    return np.where(actions == DEAD, DEAD, _targets(symmetry, width, height)[actions]).astype(np.int32)


def _check(symmetry: int, width: int, height: int) -> None:
    if not 0 <= symmetry < count(width, height):
        raise ValueError(
            f"symmetry {symmetry} does not keep a board of {width} x {height}: 0 … {count(width, height) - 1} do"
        )


@cache
def _targets(symmetry: int, width: int, height: int) -> NDArray[np.int32]:
    """`[A]`: what each action is called on the turned board."""
    _check(symmetry, width, height)
    tile = np.arange(width * height)
    x, y = tile % width, tile // width
    if symmetry & TRANSPOSE:
        x, y = y, x
    tiles = (height - 1 - y if symmetry & FLIP else y) * width + (width - 1 - x if symmetry & MIRROR else x)
    moves = tiles[:, None] * 4 + np.array([_turn_direction(direction, symmetry) for direction in range(4)])
    half = 4 * width * height
    targets = np.concatenate([moves.ravel(), half + moves.ravel(), [2 * half]]).astype(np.int32)
    targets.flags.writeable = False
    return targets


@cache
def _sources(symmetry: int, width: int, height: int) -> NDArray[np.int64]:
    """`[A]`: which action of the old board each of the new one is."""
    return np.argsort(_targets(symmetry, width, height))


def _turn_direction(direction: int, symmetry: int) -> int:
    dx, dy = DX[direction], DY[direction]
    if symmetry & TRANSPOSE:
        dx, dy = dy, dx
    turned = (-dx if symmetry & MIRROR else dx, -dy if symmetry & FLIP else dy)
    return list(zip(DX, DY, strict=True)).index(turned)
