"""Chunks of random but possible boards: any size, any number of players, teams, deaths, captures, swamps, large armies.

Nothing here plays by the rules. What happens on these boards is far wilder than play: a tick may change any tile.
"""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from generals_schemas.records import Armies, Memory, Outcome, PolicyRef, TransitionChunk

PLAIN, CITY, GENERAL, MOUNTAIN, OBSTACLE = 0, 1, 2, 3, 4
SWAMP, SWAMP_CITY, SWAMP_GENERAL, DESERT, DESERT_CITY, DESERT_GENERAL = 5, 6, 7, 8, 9, 10
FALLS_TO = {GENERAL: CITY, SWAMP_GENERAL: SWAMP_CITY, DESERT_GENERAL: DESERT_CITY}
KIND_ODDS = (0.5, 0.08, 0.04, 0.15, 0.03, 0.06, 0.03, 0.02, 0.05, 0.02, 0.02)


def random_chunk(
    rng: Generator,
    *,
    players: int | None = None,
    sides: tuple[int, int] | None = None,
    ticks: int | None = None,
    change: float = 0.02,
    large: bool = False,
    memory: bool = False,
    log_probs: bool = False,
) -> TransitionChunk:
    """A chunk. `change`: the share of tiles that change hands in a tick.  large: armies beyond 65,535."""
    players = players or int(rng.integers(2, 13))
    width, height = sides or (int(rng.integers(1, 40)), int(rng.integers(1, 40)))
    ticks = ticks or int(rng.integers(1, 20))
    teams = _teams(rng, players)
    alive = _alive(rng, players, ticks)
    tiles, armies = _boards(rng, players, width * height, ticks, change)
    dtype: type[np.uint16] | type[np.uint32] = np.uint32 if large else np.uint16
    if large:
        armies = armies * 70_001
    actions = rng.integers(0, 8 * width * height + 1, (ticks, players)).astype(np.int32)
    actions[(alive[:-1, None] >> np.arange(players)) & 1 == 0] = -1
    return TransitionChunk(
        game_id=f"game-{rng.integers(1 << 40)}",
        chunk=int(rng.integers(100)),
        first_tick=int(rng.integers(5000)),
        rules_version=16,
        width=width,
        height=height,
        teams=teams,
        policies=tuple(PolicyRef(f"policy-{p}", p) for p in range(players)),
        map_seed=int(rng.integers(1 << 60)),
        policy_seed=int(rng.integers(1 << 60)),
        tiles=tiles,
        armies=armies.astype(dtype),
        alive=alive.astype(np.uint16),
        actions=actions,
        log_probs=-rng.random((ticks, players)).astype(np.float32) if log_probs else None,
        memory=_memory(rng, tiles[0], armies[0].astype(dtype), players) if memory else None,
        outcome=_outcome(rng, int(alive[-1]), teams),
    )


def _teams(rng: Generator, players: int) -> tuple[int, ...]:
    if rng.random() < 0.4:
        return tuple(range(players))
    teams = [int(team) for team in rng.integers(0, max(2, players // 2), players)]
    teams[:2] = [0, 1]
    return tuple(teams)


def _alive(rng: Generator, players: int, ticks: int) -> NDArray[np.int64]:
    alive = np.empty(ticks + 1, np.int64)
    alive[0] = rng.integers(1, 1 << players)
    for t in range(1, ticks + 1):
        alive[t] = alive[t - 1]
        if rng.random() < 0.1:
            alive[t] &= ~(1 << int(rng.integers(players)))
    return alive


def _boards(
    rng: Generator, players: int, count: int, ticks: int, change: float
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    kinds = rng.choice(11, count, p=KIND_ODDS)
    open_tiles = (kinds != MOUNTAIN) & (kinds != OBSTACLE)
    owners = np.where(open_tiles & (rng.random(count) < 0.5), rng.integers(1, players + 1, count), 0)
    tiles = np.empty((ticks + 1, count), np.uint8)
    armies = np.empty((ticks + 1, count), np.int64)
    army = np.where(open_tiles, rng.integers(0, 60, count) * (rng.random(count) < 0.8), 0)
    for t in range(ticks + 1):
        tiles[t], armies[t] = kinds * 16 + owners, army
        taken = open_tiles & (rng.random(count) < change)
        owners = np.where(taken, rng.integers(0, players + 1, count), owners)
        falls = taken & (rng.random(count) < 0.5)
        kinds = np.array([FALLS_TO.get(int(k), int(k)) if f else int(k) for k, f in zip(kinds, falls, strict=True)])
        army = np.where(taken, rng.integers(0, 60, count), army)
        if rng.random() < 0.1:
            army = army + (owners > 0)
    return tiles, armies


def _memory(rng: Generator, tiles: NDArray[np.uint8], armies: Armies, players: int) -> Memory:
    seen = rng.random((players, tiles.size)) < 0.5
    return Memory(
        tiles=np.where(seen, tiles, 255).astype(np.uint8),
        armies=np.where(seen, armies, 0).astype(armies.dtype),
    )


def _outcome(rng: Generator, alive: int, teams: tuple[int, ...]) -> Outcome | None:
    living = tuple(player for player in range(len(teams)) if alive >> player & 1)
    one_team = len({teams[player] for player in living}) <= 1
    if one_team and rng.random() < 0.8:
        return Outcome(living, "won" if rng.random() < 0.7 else "stalemate")
    if rng.random() < 0.3:
        return Outcome((), "tick_limit" if rng.random() < 0.5 else "aborted")
    return None
