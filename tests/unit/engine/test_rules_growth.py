"""Growth, swamps and deserts on drawn boards (see `generals_engine.drawing`)."""

from dataclasses import replace

import pytest

from generals_engine import rules
from generals_engine.drawing import draw, picture, tidy
from generals_engine.moves import Move
from generals_engine.rules import GameState


def after_tick(state: GameState, tick: int, *moves: Move) -> GameState:
    """The state after the clock went from `tick - 1` to `tick`."""
    return rules.step(replace(state, tick=tick - 1), moves)[0]


def test_owned_structures_grow_on_even_ticks_and_nothing_else() -> None:
    state = draw("A1 a$3 a5 $40 . .7 B1")
    assert picture(after_tick(state, 3)) == tidy("A1 a$3 a5 $40 . .7 B1")
    assert picture(after_tick(state, 4)) == tidy("A2 a$4 a5 $40 . .7 B2")


def test_all_owned_land_grows_every_50_ticks_structures_twice() -> None:
    state = draw("A1 a$3 a5 $40 . .7 # B0")
    assert picture(after_tick(state, 50)) == tidy("A3 a$5 a6 $40 . .7 # B2")
    assert picture(after_tick(state, 75)) == tidy("A1 a$3 a5 $40 . .7 # B0")
    assert picture(after_tick(state, 100)) == tidy("A3 a$5 a6 $40 . .7 # B2")


def test_a_city_taken_in_the_tick_produces_for_its_new_owner() -> None:
    state = draw("A1 a9 b$3 B1")
    taken = after_tick(state, 2, Move(0, 1, 2, False))
    assert picture(taken) == tidy("A2 a1 a$6 B2")
    state = draw("A1 a9 $3 B1")
    taken = after_tick(state, 50, Move(0, 1, 2, False))
    assert picture(taken) == tidy("A3 a2 a$7 B3")


def test_a_captured_general_produces_as_a_city_at_once() -> None:
    state = draw("A1 a9 B3 C1")
    assert picture(after_tick(state, 2, Move(0, 1, 2, False))) == tidy("A2 a1 a$6 C2")


@pytest.mark.parametrize(("version", "grown"), [(5, "$40 $40 $41"), (6, "$39 $40 $41"), (18, "$39 $40 $41")])
def test_neutral_cities_below_40_grow_again_in_version_5(version: int, grown: str) -> None:
    state = draw("A1 $39 $40 $41 B1", rules_version=version)
    assert picture(after_tick(state, 2)) == tidy(f"A2 {grown} B2")


def test_a_swamp_takes_a_unit_from_owned_tiles_on_even_ticks() -> None:
    state = draw("A1 ~a3 ~.5 ~ B1")
    assert picture(after_tick(state, 3)) == tidy("A1 ~a3 ~.5 ~ B1")
    assert picture(after_tick(state, 4)) == tidy("A2 ~a2 ~.5 ~ B2")


def test_a_swamp_that_took_the_last_unit_is_nobodys() -> None:
    state = draw("A1 ~a1 ~b0 B1")
    assert picture(after_tick(state, 2)) == tidy("A2 ~ ~ B2")


def test_a_city_in_a_swamp_only_keeps_its_army() -> None:
    state = draw("A1 ~a$3 ~$5 ~B1")
    assert picture(after_tick(state, 2)) == tidy("A2 ~a$3 ~$5 ~B1")


def test_a_general_lost_to_a_swamp_is_a_neutral_city() -> None:
    state = draw("~A0 a5 B1 C1")
    after = after_tick(state, 2)
    assert picture(after) == tidy("~$0 a5 B2 C2")
    assert after.alive == (True, True, True)


def test_a_desert_grows_nothing() -> None:
    state = draw("A1 :a3 :.5 : B1")
    assert picture(after_tick(state, 2)) == tidy("A2 :a3 :.5 : B2")
    assert picture(after_tick(state, 50)) == tidy("A3 :a3 :.5 : B3")


def test_a_desert_with_nobody_left_stays_nobodys() -> None:
    # 0 + 1 - 1 = 0: the tile is lost.
    state = draw("A1 :a0 B1")
    assert picture(after_tick(state, 50)) == tidy("A3 : B3")


def test_a_city_in_a_desert_grows_as_a_city_does() -> None:
    state = draw("A1 :a$3 B1")
    assert picture(after_tick(state, 50)) == tidy("A3 :a$4 B3")


def test_a_swamp_is_drained_before_the_land_grows() -> None:
    # On tick 50 the swamp takes the last unit first; the tile is nobody's and does not grow.
    state = draw("A1 ~a1 ~a2 B1")
    assert picture(after_tick(state, 50)) == tidy("A3 ~ ~a2 B3")
