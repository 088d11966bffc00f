"""The kernel and the readable rules play the same games, tick by tick."""

from collections import Counter

import numpy as np
import pytest
from numpy.random import Generator, default_rng

from generals_engine import rules
from generals_engine.kernel import Bits, Game, allocate
from generals_engine.kernel.check import SOUND, broken
from generals_engine.kernel.start import GameRules, start_game
from generals_engine.kernel.state import (
    ALIVE,
    ARMIES,
    CAPTURE_COUNT,
    CAPTURES,
    EXECUTED,
    IDLE,
    OVER,
    PLAYING,
    STALEMATE,
    TILES,
    TRADES,
)
from generals_engine.kernel.tick import tick
from generals_engine.maps import GameMap

from .random_boards import RandomGame, random_actions, random_board, random_game

GAMES = 250
TICKS = 160


def start_both(played: RandomGame) -> tuple[rules.GameState, Game, Bits]:
    """The same game in both forms."""
    board = played.board
    state = rules.start(
        board.tiles,
        board.armies,
        width=board.width,
        height=board.height,
        teams=played.teams,
        rules_version=played.version,
    )
    kernel = allocate(games=1, slots=1, record_tiles=1, chunk_ticks=1)
    settings = GameRules(teams=played.teams, policies=[-1] * board.players, version=played.version)
    start_game(kernel, 0, board, settings, 1)
    return state, kernel.words[0], kernel.bits[0]


def assert_same(state: rules.GameState, game: Game, where: str) -> None:
    area = state.width * state.height
    np.testing.assert_array_equal(game[TILES : TILES + area], state.tiles, err_msg=f"tiles, {where}")
    np.testing.assert_array_equal(game[ARMIES : ARMIES + area], state.armies, err_msg=f"armies, {where}")
    assert game[ALIVE] == state.alive_bits, where
    assert game[IDLE] == state.idle, where
    assert (game[OVER] != PLAYING) == rules.is_over(state), where
    assert (game[OVER] == STALEMATE) == (state.reason == "stalemate"), where
    assert broken(game) == SOUND, where


def play_both(rng: Generator, played: RandomGame, events: Counter[str], where: str) -> None:
    state, game, bits = start_both(played)
    executed, captures, trades = 0, [], 0
    assert_same(state, game, where)
    while not rules.is_over(state) and state.tick < TICKS:
        actions = random_actions(rng, state, state.players)
        surrenders = [player for player in range(state.players) if state.alive[player] and rng.random() < 0.003]
        tick(game, bits, actions, 0, sum(1 << player for player in surrenders))
        state, happened = rules.step(state, rules.moves_of(state, actions.tolist()), surrenders)
        assert_same(state, game, f"{where}, tick {state.tick}")
        executed += len(happened.moves)
        captures += [(event.tick, event.captor, event.victim) for event in happened.captures]
        trades += len(happened.trades)
        events["neutralised"] += len(happened.neutralised)
        events["deaths"] += len(happened.deaths)
    assert game[EXECUTED] == executed
    assert game[TRADES] == trades
    recorded = game[CAPTURES : CAPTURES + 3 * game[CAPTURE_COUNT]].reshape(-1, 3)
    assert [tuple(event) for event in recorded.tolist()] == captures
    events["moves"] += executed
    events["captures"] += len(captures)
    events["trades"] += trades
    events["over"] += rules.is_over(state)


@pytest.mark.parametrize("part", range(4))
def test_random_games_with_illegal_actions_come_out_the_same_in_kernel_and_rules(part: int, seed: int) -> None:
    rng = default_rng([seed, part])
    events: Counter[str] = Counter()
    for number in range(GAMES // 4):
        played = random_game(rng)
        play_both(rng, played, events, f"game {number} of part {part}, version {played.version}, teams {played.teams}")
    for event in ("moves", "captures", "deaths", "neutralised", "over"):
        assert events[event] > 5, f"the games reached no {event}: they prove too little"


def test_close_duels_reach_trades_and_come_out_the_same(seed: int) -> None:
    rng = default_rng(seed)
    events: Counter[str] = Counter()
    for number in range(150):
        played = random_game(rng)
        duel = RandomGame(_two_generals(rng), (0, 1), int(rng.choice([15, 16, 18])))
        play_both(rng, duel, events, f"duel {number}, {played.version}")
    assert events["trades"] > 0, f"no trade in {dict(events)}"


def _two_generals(rng: Generator) -> GameMap:
    board = random_board(rng, 2, 2, 2)
    board.armies[board.generals] = rng.integers(2, 12, 2)
    return board


def test_a_game_without_moves_ends_in_a_stalemate_in_both_forms() -> None:
    rng = default_rng(3)
    played = random_game(rng)
    state, game, bits = start_both(played)
    passes = np.full(state.players, 8 * state.width * state.height, np.int32)
    while not rules.is_over(state):
        tick(game, bits, passes, 0, 0)
        state, _ = rules.step(state, [])
    assert_same(state, game, f"tick {state.tick}")
    assert state.reason == "stalemate"
    assert state.tick == rules.IDLE_TICKS + 1
