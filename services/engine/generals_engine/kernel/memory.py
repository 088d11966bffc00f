"""What players remember of the fog, brought up to date once a chunk from its recorded boards.

The last board on which a player saw a tile is what it remembers of it. Going backwards through the chunk, each
tile is copied once at most, so the cost is that of the fog's edge, not of the board.
"""

import numpy as np
from numpy.typing import NDArray

from generals_engine.kernel.state import ALLIES, AREA, FILLED, HEIGHT, PLAYERS, TEAM, WIDE, WIDTH, Game, State
from generals_schemas.actions import MAX_SIDE
from generals_schemas.jit import jit

_ONE = np.uint64(1)
_NONE = np.uint64(0)


@jit
def remember(state: State, game: Game, slot: int, tiles: NDArray[np.uint8], armies: NDArray[np.uint32]) -> None:
    """Bring `[P, S]` memories up to date with all boards of the slot's chunk but the last, which begins the next."""
    found = np.zeros(MAX_SIDE, np.uint64)
    seen = np.zeros(MAX_SIDE, np.uint64)
    for player in range(game[PLAYERS]):
        found[:] = _NONE
        for row in range(game[FILLED] - 1, -1, -1):
            _see(state, game, slot, row, player, seen)
            _keep_new(state, game, slot, row, seen, found, tiles[player], armies[player])


@jit
def _see(state: State, game: Game, slot: int, row: int, player: int, seen: NDArray[np.uint64]) -> None:
    """`seen`: what the player saw on recorded board `row`."""
    width, height = int(game[WIDTH]), int(game[HEIGHT])
    start = row * int(game[AREA])
    mask = ~_NONE if width == MAX_SIDE else (_ONE << np.uint64(width)) - _ONE
    seen[:height] = _NONE
    for y in range(height):
        owned = _NONE
        for x in range(width):
            owner = int(state.record_tiles[slot, start + y * width + x] & np.uint8(15)) - 1
            if owner >= 0 and (owner == player or (game[ALLIES] and game[TEAM + owner] == game[TEAM + player])):
                owned |= _ONE << np.uint64(x)
        spread = (owned | owned << _ONE | owned >> _ONE) & mask
        for other in range(max(0, y - 1), min(height, y + 2)):
            seen[other] |= spread


@jit
def _keep_new(
    state: State,
    game: Game,
    slot: int,
    row: int,
    seen: NDArray[np.uint64],
    found: NDArray[np.uint64],
    tiles: NDArray[np.uint8],
    armies: NDArray[np.uint32],
) -> None:
    """Copy the tiles seen on this board and on no later one."""
    width = int(game[WIDTH])
    start = row * int(game[AREA])
    for y in range(game[HEIGHT]):
        new = seen[y] & ~found[y]
        if new == _NONE:
            continue
        found[y] |= new
        for x in range(width):
            if (new >> np.uint64(x)) & _ONE != _NONE:
                tile = y * width + x
                tiles[tile] = state.record_tiles[slot, start + tile]
                if game[WIDE]:
                    armies[tile] = state.record_wide[slot, start + tile]
                else:
                    armies[tile] = state.record_armies[slot, start + tile]
