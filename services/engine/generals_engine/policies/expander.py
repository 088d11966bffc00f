"""`expander`: takes whatever it can take, the best first; otherwise its largest idle army walks to the nearest border.

Captures need no memory: every tile next to one's own is seen. In order: an enemy's general, an enemy's city, an enemy's
tile, a neutral city, neutral land; among equals the largest army goes. It walks inside its own land only, so that
it knows nothing of what lies in the fog.
"""

# mypy: disable-error-code="no-any-return"

import numpy as np

from generals_engine.kernel.land import NOBODY, is_general, is_structure, owner_of
from generals_engine.kernel.moves import neighbour, same_team
from generals_engine.kernel.state import (
    AREA,
    ARMIES,
    EXITS,
    HEIGHT,
    LIST,
    MOVABLE,
    MOVABLE_COUNT,
    STREAM,
    WIDTH,
    Bits,
    Game,
)
from generals_engine.policies.rows import (
    FRONT_ROWS,
    NONE,
    ONE,
    TEAM_ROWS,
    has,
    mark_front,
    mark_team,
    room_around,
    ways_towards,
)
from generals_engine.rng import draw, scaled
from generals_schemas.jit import jit_kernel
from generals_schemas.unaligned import trailing_zeros

_LOW = np.uint64(3)
_RANK = 1 << 32
"""Ranks of captures stand above all armies."""


@jit_kernel
def expander(game: Game, bits: Bits, player: int) -> int:
    """The best capture, or a step towards the border, or a pass."""
    mark_team(game, bits, player)
    if not mark_front(game, bits, player):
        return 8 * game[AREA]
    word = draw(bits, STREAM + player)
    turn = int(np.int64(word & _LOW))
    best = best_capture(game, bits, player, turn, scaled(word, game[HEIGHT]), False)
    return best if best >= 0 else march(game, bits, player, turn)


@jit_kernel
def best_capture(game: Game, bits: Bits, player: int, turn: int, first_row: int, by_room: bool) -> int:
    """The action of the best capture from FRONT_ROWS, or -1. Ties go to direction `turn` and the first row.

    by_room: of neutral land, what has most free land around it comes first; WALK_ROWS are marked.
    """
    best, action = 0, -1
    width, height = game[WIDTH], game[HEIGHT]
    for i in range(height):
        y = first_row + i if first_row + i < height else first_row + i - height
        row = bits[FRONT_ROWS + y]
        while row != NONE:
            tile = y * width + trailing_zeros(row)
            row &= row - ONE
            army = game[ARMIES + tile]
            if army <= 1:
                continue
            for step in range(4):
                direction = (step + turn) & 3
                if game[EXITS + tile] >> direction & 1:
                    target = neighbour(game, tile, direction)
                    worth = capture_worth(game, player, target, army)
                    if by_room and worth // _RANK == 1:
                        worth = _RANK + army * 16 + room_around(game, bits, target)
                    if worth > best:
                        best, action = worth, tile * 4 + direction
    return action


@jit_kernel
def capture_worth(game: Game, player: int, target: int, army: int) -> int:
    """0 if a tile with `army` cannot take the target; else more for a better capture and a larger army."""
    if army - 1 <= game[ARMIES + target]:
        return 0
    owner = owner_of(game, target)
    if same_team(game, player, owner):
        return 0
    if owner == NOBODY:
        return (2 if is_structure(game, target) else 1) * _RANK + army
    if is_general(game, target):
        return 5 * _RANK + army
    return (4 if is_structure(game, target) else 3) * _RANK + army


@jit_kernel
def march(game: Game, bits: Bits, player: int, turn: int) -> int:
    """The largest army that borders on nothing takes a step towards the player's nearest tile that does.

    TEAM_ROWS and FRONT_ROWS are marked.
    """
    source = _largest_idle(game, bits, player)
    if source < 0:
        return 8 * game[AREA]
    ways = ways_towards(game, bits, source, FRONT_ROWS, TEAM_ROWS)
    for step in range(4):
        direction = (step + turn) & 3
        if ways >> direction & 1:
            return source * 4 + direction
    return 8 * game[AREA]


@jit_kernel
def _largest_idle(game: Game, bits: Bits, player: int) -> int:
    """The player's largest army above one that stands on no border; -1 if there is none."""
    most, source = 1, -1
    for i in range(game[MOVABLE_COUNT + player]):
        tile = game[MOVABLE + player * LIST + i]
        army = game[ARMIES + tile]
        if army > most and not has(bits, FRONT_ROWS, tile % game[WIDTH], tile // game[WIDTH]):
            most, source = army, tile
    return source
