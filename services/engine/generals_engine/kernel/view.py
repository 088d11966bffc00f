"""What players see, for policies outside the kernel and for the environments: the same as `generals_engine.fog`."""

# mypy: disable-error-code="no-any-return"

import numpy as np
from numpy.typing import NDArray

from generals_engine.kernel.land import NOBODY, kind_of, owner_of
from generals_engine.kernel.state import (
    ALLIES,
    AREA,
    ARMIES,
    HEIGHT,
    OWNED,
    PLAYERS,
    SCRATCH,
    TEAM,
    TILES,
    WIDTH,
    Bits,
    Game,
    State,
)
from generals_schemas.actions import MAX_SIDE
from generals_schemas.jit import jit_kernel
from generals_schemas.tiles import UNSEEN

SEEN_ROWS = SCRATCH + 3 * MAX_SIDE

_ONE = np.uint64(1)
_NONE = np.uint64(0)
_FOGGED_OBSTACLES = 0b010_0101_1010
"""By kind: cities, mountains, obstacles; a general in the fog looks like open land."""


@jit_kernel
def mark_seen(game: Game, bits: Bits, player: int) -> None:
    """SEEN_ROWS: the tiles within one step, diagonals too, of a tile of the player's team."""
    height = game[HEIGHT]
    row_mask = ~_NONE if game[WIDTH] == MAX_SIDE else (_ONE << np.uint64(game[WIDTH])) - _ONE
    for y in range(height):
        bits[SEEN_ROWS + y] = _NONE
    for mate in range(game[PLAYERS]):
        if mate != player and not (game[ALLIES] and game[TEAM + mate] == game[TEAM + player]):
            continue
        for y in range(height):
            row = bits[OWNED + mate * MAX_SIDE + y]
            row = (row | row << _ONE | row >> _ONE) & row_mask
            bits[SEEN_ROWS + y] |= row
            if y > 0:
                bits[SEEN_ROWS + y - 1] |= row
            if y + 1 < height:
                bits[SEEN_ROWS + y + 1] |= row


@jit_kernel
def is_seen(game: Game, bits: Bits, tile: int) -> bool:
    """Whether a tile is in SEEN_ROWS."""
    y = tile // game[WIDTH]
    return (bits[SEEN_ROWS + y] >> np.uint64(tile - y * game[WIDTH])) & _ONE != _NONE


@jit_kernel
def look(
    state: State,
    games: NDArray[np.int64],
    players: NDArray[np.int32],
    tiles: NDArray[np.uint8],
    armies: NDArray[np.int32],
    obstacles: NDArray[np.bool_],
) -> None:
    """Fill the views `[N, HW]` of `players[i]` in the state's game `games[i]`."""
    for i in range(games.size):
        game, bits = state.words[games[i]], state.bits[games[i]]
        mark_seen(game, bits, players[i])
        for tile in range(game[AREA]):
            if is_seen(game, bits, tile):
                tiles[i, tile] = game[TILES + tile]
                armies[i, tile] = game[ARMIES + tile]
                obstacles[i, tile] = False
            else:
                tiles[i, tile] = UNSEEN
                armies[i, tile] = 0
                obstacles[i, tile] = _FOGGED_OBSTACLES >> kind_of(game, tile) & 1 != 0


@jit_kernel
def score(state: State, games: NDArray[np.int64], army: NDArray[np.int64], land: NDArray[np.int64]) -> None:
    """Fill the scoreboards `[N, P]` of the state's games `games[i]`."""
    for i in range(games.size):
        game = state.words[games[i]]
        army[i] = 0
        land[i] = 0
        for tile in range(game[AREA]):
            owner = owner_of(game, tile)
            if owner != NOBODY:
                army[i, owner] += game[ARMIES + tile]
                land[i, owner] += 1
