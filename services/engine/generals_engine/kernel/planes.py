"""The nine planes and the legal-action mask, straight from the state: for environments, where nothing is stored.

The definitions are those of the collector; a test counts them out tile by tile.
"""

# mypy: disable-error-code="no-any-return"

import numpy as np
from numpy.typing import NDArray

from generals_engine.kernel.land import NOBODY, is_structure, kind_of, owner_of
from generals_engine.kernel.moves import same_team
from generals_engine.kernel.state import AREA, ARMIES, EXITS, LIST, MOVABLE, MOVABLE_COUNT, Bits, Game, State
from generals_engine.kernel.view import is_seen, mark_seen
from generals_schemas.jit import jit_kernel

OWN_ARMIES, ENEMY_ARMIES, OWN, ENEMY, NEUTRAL, CITIES, MOUNTAINS, VISIBLE, FOG = range(9)
PLANES = 9

_WALLS = 0b1_1000
"""By kind: mountains and obstacles."""


@jit_kernel
def see_planes(
    state: State,
    games: NDArray[np.int64],
    players: NDArray[np.int32],
    army_scale: float,
    planes: NDArray[np.float32],
    mask: NDArray[np.int8],
) -> None:
    """Fill `planes` `[N, 9, HW]` and `mask` `[N, 8 * HW + 1]` with what `players[i]` sees of game `games[i]`."""
    for i in range(games.size):
        game, bits = state.words[games[i]], state.bits[games[i]]
        mark_seen(game, bits, players[i])
        for tile in range(game[AREA]):
            _see_tile(game, bits, players[i], tile, army_scale, planes[i])
        _mask(game, players[i], mask[i])


@jit_kernel
def _see_tile(game: Game, bits: Bits, player: int, tile: int, army_scale: float, planes: NDArray[np.float32]) -> None:
    for plane in range(PLANES):
        planes[plane, tile] = 0.0
    if not is_seen(game, bits, tile):
        planes[FOG, tile] = 1.0
        return
    planes[VISIBLE, tile] = 1.0
    if _WALLS >> kind_of(game, tile) & 1:
        planes[MOUNTAINS, tile] = 1.0
        return
    if is_structure(game, tile):
        planes[CITIES, tile] = 1.0
    owner = owner_of(game, tile)
    if owner == NOBODY:
        planes[NEUTRAL, tile] = 1.0
        return
    army = np.float32(min(game[ARMIES + tile] / army_scale, 1.0))
    if same_team(game, player, owner):
        planes[OWN, tile], planes[OWN_ARMIES, tile] = 1.0, army
    else:
        planes[ENEMY, tile], planes[ENEMY_ARMIES, tile] = 1.0, army


@jit_kernel
def _mask(game: Game, player: int, mask: NDArray[np.int8]) -> None:
    """1 for each legal move, its split, and the pass."""
    area = game[AREA]
    for action in range(8 * area):
        mask[action] = 0
    mask[8 * area] = 1
    for i in range(game[MOVABLE_COUNT + player]):
        tile = game[MOVABLE + player * LIST + i]
        for direction in range(4):
            if game[EXITS + tile] >> direction & 1:
                mask[tile * 4 + direction] = 1
                mask[4 * area + tile * 4 + direction] = 1
