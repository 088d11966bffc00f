"""The recorded games, replayed: the judges of the rules. And what happens to files that are none."""

import json
from pathlib import Path
from typing import Any

import pytest

from generals_engine import recorded, rules
from generals_engine.drawing import picture, tidy
from generals_engine.recorded import MalformedGame

REPLAYS = sorted((Path(__file__).parents[2] / "data" / "replays").glob("*.json"))

SMALL: dict[str, Any] = {
    "name": "small",
    "source": "drawn",
    "rules_version": 16,
    "width": 4,
    "height": 2,
    "players": 2,
    "teams": None,
    "modifiers": [],
    "mountains": [5],
    "obstacles": [6],
    "swamps": [],
    "deserts": [],
    "cities": [[1, 3]],
    "neutral_armies": [[2, 2]],
    "generals": [0, 3],
    "moves": [],
    "surrenders": [],
}
"""A0 $3 .2 B0 / . # ^ . with armies of 1 on the generals."""


def small(**changes: object) -> recorded.RecordedGame:
    return recorded.parse(SMALL | changes)


def test_all_recorded_games_are_here() -> None:
    assert len(REPLAYS) == 28


@pytest.mark.parametrize("path", REPLAYS, ids=lambda path: path.stem)
def test_a_recorded_game_comes_out_as_it_did(path: Path) -> None:
    game = recorded.load(path)
    assert recorded.replay(game).to_json() == game.expected


def test_the_map_of_a_recording() -> None:
    assert picture(recorded.initial_state(small())) == tidy("""
        A1 $3 .2 B1
        .  #  ^  .
    """)


def test_structures_may_stand_on_swamp_and_desert() -> None:
    game = small(swamps=[0, 4], deserts=[1, 3, 7])
    assert picture(recorded.initial_state(game)) == tidy("""
        ~A1 :$3 .2 :B1
        ~   #   ^  :
    """)


def test_the_first_valid_move_is_taken_and_those_before_it_are_dropped() -> None:
    # Queued at tick 4, with 3 on the general: into a mountain's way, from nobody's tile, then down. The move after
    # that waits for tick 5, and is valid only because the one before went there.
    moves = [[0, 0, 5, 0, 4], [0, 7, 3, 0, 4], [0, 0, 4, 0, 4], [0, 4, 0, 1, 4]]
    states = list(recorded.run(small(moves=moves, ticks=6)))
    taken = [[(move.source, move.target) for move in events.moves] for _, events in states if events is not None]
    assert taken == [[], [], [], [], [(0, 4)], [(4, 0)]]


def test_moves_wait_for_their_tick_whatever_their_place_in_the_file() -> None:
    moves = [[0, 0, 4, 0, 6], [1, 3, 7, 0, 4]]
    states = list(recorded.run(small(moves=moves, ticks=8)))
    ticks = [events.tick for _, events in states if events is not None and events.moves]
    assert ticks == [4, 6]


def test_the_dead_lose_their_queue() -> None:
    moves = [[0, 0, 4, 0, 4], [0, 4, 0, 0, 4]]
    outcome = recorded.replay(small(moves=moves, surrenders=[[0, 5]]))
    assert outcome.executed_moves == 1
    assert outcome.deaths == ((5, 0),)
    assert outcome.winners == (1,)
    assert outcome.end_tick == 6


def test_a_recording_without_an_end_becomes_a_stalemate() -> None:
    outcome = recorded.replay(small())
    # Idle ticks 0 to 2,000; at equal armies and land the higher index is the stronger.
    assert outcome.end_tick == 2_001
    assert outcome.deaths == ((2_000, 0),)
    assert outcome.to_json()["winner"] == 1


def test_a_recording_cut_short_has_no_winner() -> None:
    outcome = recorded.replay(small(ticks=75))
    assert outcome.end_tick == 75
    assert outcome.to_json()["winner"] is None
    assert list(outcome.board_hashes) == [0, 50, 75]


def test_a_team_of_several_living_is_a_list_of_winners() -> None:
    game = small(players=3, generals=[0, 3, 7], teams=[4, 9, 9], surrenders=[[0, 2]])
    assert recorded.replay(game).to_json()["winner"] == [1, 2]


def test_a_player_who_never_joined_is_dead_from_the_start() -> None:
    game = small(players=3, generals=[0, None, 7], surrenders=[[0, 2]])
    outcome = recorded.replay(game)
    assert outcome.winners == (2,)
    assert outcome.deaths == ((2, 0),)


def test_boards_are_hashed_at_the_start_every_50_ticks_and_at_the_end() -> None:
    outcome = recorded.replay(small(surrenders=[[0, 120]]))
    assert list(outcome.to_json()["board_sha256_16"]) == ["0", "50", "100", "121"]  # type: ignore[call-overload]


@pytest.mark.parametrize("missing", ["rules_version", "width", "height", "players", "mountains", "cities", "moves"])
def test_a_missing_field_is_named(missing: str) -> None:
    record = {field: value for field, value in SMALL.items() if field != missing}
    with pytest.raises(MalformedGame, match="is missing") as caught:
        recorded.parse(record)
    assert caught.value.field == missing


@pytest.mark.parametrize(
    ("field", "value", "where", "problem"),
    [
        ("rules_version", 19, "rules_version", "is 19; 5 to 18 was expected"),
        ("rules_version", "16", "rules_version", "is '16'; a whole number was expected"),
        ("width", 65, "width", "is 65; 1 to 64 was expected"),
        ("height", 0, "height", "is 0; 1 to 64"),
        ("players", 13, "players", "is 13; 2 to 12"),
        ("players", True, "players", "is True; a whole number"),
        ("teams", [1], "teams", "has 1 entries for 2 players"),
        ("teams", [1, "x"], "teams[1]", "is 'x'; a whole number"),
        ("modifiers", [3], "modifiers", "only games without modifiers"),
        ("mountains", 5, "mountains", "is 5; a list was expected"),
        ("mountains", [5, 8], "mountains[1]", "is tile 8, off a board of 4 x 2"),
        ("swamps", [5], "swamps[0]", "is tile 5, which is among the mountains, too"),
        ("cities", [[1]], "cities[0]", r"is \[1\]; \[tile, army\] was expected"),
        ("cities", [[5, 3]], "cities[0][0]", "is tile 5, which is among the mountains, too"),
        ("cities", [[1, 40], [1, 40]], "cities[1][0]", "is tile 1, which cities has already"),
        ("cities", [[1, 3.5]], "cities[0][1]", "is 3.5; a whole number"),
        ("neutral_armies", [[2, 10**12]], "neutral_armies[0][1]", "is 1000000000000; -10000000 to 10000000"),
        ("generals", [0], "generals", "has 1 entries for 2 players"),
        ("generals", [0, 0], "generals[1]", "is tile 0, where another general, city or army stands"),
        ("generals", [0, 1], "generals[1]", "is tile 1, where another general, city or army stands"),
        ("generals", [0, 6], "generals[1]", "is tile 6, which is among the obstacles"),
        ("moves", {}, "moves", "is {}; a list was expected"),
        ("moves", [[0, 0, 1, 0]], "moves[0]", "player, from, to, split, tick.* was expected"),
        ("moves", [[0, 0, 1, 0, 1], [2, 0, 1, 0, 1]], "moves[1][0]", "is player 2; there are 2, counted from 0"),
        ("moves", [[0, -1, 1, 0, 1]], "moves[0][1]", "is tile -1, off a board"),
        ("moves", [[0, 0, 8, 0, 1]], "moves[0][2]", "is tile 8, off a board"),
        ("moves", [[0, 0, 1, 2, 1]], "moves[0][3]", "is 2; 0 to 1 was expected"),
        ("moves", [[0, 0, 1, 0, -1]], "moves[0][4]", "is -1; 0 to"),
        ("moves", [[0, 0, 1, 0, None]], "moves[0][4]", "is None; a whole number"),
        ("surrenders", [[0]], "surrenders[0]", "player, tick.* was expected"),
        ("surrenders", [[5, 1]], "surrenders[0][0]", "is player 5"),
        ("ticks", -1, "ticks", "is -1"),
        ("expected", [], "expected", "an object was expected"),
        ("name", 7, "name", "is 7; text was expected"),
    ],
)
def test_a_wrong_field_is_named(field: str, value: object, where: str, problem: str) -> None:
    with pytest.raises(MalformedGame, match=problem) as caught:
        small(**{field: value})
    assert caught.value.field == where


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "7", '{"width": NaN}', "[" * 100_000])
def test_a_file_that_holds_no_game_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "game.json"
    path.write_text(content)
    with pytest.raises(MalformedGame):
        recorded.load(path)


def test_optional_fields_may_be_left_out() -> None:
    optional = ("name", "source", "teams", "modifiers", "obstacles", "swamps", "deserts", "neutral_armies")
    game = recorded.parse({field: value for field, value in SMALL.items() if field not in (*optional, "surrenders")})
    assert recorded.replay(game).end_tick == rules.IDLE_TICKS + 1


def test_a_replay_does_not_depend_on_the_path_of_loading() -> None:
    path = REPLAYS[0]
    assert recorded.parse(json.loads(path.read_text())) == recorded.load(path)
