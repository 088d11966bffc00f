"""The flat action index and what it means.

Action `(y * W + x) * 4 + direction` moves all but one unit out of tile (x, y); the same plus `4 * H * W` moves half;
`8 * H * W` passes. -1 stands for the action of a player who is dead.

Kernels freeze these constants when they are compiled (see `generals_schemas.jit`).
"""

from typing import NamedTuple

UP, DOWN, LEFT, RIGHT = 0, 1, 2, 3
DIRECTION_NAMES = ("up", "down", "left", "right")
DX = (0, 0, -1, 1)
DY = (-1, 1, 0, 0)

DEAD = -1

MAX_PLAYERS = 12
MAX_SIDE = 64


class Move(NamedTuple):
    """A move as people say it."""

    x: int
    y: int
    direction: int
    split: bool


def num_actions(width: int, height: int) -> int:
    """How many actions a board has, the pass included."""
    return 8 * width * height + 1


def pass_action(width: int, height: int) -> int:
    """The index of the pass."""
    return 8 * width * height


def encode(move: Move | None, width: int, height: int) -> int:
    """The flat index of a move, or of the pass for None.

    Raises:
        ValueError: the tile is off the board or the direction is unknown.
    """
    if move is None:
        return pass_action(width, height)
    if not (0 <= move.x < width and 0 <= move.y < height):
        raise ValueError(f"tile ({move.x}, {move.y}) is off a board of {width} x {height}")
    if move.direction not in (UP, DOWN, LEFT, RIGHT):
        raise ValueError(f"direction {move.direction} is unknown: 0 up, 1 down, 2 left, 3 right")
    index = (move.y * width + move.x) * 4 + move.direction
    return index + 4 * width * height if move.split else index


def decode(action: int, width: int, height: int) -> Move | None:
    """The move of a flat index; None for the pass.

    Raises:
        ValueError: the index is outside `0 … 8 * H * W`.
    """
    tiles = width * height
    if action == 8 * tiles:
        return None
    if not 0 <= action < 8 * tiles:
        raise ValueError(f"action {action} is outside 0 … {8 * tiles} (a board of {width} x {height})")
    split, rest = divmod(action, 4 * tiles)
    index, direction = divmod(rest, 4)
    return Move(index % width, index // width, direction, bool(split))
