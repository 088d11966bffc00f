"""A thousand random games of the kernel, illegal actions among them: no army comes from nowhere, every invariant holds.

The kernel is judged by its boards before and after each tick alone, so a fault that it shares with the readable rules
would show here.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from generals_engine.kernel import Bits, Game, allocate
from generals_engine.kernel.check import SOUND, broken
from generals_engine.kernel.start import GameRules, start_game
from generals_engine.kernel.state import (
    ALIVE,
    ARMIES,
    CAPTURE_COUNT,
    EXECUTED,
    GENERAL,
    OVER,
    PLAYING,
    TICK,
    TILES,
    TRADES,
)
from generals_engine.kernel.tick import tick
from generals_schemas import tiles as codes

from .random_boards import RandomGame, random_game

GAMES, PARTS, TICKS = 1000, 4, 60
CANDIDATES = 6
LAST_WITH_GROWING_NEUTRALS = 5


@dataclass(frozen=True)
class Board:
    """What a tick changes. owners: `[HW]`, 0 nobody, p + 1 player p."""

    owners: NDArray[np.int64]
    kinds: NDArray[np.int64]
    armies: NDArray[np.int64]
    alive: int
    executed: int
    conquests: int

    @classmethod
    def of(cls, game: Game, area: int) -> "Board":
        tiles, armies = game[TILES : TILES + area], game[ARMIES : ARMIES + area]
        return cls(
            owners=(tiles & codes.OWNER_MASK).astype(np.int64),
            kinds=(tiles >> codes.KIND_SHIFT).astype(np.int64),
            armies=armies.astype(np.int64),
            alive=int(game[ALIVE]),
            executed=int(game[EXECUTED]),
            conquests=int(game[CAPTURE_COUNT] + game[TRADES]),
        )


def actions_on(board: Board, rng: Generator, players: int) -> NDArray[np.int32]:
    """`[P]`: of a few actions drawn from all there are, and some there are not, the first from a tile of one's own."""
    area = board.owners.size
    drawn = rng.integers(-1, 8 * area + 2, (CANDIDATES, players))
    sources = np.clip(drawn % (4 * area) // 4, 0, area - 1)
    own = (board.owners[sources] == np.arange(1, players + 1)) & (board.armies[sources] > 1)
    return drawn[own.argmax(axis=0), np.arange(players)].astype(np.int32)


def most_growth(board: Board, clock: int, version: int) -> int:
    """What may have grown until this board: exactly that where no tile withers and no neutral city regrows."""
    if clock % 2:
        return 0
    owned, structures = board.owners > 0, codes.IS_STRUCTURE[board.kinds]
    grown = structures & (owned | (version <= LAST_WITH_GROWING_NEUTRALS))
    return int(grown.sum() + (owned.sum() if clock % 50 == 0 else 0))


def assert_armies_are_conserved(before: Board, after: Board, clock: int, played: RandomGame, where: str) -> None:
    """A fight costs both sides the same, the capture of a general halves land, and nothing else takes armies."""
    spent = int(before.armies.sum() - after.armies.sum()) + most_growth(after, clock, played.version)
    assert spent >= 0, f"{-spent} units came from nowhere, {where}"
    withers = (after.kinds >= codes.SWAMP).any() or played.version <= LAST_WITH_GROWING_NEUTRALS
    if not withers and before.conquests == after.conquests:
        assert spent % 2 == 0, where
        if before.executed == after.executed:
            assert spent == 0, where


def assert_sound(before: Board, after: Board, game: Game, played: RandomGame, where: str) -> None:
    players = played.board.players
    assert broken(game) == SOUND, where
    assert after.armies.min() >= 0, where
    assert after.owners.max() <= players, where
    assert after.alive & ~before.alive == 0, f"someone rose from the dead, {where}"
    assert 0 <= after.executed - before.executed <= before.alive.bit_count(), where
    changed = before.kinds != after.kinds
    assert codes.IS_GENERAL[before.kinds[changed]].all(), f"ground changed, {where}"
    assert codes.IS_CITY[after.kinds[changed]].all(), f"ground changed, {where}"
    generals = game[GENERAL : GENERAL + players]
    assert codes.IS_GENERAL[after.kinds].sum() == (generals >= 0).sum(), where
    teams = {played.teams[player] for player in range(players) if after.alive >> player & 1}
    assert (game[OVER] != PLAYING) == (len(teams) == 1), where


def play(rng: Generator, played: RandomGame, game: Game, bits: Bits, events: Counter[str], where: str) -> None:
    players, area = played.board.players, played.board.tiles.size
    after = Board.of(game, area)
    while game[OVER] == PLAYING and game[TICK] < TICKS:
        before, clock = after, int(game[TICK]) + 1
        surrendering = sum(1 << int(player) for player in np.flatnonzero(rng.random(players) < 0.002))
        tick(game, bits, actions_on(before, rng, players), 0, surrendering & before.alive)
        after = Board.of(game, area)
        assert game[TICK] == clock
        assert_sound(before, after, game, played, f"{where}, tick {clock}")
        assert_armies_are_conserved(before, after, clock, played, f"{where}, tick {clock}")
    events["moves"] += after.executed
    events["conquests"] += after.conquests
    events["decided"] += int(game[OVER] != PLAYING)
    events["wide"] += played.board.width > 32


@pytest.mark.parametrize("part", range(PARTS))
def test_a_thousand_random_games_keep_their_armies_and_every_invariant(part: int, seed: int) -> None:
    rng = default_rng([seed, part])
    state = allocate(games=1, slots=1, record_tiles=1, chunk_ticks=1)
    events: Counter[str] = Counter()
    for number in range(GAMES // PARTS):
        width, height = (int(side) for side in 2 ** rng.uniform(0, 6, 2))
        played = random_game(rng, (width, height))
        rules = GameRules(teams=played.teams, policies=[-1] * played.board.players, version=played.version)
        start_game(state, 0, played.board, rules, 1)
        size = f"{played.board.width} x {played.board.height}"
        where = f"game {number} of part {part}: {size}, version {played.version}, teams {played.teams}"
        play(rng, played, state.words[0], state.bits[0], events, where)
    assert events["moves"] > 10_000
    assert min(events["conquests"], events["decided"], events["wide"]) > 5, events
