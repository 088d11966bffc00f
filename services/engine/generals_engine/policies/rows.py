"""Sets of tiles as row masks: bit x of word y. One step in all directions costs a few instructions a row."""

# mypy: disable-error-code="no-any-return"

import numpy as np

from generals_engine.kernel.state import ALLIES, HEIGHT, OPEN, OWNED, PLAYERS, SCRATCH, TEAM, Bits, Game
from generals_schemas.actions import MAX_SIDE
from generals_schemas.jit import jit_kernel

TEAM_ROWS = SCRATCH
FRONT_ROWS = SCRATCH + MAX_SIDE
REACHED_ROWS = SCRATCH + 2 * MAX_SIDE

ONE = np.uint64(1)
NONE = np.uint64(0)


@jit_kernel
def mark_team(game: Game, bits: Bits, player: int) -> None:
    """TEAM_ROWS: the tiles of the player's team."""
    height = game[HEIGHT]
    for y in range(height):
        bits[TEAM_ROWS + y] = bits[OWNED + player * MAX_SIDE + y]
    if not game[ALLIES]:
        return
    for mate in range(game[PLAYERS]):
        if mate != player and game[TEAM + mate] == game[TEAM + player]:
            for y in range(height):
                bits[TEAM_ROWS + y] |= bits[OWNED + mate * MAX_SIDE + y]


@jit_kernel
def mark_front(game: Game, bits: Bits, player: int) -> bool:
    """FRONT_ROWS: the player's tiles next to an open tile of another team or of nobody. False if there are none."""
    height = game[HEIGHT]
    above, here, found = NONE, bits[OPEN] & ~bits[TEAM_ROWS], NONE
    for y in range(height):
        under = bits[OPEN + y + 1] & ~bits[TEAM_ROWS + y + 1] if y + 1 < height else NONE
        front = bits[OWNED + player * MAX_SIDE + y] & (above | under | here << ONE | here >> ONE)
        bits[FRONT_ROWS + y] = front
        found |= front
        above, here = here, under
    return found != NONE


@jit_kernel
def has(bits: Bits, rows: int, x: int, y: int) -> bool:
    return (bits[rows + y] >> np.uint64(x)) & ONE != NONE


@jit_kernel
def spread(game: Game, bits: Bits) -> bool:
    """REACHED_ROWS grow by one step within TEAM_ROWS; whether they grew."""
    height = game[HEIGHT]
    above, grown = NONE, NONE
    for y in range(height):
        here = bits[REACHED_ROWS + y]
        under = bits[REACHED_ROWS + y + 1] if y + 1 < height else NONE
        after = here | (bits[TEAM_ROWS + y] & (above | under | here << ONE | here >> ONE))
        bits[REACHED_ROWS + y] = after
        grown |= after ^ here
        above = here
    return grown != NONE
