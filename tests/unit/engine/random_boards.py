"""Random small boards for comparing the two forms of the rules: crowded, with every ground, structure and team."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from generals_engine.maps import GameMap
from generals_engine.rules import GameState
from generals_schemas import tiles as codes


@dataclass(frozen=True)
class RandomGame:
    """A board and how it is played."""

    board: GameMap
    teams: tuple[int, ...]
    version: int


def random_game(rng: Generator, sides: tuple[int, int] | None = None) -> RandomGame:
    """2 to 12 players, any version, teams in every third game; sides mostly 2 to 9, at times 64, if none are given.

    A board too small for its players becomes higher.
    """
    players = int(rng.integers(2, 13))
    width, height = sides or _sides(rng)
    while width * height < 2 * players:
        height += 1
    return RandomGame(
        board=random_board(rng, players, width, height),
        teams=_teams(rng, players),
        version=int(rng.choice([5, 5, 6, 12, 14, 15, 15, 16, 17, 18, 18, 18])),
    )


def _sides(rng: Generator) -> tuple[int, int]:
    width, height = (int(side) for side in rng.integers(2, 10, 2))
    return (64 if rng.random() < 0.03 else width), height


def _teams(rng: Generator, players: int) -> tuple[int, ...]:
    if rng.random() < 0.6:
        return tuple(range(players))
    teams = rng.integers(0, max(2, players // 2), players)
    teams[:2] = (0, 1)
    return tuple(int(team) for team in rng.permutation(teams))


def random_board(rng: Generator, players: int, width: int, height: int) -> GameMap:
    """Any tile may be anything; generals stand on tiles of any ground."""
    area = width * height
    harsh = rng.random() < 0.3
    weights = np.array([0.78, 0.06, 0.0, 0.05, 0.01, 0.04, 0.01, 0.0, 0.04, 0.01, 0.0])
    if not harsh:
        weights[5:] = 0
    kinds = rng.choice(codes.KINDS, area, p=weights / weights.sum())
    tiles = (kinds << codes.KIND_SHIFT).astype(np.uint8)
    armies = np.where(codes.IS_CITY[kinds], rng.integers(0, 45, area), 0).astype(np.int32)
    armies[(kinds == codes.PLAIN) & (rng.random(area) < 0.05)] = 3
    generals = rng.permutation(area)[:players].astype(np.int32)
    for player, tile in enumerate(generals):
        ground = rng.choice([codes.GENERAL, codes.SWAMP_GENERAL, codes.DESERT_GENERAL]) if harsh else codes.GENERAL
        tiles[tile] = codes.tile(int(ground), player)
        armies[tile] = 1
    if rng.random() < 0.5:
        _give_land(rng, tiles, armies, players)
    return GameMap(width, height, tiles, armies, generals)


def _give_land(rng: Generator, tiles: NDArray[np.uint8], armies: NDArray[np.int32], players: int) -> None:
    """Half of the open land is owned and armed from the start, so that fights begin at once."""
    bare = np.isin(tiles, [codes.tile(kind) for kind in (codes.PLAIN, codes.CITY, codes.SWAMP, codes.DESERT)])
    chosen = np.flatnonzero(bare & (rng.random(tiles.size) < 0.5))
    tiles[chosen] |= rng.integers(1, players + 1, chosen.size).astype(np.uint8)
    armies[chosen] = rng.integers(0, 30, chosen.size)
    generals = np.flatnonzero(codes.IS_GENERAL[tiles >> codes.KIND_SHIFT])
    armies[generals] = rng.integers(1, 20, generals.size)


def random_actions(rng: Generator, game: GameState, players: int) -> NDArray[np.int32]:
    """Mostly moves from owned tiles in any direction, legal or not; some passes and any other index."""
    area = game.width * game.height
    actions = np.full(players, 8 * area, np.int32)
    for player in range(players):
        draw = rng.random()
        owned = np.flatnonzero(game.owners == player)
        if draw < 0.06:
            actions[player] = rng.integers(-1, 8 * area + 1)
        elif draw < 0.94 and owned.size:
            armed = owned[game.armies[owned] > 1]
            tile = rng.choice(armed if armed.size and draw < 0.8 else owned)
            actions[player] = tile * 4 + rng.integers(4) + 4 * area * (rng.random() < 0.2)
    return actions
