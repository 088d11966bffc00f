"""What grows and what withers once a tick's moves are done and its clock has gone on."""

import numpy as np
from numpy.typing import NDArray

from generals_engine.board import NOBODY, Board
from generals_schemas import tiles

FIRST_WITH_BARREN_CITIES = 6
"""Below this rules version, neutral cities grow again up to `CITY_REGROWS_BELOW`."""
CITY_REGROWS_BELOW = 40

STRUCTURES_GROW_EVERY = 2
LAND_GROWS_EVERY = 50

SWAMPS = tiles.kinds_where(tiles.SWAMP, tiles.SWAMP_CITY, tiles.SWAMP_GENERAL)
DESERTS = tiles.kinds_where(tiles.DESERT, tiles.DESERT_CITY, tiles.DESERT_GENERAL)


def grow(board: Board) -> None:
    """Growth after the clock went on: structures on even ticks, all land on every fiftieth."""
    owned = board.owners != NOBODY
    if board.tick % STRUCTURES_GROW_EVERY == 0:
        growing = owned & tiles.IS_STRUCTURE[board.kinds]
        if board.rules_version < FIRST_WITH_BARREN_CITIES:
            growing |= ~owned & tiles.IS_CITY[board.kinds] & (board.armies < CITY_REGROWS_BELOW)
        board.armies[growing] += 1
        _wither(board, SWAMPS)
    if board.tick % LAND_GROWS_EVERY == 0:
        board.armies[board.owners != NOBODY] += 1
        _wither(board, DESERTS)


def _wither(board: Board, terrain: NDArray[np.bool_]) -> None:
    """Owned tiles of the terrain `[16]` lose a unit; where none is left, the tile is nobody's."""
    losing = (board.owners != NOBODY) & terrain[board.kinds]
    board.armies[losing] -= 1
    for tile in np.flatnonzero(losing & (board.armies <= 0)):
        board.armies[tile] = 0
        board.owners[tile] = NOBODY
        board.make_city(int(tile))
