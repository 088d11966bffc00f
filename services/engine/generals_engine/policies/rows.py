"""Sets of tiles as row masks: bit x of word y. One step in all directions costs a few instructions a row."""

# mypy: disable-error-code="no-any-return"

import numpy as np

from generals_engine.kernel.state import ALLIES, HEIGHT, OPEN, OWNED, PLAYERS, SCRATCH, TEAM, WIDTH, Bits, Game
from generals_schemas.actions import MAX_SIDE
from generals_schemas.jit import jit_kernel

TEAM_ROWS = SCRATCH
FRONT_ROWS = SCRATCH + MAX_SIDE
REACHED_ROWS = SCRATCH + 2 * MAX_SIDE
WALK_ROWS = SCRATCH + 4 * MAX_SIDE
GOAL_ROWS = SCRATCH + 5 * MAX_SIDE

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
def spread(game: Game, bits: Bits, within: int) -> bool:
    """REACHED_ROWS grow by one step within the rows `within`; whether they grew."""
    height = game[HEIGHT]
    above, grown = NONE, NONE
    for y in range(height):
        here = bits[REACHED_ROWS + y]
        under = bits[REACHED_ROWS + y + 1] if y + 1 < height else NONE
        after = here | (bits[within + y] & (above | under | here << ONE | here >> ONE))
        bits[REACHED_ROWS + y] = after
        grown |= after ^ here
        above = here
    return grown != NONE


@jit_kernel
def ways_towards(game: Game, bits: Bits, source: int, goal: int, within: int) -> int:
    """Bit d: a step in direction d begins a shortest way from `source` to the rows `goal` by tiles of `within`; or 0.

    `source` itself need not be in `within`; if it is in `goal`, that does not count.
    """
    y = source // game[WIDTH]
    x = source - y * game[WIDTH]
    for row in range(game[HEIGHT]):
        bits[REACHED_ROWS + row] = bits[goal + row]
    while True:
        ways = _reached_beside(game, bits, x, y)
        if ways or not spread(game, bits, within):
            return ways


@jit_kernel
def _reached_beside(game: Game, bits: Bits, x: int, y: int) -> int:
    """Bit d: the tile next to (x, y) in direction d is on the board and reached."""
    ways = 0
    if y > 0 and has(bits, REACHED_ROWS, x, y - 1):
        ways |= 1
    if y < game[HEIGHT] - 1 and has(bits, REACHED_ROWS, x, y + 1):
        ways |= 2
    if x > 0 and has(bits, REACHED_ROWS, x - 1, y):
        ways |= 4
    if x < game[WIDTH] - 1 and has(bits, REACHED_ROWS, x + 1, y):
        ways |= 8
    return ways


@jit_kernel
def aim_at_tile(game: Game, bits: Bits, tile: int) -> None:
    """GOAL_ROWS: one tile."""
    for y in range(game[HEIGHT]):
        bits[GOAL_ROWS + y] = NONE
    y = tile // game[WIDTH]
    bits[GOAL_ROWS + y] = ONE << np.uint64(tile - y * game[WIDTH])


@jit_kernel
def room_around(game: Game, bits: Bits, tile: int) -> int:
    """How many of the 12 tiles up to three steps straight away are in WALK_ROWS and not the team's."""
    y = tile // game[WIDTH]
    x = tile - y * game[WIDTH]
    room = 0
    for step in range(1, 4):
        room += y >= step and _is_free(bits, x, y - step)
        room += y + step < game[HEIGHT] and _is_free(bits, x, y + step)
        room += x >= step and _is_free(bits, x - step, y)
        room += x + step < game[WIDTH] and _is_free(bits, x + step, y)
    return room


@jit_kernel
def _is_free(bits: Bits, x: int, y: int) -> bool:
    return has(bits, WALK_ROWS, x, y) and not has(bits, TEAM_ROWS, x, y)
