"""Captures, trades, surrenders and the ends of games on drawn boards (see `generals_engine.drawing`)."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from generals_engine import rules
from generals_engine.drawing import draw, picture, tidy
from generals_engine.moves import Move
from generals_engine.rules import GameOver, GameState, StepEvents
from generals_schemas.actions import DX, DY, LEFT, RIGHT
from generals_schemas.records import Capture


def go(state: GameState, player: int, x: int, y: int, direction: int) -> Move:
    source = y * state.width + x
    return Move(player, source, source + DX[direction] + DY[direction] * state.width, False)


def idle(state: GameState, ticks: int, surrenders: Sequence[int] = ()) -> tuple[GameState, list[StepEvents]]:
    """Ticks without a move; the surrenders are in the first."""
    happened = []
    for tick in range(ticks):
        state, events = rules.step(state, [], surrenders if tick == 0 else ())
        happened.append(events)
    return state, happened


def test_a_captured_generals_land_passes_at_half_strength_rounded_up_and_it_becomes_a_city() -> None:
    state = draw("""
        A1 a9 B3 b7
        .  .  .  b$4
        .  .  C1 b1
    """)
    after, events = rules.step(state, [go(state, 0, 1, 0, RIGHT)])
    assert picture(after) == tidy("""
        A1 a1 a$5 a4
        .  .  .   a$2
        .  .  C1  a1
    """)
    assert events.captures == (Capture(0, 0, 1),)
    assert events.deaths == (1,)
    assert after.alive == (True, False, True)
    assert not rules.is_over(after)


def test_a_general_holds_on_a_tie() -> None:
    state = draw("A1 a4 B3")
    after, events = rules.step(state, [go(state, 0, 1, 0, RIGHT)])
    assert picture(after) == tidy("A1 a1 B0")
    assert events.captures == ()


def test_who_captures_the_last_enemy_has_won() -> None:
    state = draw("A1 a9 B3")
    after, _ = rules.step(state, [go(state, 0, 1, 0, RIGHT)])
    assert rules.is_over(after)
    assert rules.winners(after) == (0,)
    assert after.reason == "won"
    assert after.tick == 1


def test_no_step_follows_the_end() -> None:
    state = draw("A1 a9 B3")
    after, _ = rules.step(state, [go(state, 0, 1, 0, RIGHT)])
    with pytest.raises(GameOver, match="ended at tick 1"):
        rules.step(after, [])


def test_a_move_that_ends_the_game_does_not_end_the_tick() -> None:
    # Tick 1 to 2: all structures grow, the captured general for its new owner.
    state = replace(draw("A1 a9 B3 c$2 C1", teams=[1, 2, 1]), tick=1)
    after, events = rules.step(state, [go(state, 0, 1, 0, RIGHT), go(state, 2, 3, 0, RIGHT)])
    assert picture(after) == tidy("A2 a1 a$6 c$2 C3")
    assert rules.winners(after) == (0, 2)
    assert len(events.moves) == 2


def test_captures_in_a_row_pass_on_what_was_just_captured() -> None:
    # b's army is larger and goes first: c's land is b's when a takes b, and is halved twice.
    state = draw("A1 a8 B2 b9 C2 c9")
    after, events = rules.step(state, [go(state, 0, 1, 0, RIGHT), go(state, 1, 3, 0, RIGHT)])
    assert events.captures == (Capture(0, 1, 2), Capture(0, 0, 1))
    # c9 -> b5 -> a3; the city that was C, b's 6, -> 3; b's 1 -> 1.
    assert picture(after) == tidy("A1 a1 a$5 a1 a$3 a3")
    assert rules.winners(after) == (0,)


def test_who_is_captured_first_no_longer_captures() -> None:
    state = draw("A1 a9 B2 b8 C2 c9")
    after, events = rules.step(state, [go(state, 0, 1, 0, RIGHT), go(state, 1, 3, 0, RIGHT)])
    assert events.captures == (Capture(0, 0, 1),)
    assert picture(after) == tidy("A1 a1 a$6 a4 C2 c9")


def test_a_captors_land_is_the_captors_alone_also_in_teams() -> None:
    state = draw("A1 a9 B3 b7 C1", teams=[1, 2, 1])
    after, _ = rules.step(state, [go(state, 0, 1, 0, RIGHT)])
    assert picture(after) == tidy("A1 a1 a$5 a4 C1")
    assert rules.winners(after) == (0, 2)


def test_two_who_take_each_others_general_trade_everything() -> None:
    state = draw("""
        A2 b9 b5 b6
        a9 B3 .  a8
    """)
    moves = [go(state, 0, 0, 1, RIGHT), go(state, 1, 1, 0, LEFT)]
    after, events = rules.step(state, moves)
    # Generals keep what the fights left: 8 - 2 and 8 - 3. The rest is halved: 1, 5, 6 of b's and 1, 8 of a's.
    assert picture(after) == tidy("""
        B6 a1 a3 a3
        b1 A5 .  b4
    """)
    assert events.trades == ((0, 1),)
    assert events.captures == ()
    assert events.deaths == ()
    assert len(events.moves) == 2
    assert not rules.is_over(after)


def test_a_trade_is_named_by_who_moves_first() -> None:
    state = draw("""
        A2 b9 .
        a8 B3 .
    """)
    moves = [go(state, 0, 0, 1, RIGHT), go(state, 1, 1, 0, LEFT)]
    _, events = rules.step(state, moves)
    assert events.trades == ((1, 0),)


def test_generals_that_storm_each_other_are_defended_by_what_they_left_behind() -> None:
    state = draw("A9 B9 .")
    after, events = rules.step(state, [go(state, 0, 0, 0, RIGHT), go(state, 1, 1, 0, LEFT)])
    assert events.trades == ((0, 1),)
    assert picture(after) == tidy("B7 A7 .")


def test_before_version_16_the_first_of_the_two_captures() -> None:
    board = """
        A2 b9 .
        a9 B3 .
    """
    state = draw(board, rules_version=15)
    after, events = rules.step(state, [go(state, 0, 0, 1, RIGHT), go(state, 1, 1, 0, LEFT)])
    assert events.captures == (Capture(0, 0, 1),)
    assert events.trades == ()
    assert rules.winners(after) == (0,)


def test_there_is_no_trade_unless_both_would_succeed() -> None:
    state = draw("""
        A2 b3 .
        a9 B3 .
    """)
    _, events = rules.step(state, [go(state, 0, 0, 1, RIGHT), go(state, 1, 1, 0, LEFT)])
    assert events.trades == ()
    assert events.captures == (Capture(0, 0, 1),)


def test_there_is_no_trade_among_allies() -> None:
    board = """
        A2 b9 C1
        a9 B3 .
    """
    state = draw(board, teams=[1, 1, 2])
    after, events = rules.step(state, [go(state, 0, 0, 1, RIGHT), go(state, 1, 1, 0, LEFT)])
    assert events.trades == ()
    assert picture(after) == tidy("""
        A10 b1  C1
        a1  B11 .
    """)


def test_a_traded_general_is_captured_where_it_now_is() -> None:
    state = draw("""
        A2 b9 C1
        a9 B3 c9
    """)
    state, _ = rules.step(state, [go(state, 0, 0, 1, RIGHT), go(state, 1, 1, 0, LEFT)])
    assert picture(state) == tidy("""
        B6 a1 C1
        b1 A5 c9
    """)
    state, events = rules.step(state, [go(state, 2, 2, 1, LEFT)])
    assert events.captures == (Capture(1, 2, 0),)
    assert picture(state) == tidy("""
        B7 c1  C2
        b1 c$4 c1
    """)


def test_who_surrenders_is_dead_and_yet_owns_land_and_produces() -> None:
    state = draw("A1 a5 B1 C1")
    state, (events, _) = idle(state, 2, surrenders=[0])
    assert events.deaths == (0,)
    assert state.alive == (False, True, True)
    assert picture(state) == tidy("A2 a5 B2 C2")


def test_a_surrendered_players_land_is_neutral_after_50_ticks() -> None:
    state = draw("A1 a5 B1 C1")
    state, _ = idle(state, 49, surrenders=[0])
    before = picture(state)
    assert before == tidy("A25 a5 B25 C25")
    state, (land_grows,) = idle(state, 1)
    assert land_grows.neutralised == ()
    assert picture(state) == tidy("A27 a6 B27 C27")
    state, (events,) = idle(state, 1)
    assert events.neutralised == (0,)
    assert events.deaths == ()
    assert picture(state) == tidy("$27 .6 B27 C27")


def test_a_surrendered_players_land_goes_to_the_living_team_mate_with_the_lowest_index() -> None:
    state = draw("A1 B1 b5 C1 D1", teams=[2, 1, 1, 1])
    state, _ = idle(state, 50, surrenders=[1])
    state, (events,) = idle(state, 1)
    assert events.neutralised == (1,)
    assert picture(state) == tidy("A27 c$27 c6 C27 D27")


def test_a_dead_team_mate_inherits_nothing() -> None:
    state = draw("A1 B1 b5 C1 D1", teams=[2, 1, 1, 1])
    state, _ = idle(state, 50, surrenders=[1, 2])
    state, (events,) = idle(state, 1)
    assert events.neutralised == (1, 2)
    assert picture(state) == tidy("A27 d$27 d6 d$27 D27")


def test_a_surrendered_player_can_be_captured_without_a_second_death() -> None:
    state = draw("A1 a9 B3 b5 C1")
    state, (surrendered,) = idle(state, 1, surrenders=[1])
    assert surrendered.deaths == (1,)
    state, events = rules.step(state, [go(state, 0, 1, 0, RIGHT)])
    assert events.captures == (Capture(1, 0, 1),)
    assert events.deaths == ()
    assert picture(state) == tidy("A2 a1 a$6 a3 C2")
    state, later = idle(state, 60)
    assert all(event.neutralised == () for event in later)
    assert "a" in picture(state)


def test_a_second_surrender_gives_the_land_away_whenever_it_comes() -> None:
    state, _ = rules.step(draw("A1 a5 B1 C1"), [], [0], scheduled=False)
    state, events = rules.step(state, [], [0], scheduled=False)
    assert events.neutralised == (0,)
    assert picture(state) == tidy("$1 .5 B2 C2")


def test_a_surrender_that_ends_the_game_does_not_end_the_tick() -> None:
    state = replace(draw("A1 a9 . B3"), tick=1)
    after, events = rules.step(state, [go(state, 0, 1, 0, RIGHT)], [1])
    assert picture(after) == tidy("A2 a1 a8 B4")
    assert rules.winners(after) == (0,)
    assert len(events.moves) == 1


def test_if_all_surrender_in_one_tick_the_last_has_won() -> None:
    after, events = rules.step(draw("A1 . B1 . C1"), [], [1, 0, 2])
    assert events.deaths == (1, 0, 2)
    assert rules.winners(after) == (2,)


def test_a_team_wins_when_no_other_lives_and_its_living_are_the_winners() -> None:
    state = draw("A1 B1 C1 D1", teams=[7, 3, 7, 3])
    state, _ = idle(state, 1, surrenders=[0])
    assert not rules.is_over(state)
    state, _ = idle(state, 1, surrenders=[1, 3])
    assert rules.winners(state) == (2,)


def test_after_2000_ticks_without_a_move_all_but_the_strongest_die() -> None:
    state = replace(draw("A1 B1 b9 C1 c8 D1 .8"), idle=1_999)
    state, (still,) = idle(state, 1)
    assert still.deaths == ()
    assert not rules.is_over(state)
    state, (events,) = idle(state, 1)
    # a and d have 1 each; c's 9 are fewer than b's 10.
    assert events.deaths == (0, 3, 2)
    assert rules.winners(state) == (1,)
    assert state.reason == "stalemate"


def test_in_a_stalemate_equal_armies_are_weighed_by_land_then_index() -> None:
    state = replace(draw("A3 B2 b1 C3 D2 d1"), idle=2_000)
    state, (events,) = idle(state, 1)
    assert events.deaths == (0, 2, 1)
    assert rules.winners(state) == (3,)


def test_an_executed_move_ends_the_wait() -> None:
    state = replace(draw("A5 . B1"), idle=2_000)
    state, _ = rules.step(state, [go(state, 0, 0, 0, RIGHT)])
    assert state.idle == 0
    assert not rules.is_over(state)


def test_a_refused_move_does_not_end_the_wait() -> None:
    state = replace(draw("A1 . B1"), idle=2_000)
    state, _ = rules.step(state, [go(state, 0, 0, 0, RIGHT)])
    assert rules.is_over(state)


def test_a_tick_beyond_50000_is_a_stalemate_though_players_move() -> None:
    state = replace(draw("A5 . B1"), tick=50_000)
    state, _ = rules.step(state, [go(state, 0, 0, 0, RIGHT)])
    assert not rules.is_over(state)
    state, events = rules.step(state, [go(state, 0, 1, 0, LEFT)])
    assert events.deaths == (1,)
    assert state.reason == "stalemate"
    assert rules.winners(state) == (0,)


def test_a_player_without_a_general_never_joined() -> None:
    state = draw("A1 b5 C1")
    assert state.alive == (True, False, True)
    assert rules.winners(rules.step(state, [], [0])[0]) == (2,)


@pytest.mark.parametrize(
    ("board", "teams", "version", "problem"),
    [
        ("A1 . B1", None, 4, "version 4 is unknown: 5 to 18"),
        ("A1 . B1", None, 19, "version 19 is unknown"),
        ("A1 A1 B1", None, 18, "player 0 has 2 generals"),
        ("A1 . C1", [1, 2], 18, "player 2 owns a tile, but only 2 play"),
    ],
)
def test_a_game_that_cannot_be_played_does_not_start(
    board: str, teams: list[int] | None, version: int, problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        draw(board, teams=teams, rules_version=version)
