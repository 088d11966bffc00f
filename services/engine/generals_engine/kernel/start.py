"""A game begins: its rows of the state are set from a map."""

# mypy: disable-error-code="no-any-return"

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from generals_engine.kernel.deaths import last_team
from generals_engine.kernel.land import NOBODY, index_land, is_general, kind_of, owner_of
from generals_engine.kernel.state import (
    ALIVE,
    ALLIES,
    AREA,
    ARMIES,
    CHUNK_TICKS,
    EXITS,
    EXPLORED,
    GENERAL,
    HARSH,
    HEIGHT,
    NEVER,
    OPEN,
    OVER,
    PLAYERS,
    POLICY,
    SPLIT_PERCENT,
    STREAM,
    SURRENDER,
    TEAM,
    TICK_LIMIT,
    TILES,
    VERSION,
    WIDTH,
    WINNING_TEAM,
    WON,
    Bits,
    Game,
    State,
)
from generals_engine.maps import GameMap
from generals_engine.rng import streams
from generals_schemas.actions import MAX_SIDE
from generals_schemas.jit import jit_kernel

_ONE = np.uint64(1)
_NONE = np.uint64(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class GameRules:
    """How a game is played, apart from its map.

    teams: `[P]`.  policies: `[P]` numbers, see `policies.codes`.  tick_limit: 0 for none.
    """

    teams: tuple[int, ...]
    policies: Sequence[int]
    version: int = 18
    tick_limit: int = 0
    chunk_ticks: int = 64
    split_percent: int = 10


def start_game(state: State, g: int, board: GameMap, rules: GameRules, policy_seed: int) -> None:
    """Set game `g` to its state before tick 0."""
    players = board.players
    scalars = np.zeros(TILES, np.int32)
    scalars[WIDTH], scalars[HEIGHT], scalars[AREA] = board.width, board.height, board.width * board.height
    scalars[PLAYERS], scalars[VERSION], scalars[TICK_LIMIT] = players, rules.version, rules.tick_limit
    scalars[CHUNK_TICKS], scalars[SPLIT_PERCENT] = rules.chunk_ticks, rules.split_percent
    scalars[ALLIES] = len(set(rules.teams)) < players
    scalars[TEAM : TEAM + players] = rules.teams
    scalars[POLICY : POLICY + players] = rules.policies
    scalars[SURRENDER:POLICY] = NEVER
    scalars[GENERAL:SURRENDER] = -1
    _begin(state.words[g], state.bits[g], scalars, board.tiles, board.armies, streams(policy_seed, players))


@jit_kernel
def _begin(
    game: Game,
    bits: Bits,
    scalars: NDArray[np.int32],
    tiles: NDArray[np.uint8],
    armies: NDArray[np.int32],
    seeds: NDArray[np.uint64],
) -> None:
    for i in range(scalars.size):
        game[i] = scalars[i]
    for i in range(seeds.size):
        bits[STREAM + i] = seeds[i]
        bits[EXPLORED + i * MAX_SIDE : EXPLORED + (i + 1) * MAX_SIDE] = _NONE
    for tile in range(tiles.size):
        game[TILES + tile] = tiles[tile]
        game[ARMIES + tile] = armies[tile]
        owner = owner_of(game, tile)
        if kind_of(game, tile) >= 5:
            game[HARSH] = 1
        if owner != NOBODY and is_general(game, tile):
            game[GENERAL + owner] = tile
            game[ALIVE] |= 1 << owner
    _index_ground(game, bits)
    index_land(game, bits)
    game[WINNING_TEAM] = last_team(game)
    if game[WINNING_TEAM] >= 0:
        game[OVER] = WON


@jit_kernel
def _index_ground(game: Game, bits: Bits) -> None:
    """Where one can go: exits of tiles, and rows of open ones."""
    width, area = game[WIDTH], game[AREA]
    bits[OPEN : OPEN + MAX_SIDE] = _NONE
    for tile in range(area):
        x = tile % width
        if _is_open(game, tile):
            bits[OPEN + tile // width] |= _ONE << np.uint64(x)
        exits = 0
        if tile >= width and _is_open(game, tile - width):
            exits |= 1
        if tile < area - width and _is_open(game, tile + width):
            exits |= 2
        if x > 0 and _is_open(game, tile - 1):
            exits |= 4
        if x < width - 1 and _is_open(game, tile + 1):
            exits |= 8
        game[EXITS + tile] = exits


@jit_kernel
def _is_open(game: Game, tile: int) -> bool:
    return kind_of(game, tile) not in (3, 4)
