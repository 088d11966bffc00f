"""Whole chunks against the plain reference, value by value."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from experience_agreement import assert_agree, unpack
from experience_reference import board
from experience_reference import experiences as reference_experiences
from experience_reference import reward as reference_reward
from numpy.random import default_rng
from random_chunks import random_chunk

from generals_collector.tensorise import Recipe, experiences, recipe
from generals_schemas.codec import decode_batch, encode_batch
from generals_schemas.records import Outcome, PolicyRef, Source, TransitionChunk
from generals_schemas.tiles import CITY, GENERAL, MOUNTAIN, PLAIN, tile

SOURCE = Source("transitions", "topic-id", 3, 17, 0, 1)


@pytest.mark.parametrize("case", range(12))
def test_random_chunks_agree_with_the_reference_in_every_value(case: int, seed: int) -> None:
    rng = default_rng([seed, case])
    chunk = random_chunk(rng, large=case % 4 == 3, change=(0.02, 0.2, 0.002)[case % 3], ticks=int(rng.integers(1, 8)))
    assert_agree(experiences(chunk, SOURCE, recipe()), reference_experiences(chunk))


@pytest.mark.parametrize("sides", [(64, 64), (64, 1), (1, 64), (1, 1), (63, 2), (8, 8), (37, 37), (20, 20), (2, 64)])
def test_sides_where_words_end_agree_with_the_reference(sides: tuple[int, int], seed: int) -> None:
    chunk = random_chunk(default_rng(seed), sides=sides, players=3, ticks=2, change=0.1)
    assert_agree(experiences(chunk, SOURCE, recipe()), reference_experiences(chunk))


def test_a_batch_survives_the_wire(seed: int) -> None:
    chunk = random_chunk(default_rng(seed), log_probs=True)
    for batch in experiences(chunk, SOURCE, recipe(version="abc")):
        again = decode_batch(encode_batch(batch))
        for name in ("armies", "bits", "rewards", "actions", "log_probs", "scalars"):
            np.testing.assert_array_equal(getattr(again, name), getattr(batch, name))
        assert again.source == batch.source
        assert (again.config_version, again.end, again.planes) == ("abc", batch.end, batch.planes)


def small_chunk(owners: list[str], armies: list[list[int]], **changes: Any) -> TransitionChunk:
    """A 4 x 1 board a string: digits own plain tiles, `.` nobody's, `#` mountain, `c` a city, `A` `B` generals,
    `a` `b` cities of players 0 and 1."""
    codes = {".": tile(PLAIN), "#": tile(MOUNTAIN), "c": tile(CITY), "A": tile(GENERAL, 0), "B": tile(GENERAL, 1)}
    codes |= {str(p): tile(PLAIN, p) for p in range(4)} | {"a": tile(CITY, 0), "b": tile(CITY, 1)}
    ticks = len(owners) - 1
    chunk = TransitionChunk(
        game_id="small",
        chunk=0,
        first_tick=0,
        rules_version=16,
        width=len(owners[0]),
        height=1,
        teams=(0, 1),
        policies=(PolicyRef("x"), PolicyRef("y")),
        map_seed=0,
        policy_seed=0,
        tiles=np.array([[codes[c] for c in row] for row in owners], np.uint8),
        armies=np.array(armies, np.uint16),
        alive=np.full(ticks + 1, 3, np.uint16),
        actions=np.full((ticks, 2), 8 * len(owners[0]), np.int32),
    )
    return replace(chunk, **changes)


def test_a_captured_general_is_a_city_for_its_captor_unless_the_capture_wins() -> None:
    armies = [[9, 1, 0, 0], [1, 7, 0, 0]]
    three = {"teams": (0, 1, 2), "policies": (PolicyRef("x"),) * 3, "actions": np.full((1, 3), 32, np.int32)}
    goes_on = small_chunk(["AB.2", "Aa.2"], armies, **three, alive=np.array([0b111, 0b101], np.uint16))
    captor, victim, third = experiences(goes_on, SOURCE, recipe())
    assert captor.rewards[0] == pytest.approx(0.1 + 0.05)
    assert (victim.rewards[0], victim.end) == (-1.0, "terminated")
    assert third.rewards[0] == pytest.approx(-0.05)
    wins = small_chunk(["AB..", "Aa.."], armies, alive=np.array([3, 1], np.uint16), outcome=Outcome((0,), "won"))
    captor, victim = experiences(wins, SOURCE, recipe())
    assert (captor.rewards[0], captor.end) == (1.0, "terminated")
    assert (victim.rewards[0], victim.end) == (-1.0, "terminated")


def test_cities_count_when_they_change_hands_and_not_when_they_are_kept() -> None:
    chunk = small_chunk(["AaBc", "AbBc", "AbBb"], [[5, 5, 5, 0]] * 3)
    first, second = experiences(chunk, SOURCE, recipe(reward_params={"army_advantage": 0.0}))
    np.testing.assert_allclose(first.rewards, [-0.1, 0.0], atol=1e-7)
    np.testing.assert_allclose(second.rewards, [0.1, 0.1], atol=1e-7)
    assert first.reward_params == {"army_advantage": 0.0}


def test_the_dead_have_no_batch_and_a_death_ends_one_early() -> None:
    chunk = small_chunk(["A.B."] * 4, [[3, 0, 3, 0]] * 4, alive=np.array([3, 3, 1, 1], np.uint16))
    actions = chunk.actions.copy()
    actions[2, 1] = -1
    one, other = experiences(replace(chunk, actions=actions), SOURCE, recipe())
    assert (one.steps, one.end) == (3, "none")
    assert (other.steps, other.end, other.rewards[-1]) == (2, "terminated", -1.0)
    assert [(b.source.index, b.source.count) for b in (one, other)] == [(0, 2), (1, 2)]
    later = replace(
        chunk,
        alive=np.array([1, 1, 1, 1], np.uint16),
        actions=np.where([[True, False]] * 3, chunk.actions, -1).astype(np.int32),
    )
    (only,) = experiences(later, SOURCE, recipe())
    assert (only.player, only.source.index, only.source.count) == (0, 0, 1)


def test_a_tick_limit_truncates_and_gives_the_ordinary_reward() -> None:
    chunk = small_chunk(["A.B."] * 2, [[6, 0, 2, 0]] * 2, outcome=Outcome((), "tick_limit"))
    one, other = experiences(chunk, SOURCE, recipe())
    assert (one.end, other.end) == ("truncated", "truncated")
    np.testing.assert_allclose([one.rewards[0], other.rewards[0]], [0.05 * 0.5, -0.05 * 0.5], atol=1e-7)


def test_the_potential_of_an_aborted_game_is_not_taken_back() -> None:
    """Only the tick limit makes it worthless, if `cut` says so: how an aborted game would have ended is not known."""
    how = recipe(reward="potential", reward_params={"cut": 0.0})
    chunk = small_chunk(["A.B."] * 2, [[6, 0, 2, 0]] * 2, outcome=Outcome((), "tick_limit"))
    cut, *_ = experiences(chunk, SOURCE, how)
    aborted, *_ = experiences(replace(chunk, outcome=Outcome((), "aborted")), SOURCE, how)
    assert cut.rewards[-1] < -0.1
    assert abs(aborted.rewards[-1]) < 0.01


def test_a_player_with_a_mate_gets_its_own_tiles_too() -> None:
    chunk = small_chunk(["012."] * 2, [[3, 4, 5, 0]] * 2, teams=(0, 0, 1), policies=(PolicyRef("x"),) * 3)
    chunk = replace(chunk, alive=np.full(2, 7, np.uint16), actions=np.full((1, 3), 32, np.int32))
    first, second, alone = experiences(chunk, SOURCE, recipe())
    assert first.planes[-1] == "mine"
    assert alone.planes == ("own", "enemy", "city", "mountain")
    assert unpack(first)["own"][0].tolist() == [True, True, False, False]
    assert unpack(first)["mine"][0].tolist() == [True, False, False, False]
    assert unpack(second)["mine"][0].tolist() == [False, True, False, False]


def test_the_land_of_a_surrendered_mate_still_shows_what_is_around_it() -> None:
    owners = ["0....1...2"] * 2
    chunk = small_chunk(owners, [[2] * 10] * 2, teams=(0, 0, 1), policies=(PolicyRef("x"),) * 3)
    chunk = replace(chunk, alive=np.full(2, 0b101, np.uint16), actions=np.array([[80, -1, 80]], np.int32))
    survivor = experiences(chunk, SOURCE, recipe())[0]
    assert unpack(survivor)["visible"][0].tolist() == [True, True, False, False, True, True, True] + [False] * 3


def test_only_the_reward_differs_under_another_reward(seed: int) -> None:
    chunk = random_chunk(default_rng(seed), ticks=12)
    pairs = zip(
        experiences(chunk, SOURCE, recipe()),
        experiences(chunk, SOURCE, recipe(reward="outcome+potential", reward_params={"potential.weight": 0.5})),
        strict=True,
    )
    for one, other in pairs:
        np.testing.assert_array_equal(one.bits, other.bits)
        np.testing.assert_array_equal(one.armies, other.armies)
        np.testing.assert_array_equal(one.actions, other.actions)
        assert (one.end, one.source) == (other.end, other.source)
        assert other.reward == "outcome+potential"
        assert other.reward_params == {"potential.weight": 0.5}


def test_weights_of_the_standard_reward_are_those_of_the_configuration(seed: int) -> None:
    weights = {"win": 3.0, "loss": -2.0, "city_captured": 0.7, "city_lost": -0.3, "army_advantage": 0.2}
    chunk = random_chunk(default_rng(seed), ticks=6, change=0.1)
    how: Recipe = recipe(reward_params=weights)
    for batch in experiences(chunk, SOURCE, how):
        boards = [board(chunk, index) for index in range(chunk.ticks + 1)]
        expected = [
            reference_reward(chunk, n, batch.player, boards[n], boards[n + 1], weights) for n in range(batch.steps)
        ]
        np.testing.assert_allclose(batch.rewards, expected, atol=1e-6)
