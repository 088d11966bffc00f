"""What a player knows beyond what it sees now: where it has been, and where it saw an enemy's general."""

# mypy: disable-error-code="no-any-return"

import numpy as np

from generals_engine.kernel.land import NOBODY, is_general, owner_of
from generals_engine.kernel.moves import same_team
from generals_engine.kernel.state import (
    EXPLORED,
    HEIGHT,
    NOTE_WORDS,
    NOTES,
    OPEN,
    STRUCTURE_COUNT,
    STRUCTURES,
    WIDTH,
    Bits,
    Game,
)
from generals_engine.kernel.view import SEEN_ROWS, is_seen, mark_seen
from generals_engine.policies.rows import GOAL_ROWS, NONE, ONE, REACHED_ROWS, TEAM_ROWS, WALK_ROWS
from generals_schemas.actions import MAX_SIDE
from generals_schemas.jit import jit_kernel
from generals_schemas.unaligned import trailing_zeros

# Words of a policy's notes.
ENEMY_GENERAL = 0  # its tile + 1; 0: not known


@jit_kernel
def look_around(game: Game, bits: Bits, player: int) -> int:
    """Mark SEEN_ROWS and EXPLORED, note generals; the tile of an enemy's general, now seen or remembered, or -1."""
    mark_seen(game, bits, player)
    for y in range(game[HEIGHT]):
        bits[EXPLORED + player * MAX_SIDE + y] |= bits[SEEN_ROWS + y]
    note = NOTES + player * NOTE_WORDS + ENEMY_GENERAL
    known = game[note] - 1
    if known >= 0 and is_seen(game, bits, known) and not _is_enemy_general(game, player, known):
        game[note] = 0
    for i in range(game[STRUCTURE_COUNT]):
        tile = game[STRUCTURES + i]
        if _is_enemy_general(game, player, tile) and is_seen(game, bits, tile):
            game[note] = tile + 1
    return game[note] - 1


@jit_kernel
def _is_enemy_general(game: Game, player: int, tile: int) -> bool:
    return is_general(game, tile) and not same_team(game, player, owner_of(game, tile))


@jit_kernel
def mark_walk(game: Game, bits: Bits, player: int) -> None:
    """WALK_ROWS: where an army can go without fighting for a city. A city in the fog looks like a mountain."""
    for y in range(game[HEIGHT]):
        bits[WALK_ROWS + y] = bits[OPEN + y]
    for i in range(game[STRUCTURE_COUNT]):
        tile = game[STRUCTURES + i]
        if not is_general(game, tile) and not same_team(game, player, owner_of(game, tile)):
            y = tile // game[WIDTH]
            bits[WALK_ROWS + y] &= ~(ONE << np.uint64(tile - y * game[WIDTH]))


@jit_kernel
def aim_at_the_unknown(game: Game, bits: Bits, player: int, general: int, apart: int) -> bool:
    """GOAL_ROWS: tiles never seen where an enemy's general may stand; only those near seen enemy land if there are any.

    Generals stand `apart` steps from each other at least. False if there are none.
    """
    height = game[HEIGHT]
    found = NONE
    for y in range(height):
        bits[GOAL_ROWS + y] = (
            bits[WALK_ROWS + y] & ~bits[EXPLORED + player * MAX_SIDE + y] & ~_around(game, general, y, apart)
        )
        found |= bits[GOAL_ROWS + y]
    if found == NONE:
        return False
    found = NONE
    for y in range(height):
        bits[REACHED_ROWS + y] = bits[GOAL_ROWS + y] & _near_enemies(game, bits, y)
        found |= bits[REACHED_ROWS + y]
    if found != NONE:
        for y in range(height):
            bits[GOAL_ROWS + y] = bits[REACHED_ROWS + y]
    return True


@jit_kernel
def _around(game: Game, tile: int, y: int, reach: int) -> np.uint64:
    """Row y of the tiles less than `reach` steps from a tile; nothing if there is no tile."""
    if tile < 0:
        return NONE
    width = game[WIDTH]
    half = reach - 1 - abs(y - tile // width)
    if half < 0:
        return NONE
    x = tile % width
    low, high = max(0, x - half), min(width - 1, x + half)
    return (~NONE >> np.uint64(63 - (high - low))) << np.uint64(low)


@jit_kernel
def _near_enemies(game: Game, bits: Bits, y: int) -> np.uint64:
    """Row y of the tiles within three rows and two columns of a seen enemy tile."""
    near = NONE
    for other in range(max(0, y - 3), min(game[HEIGHT], y + 4)):
        row = _seen_enemies(game, bits, other)
        near |= row | row << ONE | row >> ONE | row << np.uint64(2) | row >> np.uint64(2)
    return near


@jit_kernel
def aim_at_enemies(game: Game, bits: Bits) -> bool:
    """GOAL_ROWS: seen tiles of enemies."""
    found = NONE
    for y in range(game[HEIGHT]):
        bits[GOAL_ROWS + y] = _seen_enemies(game, bits, y)
        found |= bits[GOAL_ROWS + y]
    return found != NONE


@jit_kernel
def _seen_enemies(game: Game, bits: Bits, y: int) -> np.uint64:
    """Row y of the seen tiles that belong to another team."""
    row = bits[SEEN_ROWS + y] & bits[WALK_ROWS + y] & ~bits[TEAM_ROWS + y]
    enemies = NONE
    while row != NONE:
        x = trailing_zeros(row)
        if owner_of(game, y * game[WIDTH] + x) != NOBODY:
            enemies |= ONE << np.uint64(x)
        row &= row - ONE
    return enemies
