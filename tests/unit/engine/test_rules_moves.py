"""Moves on drawn boards: what one does, in which order several are executed, and what becomes of them.

Boards are drawn as in `generals_engine.drawing`. Ticks 0 to 1 do not grow, so that boards show the moves alone.
"""

from dataclasses import replace

import pytest

from generals_engine import rules
from generals_engine.drawing import draw, picture, tidy
from generals_engine.moves import Move
from generals_engine.rules import GameState, StepEvents
from generals_schemas import actions

UP, DOWN, LEFT, RIGHT = actions.UP, actions.DOWN, actions.LEFT, actions.RIGHT


def go(state: GameState, player: int, x: int, y: int, direction: int, *, split: bool = False) -> Move:
    """The move of a player from tile (x, y)."""
    action = actions.encode(actions.Move(x, y, direction, split), state.width, state.height)
    move = rules.move_of(action, player, state.width, state.height)
    assert move is not None
    return move


def at_odd_tick(state: GameState) -> GameState:
    """The same board before tick 3, after which structures grow."""
    return replace(state, tick=3)


def play(state: GameState, *moves: Move) -> tuple[GameState, StepEvents]:
    return rules.step(state, moves)


def test_a_move_sends_all_but_one() -> None:
    state = draw("A5 . B1")
    after, _ = play(state, go(state, 0, 0, 0, RIGHT))
    assert picture(after) == tidy("A1 a4 B1")


def test_a_split_of_an_odd_army_sends_the_smaller_half() -> None:
    state = draw("A5 . B1")
    after, _ = play(state, go(state, 0, 0, 0, RIGHT, split=True))
    assert picture(after) == tidy("A3 a2 B1")


def test_an_army_joins_another_of_the_same_player() -> None:
    state = draw("A5 a3 B1")
    after, _ = play(state, go(state, 0, 0, 0, RIGHT))
    assert picture(after) == tidy("A1 a7 B1")


def test_a_tile_falls_only_to_more_than_its_defenders() -> None:
    state = draw("A6 b4 B1")
    after, _ = play(state, go(state, 0, 0, 0, RIGHT))
    assert picture(after) == tidy("A1 a1 B1")


def test_on_a_tie_the_defender_keeps_the_tile_with_nobody_on_it() -> None:
    state = draw("A5 b4 B1")
    after, _ = play(state, go(state, 0, 0, 0, RIGHT))
    assert picture(after) == tidy("A1 b0 B1")


def test_a_neutral_city_defends_itself() -> None:
    state = draw("A9 $8 B1")
    tied, _ = play(state, go(state, 0, 0, 0, RIGHT))
    assert picture(tied) == tidy("A1 $0 B1")
    state = draw("A10 $8 B1")
    taken, _ = play(state, go(state, 0, 0, 0, RIGHT))
    assert picture(taken) == tidy("A1 a$1 B1")


@pytest.mark.parametrize(
    ("x", "y", "direction"),
    [(0, 0, RIGHT), (0, 0, UP), (0, 0, DOWN), (1, 1, UP), (1, 1, LEFT), (2, 1, LEFT), (2, 0, DOWN)],
    ids=["mountain", "off the board", "obstacle", "army of 1", "to an obstacle", "enemy's tile", "nobody's tile"],
)
def test_a_move_that_is_not_valid_is_refused(x: int, y: int, direction: int) -> None:
    board = """
        A5 #  .
        ^  a1 B5
    """
    state = draw(board)
    action = actions.encode(actions.Move(x, y, direction, False), state.width, state.height)
    passing = actions.pass_action(state.width, state.height)
    after, events = rules.step(state, rules.moves_of(state, [action, passing]))
    assert picture(after) == tidy(board)
    assert events.moves == ()


def test_dead_players_do_not_move() -> None:
    state = draw("A5 . b9 . C1")
    assert state.alive == (True, False, True)
    after, events = play(state, go(state, 1, 2, 0, RIGHT))
    assert picture(after) == picture(state)
    assert events.moves == ()


def test_in_a_head_on_swap_the_larger_army_strikes_first_and_the_other_is_spent() -> None:
    state = draw("A1 b3 a6 B1")
    after, events = play(state, go(state, 1, 1, 0, RIGHT), go(state, 0, 2, 0, LEFT))
    # a's 5 beat b's 3 before these set out; b no longer owns the source, so its move is gone.
    assert picture(after) == tidy("A1 a2 a1 B1")
    assert [move.player for move in events.moves] == [0]


def test_a_head_on_swap_does_not_wait_for_itself() -> None:
    # a and b swap. c, the smallest, enters b's tile, and so b waits for c; but a waits for nobody and goes first.
    board = """
        A1 b3 a4 B1
        .  c2 .  C1
    """
    state = draw(board)
    moves = [go(state, 2, 1, 1, UP), go(state, 1, 1, 0, RIGHT), go(state, 0, 2, 0, LEFT)]
    after, events = play(state, *moves)
    # a's 3 tie with b's 3, so that c's 1 finds nobody.
    assert [move.player for move in events.moves] == [0, 2]
    assert picture(after) == tidy(
        """
        A1 c1 a1 B1
        .  c1 .  C1
        """
    )


def test_equal_armies_move_by_index_on_even_ticks() -> None:
    state = draw("A1 a5 . b5 B1")
    after, events = play(state, go(state, 1, 3, 0, LEFT), go(state, 0, 1, 0, RIGHT))
    assert [move.player for move in events.moves] == [0, 1]
    # a's 4 take the tile, b's 4 tie with them.
    assert picture(after) == tidy("A1 a1 a0 b1 B1")


def test_equal_armies_move_by_reversed_index_on_odd_ticks() -> None:
    state = at_odd_tick(draw("A1 a5 . b5 B1"))
    after, events = play(state, go(state, 0, 1, 0, RIGHT), go(state, 1, 3, 0, LEFT))
    assert [move.player for move in events.moves] == [1, 0]
    assert picture(after) == tidy("A2 a1 b0 b1 B2")


def test_the_larger_source_army_moves_before_a_lower_index() -> None:
    state = draw("A1 a5 . b6 B1")
    after, _ = play(state, go(state, 0, 1, 0, RIGHT), go(state, 1, 3, 0, LEFT))
    assert picture(after) == tidy("A1 a1 b1 b1 B1")


def test_a_small_split_of_a_large_army_still_moves_early() -> None:
    state = draw("A1 a6 . b7 B1")
    _, events = play(state, go(state, 0, 1, 0, RIGHT), go(state, 1, 3, 0, LEFT, split=True))
    assert [move.player for move in events.moves] == [1, 0]


def test_moves_onto_the_own_land_come_before_attacks() -> None:
    # a reinforces the tile with 1 before b's larger army reaches it.
    state = draw("A3 a1 b4 B1")
    after, events = play(state, go(state, 1, 2, 0, LEFT), go(state, 0, 0, 0, RIGHT))
    assert [move.player for move in events.moves] == [0, 1]
    assert picture(after) == tidy("A1 a0 b1 B1")


def test_attacks_on_a_general_come_last() -> None:
    board = """
        B3 a9 A1
        c3 .  C1
    """
    state = draw(board)
    # c takes from b's general first, though a's army is larger.
    _, events = play(state, go(state, 0, 1, 0, LEFT), go(state, 2, 0, 1, RIGHT))
    assert [move.player for move in events.moves] == [2, 0]


def test_a_move_waits_for_the_attack_on_its_source() -> None:
    # a's army is larger, but b enters its source: b strikes first, and a leaves with what remains.
    state = draw("A1 . a9 b3 B1")
    after, events = play(state, go(state, 0, 2, 0, LEFT), go(state, 1, 3, 0, LEFT))
    assert [move.player for move in events.moves] == [1, 0]
    assert picture(after) == tidy("A1 a6 a1 b1 B1")


def test_a_chain_moves_from_its_tail() -> None:
    state = draw("A1 . a9 b5 c4 B1 C1")
    moves = [go(state, 0, 2, 0, LEFT), go(state, 1, 3, 0, LEFT), go(state, 2, 4, 0, LEFT)]
    after, events = play(state, *moves)
    # c's 3 leave b with 2, b's 1 leaves a with 8.
    assert [move.player for move in events.moves] == [2, 1, 0]
    assert picture(after) == tidy("A1 a7 a1 b1 c1 B1 C1")


def test_in_a_ring_the_first_of_the_ranking_breaks_it() -> None:
    board = """
        a6 b5 A1 B1
        d4 c3 C1 D1
    """
    state = draw(board)
    moves = [go(state, 0, 0, 0, RIGHT), go(state, 1, 1, 0, DOWN), go(state, 2, 1, 1, LEFT), go(state, 3, 0, 1, UP)]
    after, events = play(state, *moves)
    # a's 5 tie with b's 5, so b has nobody left to send; c's 2 hit d's 4; d's last 1 ties with a's last 1.
    assert [move.player for move in events.moves] == [0, 2, 3]
    assert picture(after) == tidy(
        """
        a0 b0 A1 B1
        d1 c1 C1 D1
        """
    )


def test_the_order_is_fixed_before_the_first_move() -> None:
    # a's 8 rank first, but wait for b's attack on them. That leaves 3, fewer than c's 5; a still goes before c.
    board = """
        b6 a8 .  c5
        A1 B1 C1 .
    """
    state = draw(board)
    after, events = play(state, go(state, 0, 1, 0, RIGHT), go(state, 1, 0, 0, RIGHT), go(state, 2, 3, 0, LEFT))
    assert [move.player for move in events.moves] == [1, 0, 2]
    assert picture(after) == tidy(
        """
        b1 a1 c2 c1
        A1 B1 C1 .
        """
    )


@pytest.mark.parametrize("version", [5, 14])
def test_old_rules_order_by_index_alone(version: int) -> None:
    board = "A1 a3 . b9 B1"
    state = draw(board, rules_version=version)
    _, events = play(state, go(state, 1, 3, 0, LEFT), go(state, 0, 1, 0, RIGHT))
    assert [move.player for move in events.moves] == [0, 1]
    state = at_odd_tick(state)
    _, events = play(state, go(state, 0, 1, 0, RIGHT), go(state, 1, 3, 0, LEFT))
    assert [move.player for move in events.moves] == [1, 0]


def test_old_rules_know_no_chains() -> None:
    # a leaves before b enters, on an even tick, however the armies compare.
    state = draw("A1 . a3 b9 B1", rules_version=14)
    after, events = play(state, go(state, 1, 3, 0, LEFT), go(state, 0, 2, 0, LEFT))
    assert [move.player for move in events.moves] == [0, 1]
    assert picture(after) == tidy("A1 a2 b7 b1 B1")


def test_a_team_mates_tile_changes_hands_with_both_armies() -> None:
    state = draw("A5 b3 B1 C1", teams=[1, 1, 2])
    after, _ = play(state, go(state, 0, 0, 0, RIGHT))
    assert picture(after) == tidy("A1 a7 B1 C1")


def test_a_team_mates_general_is_reinforced_and_stays_theirs() -> None:
    state = draw("a5 B3 A1 C1", teams=[1, 1, 2])
    after, events = play(state, go(state, 0, 0, 0, RIGHT))
    assert picture(after) == tidy("a1 B7 A1 C1")
    assert events.captures == ()


def test_a_single_unit_sends_nobody_and_yet_takes_a_team_mates_tile() -> None:
    state = draw("A1 b3 B1 C1", teams=[1, 1, 2])
    after, events = play(state, go(state, 0, 0, 0, RIGHT))
    assert picture(after) == tidy("A1 a3 B1 C1")
    assert len(events.moves) == 1


def test_a_single_unit_does_not_move_onto_the_own_tile() -> None:
    state = draw("A1 a3 B1")
    _, events = play(state, go(state, 0, 0, 0, RIGHT))
    assert events.moves == ()


def test_a_move_onto_the_own_land_counts_even_if_an_attack_left_nobody_to_send() -> None:
    # Old rules, odd tick: b's 2 leave a single unit on a's tile before a's turn comes.
    state = at_odd_tick(draw("A1 a3 b3 B1", rules_version=14))
    after, events = play(state, go(state, 0, 1, 0, LEFT), go(state, 1, 2, 0, LEFT))
    assert [move.player for move in events.moves] == [1, 0]
    assert picture(after) == tidy("A2 a1 b1 B2")


def test_two_allies_on_one_tile_the_last_to_arrive_keeps_it() -> None:
    state = draw("A5 . b4 B1 C1", teams=[1, 1, 2])
    after, events = play(state, go(state, 0, 0, 0, RIGHT), go(state, 1, 2, 0, LEFT))
    assert [move.player for move in events.moves] == [0, 1]
    assert picture(after) == tidy("A1 b7 b1 B1 C1")
