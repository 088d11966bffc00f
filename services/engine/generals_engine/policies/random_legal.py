"""`random`: uniform over the legal moves, a share of them split; passes only if nothing is legal."""

# mypy: disable-error-code="no-any-return"

import numpy as np

from generals_engine.kernel.state import (
    AREA,
    EXITS,
    LIST,
    MOVABLE,
    MOVABLE_COUNT,
    SPLIT_PERCENT,
    STREAM,
    Bits,
    Game,
)
from generals_engine.rng import draw, scaled
from generals_schemas.jit import jit_kernel

_TRIES = 64


@jit_kernel
def random_legal(game: Game, bits: Bits, player: int) -> int:
    """A move drawn from all (tile, direction) pairs that are legal.

    Drawing a tile that can move and one of four directions, until that is open, is uniform over the open ones.
    """
    count = game[MOVABLE_COUNT + player]
    if count == 0:
        return 8 * game[AREA]
    for _ in range(_TRIES):
        word = draw(bits, STREAM + player)
        tile = game[MOVABLE + player * LIST + scaled(word, count)]
        low = int(np.int64(word & np.uint64(0xFFFFFF)))
        if game[EXITS + tile] >> (low & 3) & 1:
            split = (low >> 2) % 100 < game[SPLIT_PERCENT]
            return tile * 4 + (low & 3) + (4 * game[AREA] if split else 0)
    return _first_legal(game, player)


@jit_kernel
def _first_legal(game: Game, player: int) -> int:
    """The first legal move in the list: for players who are all but walled in."""
    for i in range(game[MOVABLE_COUNT + player]):
        tile = game[MOVABLE + player * LIST + i]
        for direction in range(4):
            if game[EXITS + tile] >> direction & 1:
                return tile * 4 + direction
    return 8 * game[AREA]
