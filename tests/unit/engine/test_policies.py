"""The heuristics: what they do on drawn boards, that they know no more than they see, and who beats whom."""

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.random import Generator, default_rng

from generals_engine import rules
from generals_engine.drawing import draw
from generals_engine.games import GamePool
from generals_engine.kernel import Bits, Game, allocate
from generals_engine.kernel.land import NOBODY, owner_of, set_owner
from generals_engine.kernel.start import GameRules, start_game
from generals_engine.kernel.state import ALIVE, AREA, ARMIES, TICK, TILES, State
from generals_engine.kernel.turn import turn_games
from generals_engine.kernel.view import is_seen, mark_seen
from generals_engine.maps import GameMap, generate_map
from generals_engine.moves import Move
from generals_engine.play_settings import PlaySettings
from generals_engine.policies import HEURISTICS, find_policy
from generals_engine.policies.dispatch import choose
from generals_schemas import actions
from generals_schemas import tiles as codes
from generals_schemas.records import PolicyRef

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "policies.md"

LADDER = tuple(HEURISTICS)


def on_board(text: str, policy: str, *, tick: int = 0) -> tuple[Game, Bits]:
    """A drawn board in the kernel; all players play `policy`."""
    state = draw(text)
    generals = np.flatnonzero(codes.IS_GENERAL[state.kinds]).astype(np.int32)
    board = GameMap(state.width, state.height, state.tiles, state.armies.copy(), generals)
    kernel = allocate(games=1, slots=1, record_tiles=1, chunk_ticks=1)
    played = GameRules(teams=tuple(range(len(generals))), policies=[HEURISTICS[policy]] * len(generals))
    start_game(kernel, 0, board, played, 1)
    kernel.words[0, TICK] = tick
    return kernel.words[0], kernel.bits[0]


def move_on(text: str, policy: str, *, tick: int = 0) -> tuple[int, int] | None:
    """From where to where player 0 moves, as tile indices; None for a pass."""
    game, bits = on_board(text, policy, tick=tick)
    width, height = draw(text).width, draw(text).height
    move: Move | None = rules.move_of(int(choose(game, bits, 0)), 0, width, height)
    return None if move is None else (move.source, move.target)


@pytest.mark.parametrize("policy", LADDER[1:])
def test_a_general_that_can_be_taken_is_taken_before_all_else(policy: str) -> None:
    board = """
        A1  .   .   .
        .   a9  B3  b1
        .   $2  .   .
    """
    assert move_on(board, policy, tick=30) == (5, 6)  # the strategist waits at first


def test_the_expander_takes_a_city_of_the_enemys_before_land_and_land_of_the_enemys_before_free_land() -> None:
    assert move_on("A1 .  a9 b$2 . B1", "expander") == (2, 3)
    assert move_on("A1 .  a9 b2  . B1", "expander") == (2, 3)
    assert move_on("A1 a1 a9 $3  . B1", "expander") == (2, 3)


def test_the_expander_walks_an_idle_army_to_its_nearest_border() -> None:
    board = """
        a1 a1 a1 a1 #
        a1 A9 a1 a1 .
        a1 a1 a1 a1 #
        #  #  #  #  B1
    """
    assert move_on(board, "expander") == (6, 7)


def test_without_anything_to_do_all_pass() -> None:
    for policy in LADDER:
        assert move_on("A1 # B1", policy) is None


@pytest.mark.parametrize("policy", LADDER[2:])
def test_an_enemy_before_the_general_is_beaten_back_by_who_stands_beside_it(policy: str) -> None:
    board = """
        A2  .   .   .  .
        .   b9  .   .  .
        .   a20 .   .  .
        .   .   .   .  B1
    """
    assert move_on(board, policy, tick=201) == (11, 6)


def test_random_moves_are_spread_over_all_that_is_legal() -> None:
    game, bits = on_board("A5 . a1 B9", "random")
    drawn = {int(choose(game, bits, 0)) for _ in range(500)}
    east, split = actions.RIGHT, 4 * 4
    assert drawn == {east, east + split}


def play_on(game: Game, bits: Bits, state: State, ticks: int) -> None:
    turns = np.zeros((1, 2), np.int32)
    for _ in range(ticks):
        turn_games(state, np.ones(1, np.bool_), turns)


@pytest.mark.parametrize("policy", LADDER)
def test_what_lies_in_the_fog_changes_no_decision(policy: str, seed: int) -> None:
    """Two boards that look alike to the player, armies and owners in the fog aside, get the same move."""
    rng = default_rng(seed)
    kernel = allocate(games=1, slots=1, record_tiles=1, chunk_ticks=1)
    for number in range(12):
        board = generate_map(seed + number, players=2, width=14, height=14)
        start_game(kernel, 0, board, GameRules(teams=(0, 1), policies=[HEURISTICS[policy]] * 2), seed + number)
        for _ in range(12):
            play_on(kernel.words[0], kernel.bits[0], kernel, 15)
            if kernel.words[0, ALIVE] != 3:
                break
            game, bits = kernel.words[0].copy(), kernel.bits[0].copy()
            other, other_bits = kernel.words[0].copy(), kernel.bits[0].copy()
            shuffle_the_fog(rng, other, other_bits)
            assert choose(game, bits, 0) == choose(other, other_bits, 0)


def shuffle_the_fog(rng: Generator, game: Game, bits: Bits) -> None:
    """Other armies everywhere, other owners on open land, where player 0 does not see."""
    mark_seen(game, bits, 0)
    for tile in range(int(game[AREA])):
        plain = int(game[TILES + tile]) >> codes.KIND_SHIFT == codes.PLAIN
        if is_seen(game, bits, tile):
            continue
        owner = int(owner_of(game, tile))
        if plain:
            set_owner(game, bits, tile, int(rng.choice([NOBODY, 1])), int(rng.integers(1, 90)))
        elif owner != NOBODY:
            game[ARMIES + tile] = int(rng.integers(1, 90))


@pytest.mark.parametrize("policy", LADDER)
def test_heuristics_make_legal_moves_only(policy: str) -> None:
    pool = GamePool(
        PlaySettings(run="r", policies=(find_policy(policy),), players=3, width=10, height=10, games=4, tick_limit=400),
        lambda: 0,
    )
    for _ in range(5):
        for played in pool.advance():
            chunk = played.chunk
            assert chunk is not None
            for row, taken in enumerate(chunk.actions.tolist()):
                state = rules.start(chunk.tiles[row], chunk.armies[row], width=10, height=10, teams=(0, 1, 2))
                for player, action in enumerate(taken):
                    move = rules.move_of(action, player, 10, 10)
                    if move is None:
                        assert action in (-1, 800)
                    else:
                        assert state.owners[move.source] == player
                        assert state.armies[move.source] > 1
                        assert state.kinds[move.target] not in (codes.MOUNTAIN, codes.OBSTACLE)


def score(one: str, other: str, *, games: int, side: int) -> float:
    """Points of `one` a game, a draw half; from both seats."""
    points = 0.0
    for seat, names in enumerate(((one, other), (other, one))):
        settings = PlaySettings(
            run="r", policies=tuple(map(find_policy, names)), width=side, height=side, games=16, max_games=games // 2,
            tick_limit=1500, seed=seat,
        )  # fmt: skip
        pool = GamePool(settings, lambda: 0)
        while pool.running:
            for played in pool.advance():
                if played.summary is not None:
                    points += (played.summary.winners == (seat,)) + 0.5 * (not played.summary.winners)
    return points / games


@pytest.mark.parametrize(
    ("weaker", "stronger", "least"),
    [
        ("random", "expander", 0.9),
        ("expander", "hunter", 0.8),
        ("expander", "harvester", 0.8),
        ("hunter", "strategist", 0.6),
    ],
)
def test_each_heuristic_beats_those_below_it(weaker: str, stronger: str, least: float) -> None:
    """Fixed seeds: always the same games."""
    assert score(stronger, weaker, games=120, side=20) > least


def test_the_policy_of_the_guide_plays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And better than random play, if it reads its observation as the guide says."""
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "largest.py").write_text(example, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert find_policy("largest:Largest").ref == PolicyRef("largest", 1)
    assert score("largest:Largest", "random", games=64, side=8) > 0.5
