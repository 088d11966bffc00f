"""What a chunk is rejected for, and with what reason."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.random import default_rng
from numpy.typing import NDArray
from random_chunks import random_chunk

from generals_collector.tensorise import experiences, recipe
from generals_collector.validation import validate
from generals_schemas.errors import BadRecord
from generals_schemas.records import Memory, Outcome, PolicyRef, Source, TransitionChunk
from generals_schemas.tiles import CITY, DESERT_CITY, GENERAL, MOUNTAIN, PLAIN, SWAMP, tile


def good() -> TransitionChunk:
    """Two players on 3 x 2 tiles, three ticks."""
    row = [tile(GENERAL, 0), tile(PLAIN), tile(MOUNTAIN), tile(CITY), tile(PLAIN, 1), tile(GENERAL, 1)]
    return TransitionChunk(
        game_id="g",
        chunk=2,
        first_tick=128,
        rules_version=16,
        width=3,
        height=2,
        teams=(0, 1),
        policies=(PolicyRef("x"), PolicyRef("y")),
        map_seed=0,
        policy_seed=0,
        tiles=np.tile(np.array(row, np.uint8), (4, 1)),
        armies=np.tile(np.array([3, 0, 0, 41, 2, 5], np.uint16), (4, 1)),
        alive=np.full(4, 3, np.uint16),
        actions=np.full((3, 2), 48, np.int32),
        log_probs=np.full((3, 2), -0.5, np.float32),
        memory=Memory(np.full((2, 6), 255, np.uint8), np.zeros((2, 6), np.uint16)),
        outcome=Outcome((), "tick_limit"),
    )


def put(array: NDArray[Any], index: tuple[int, ...], value: float) -> NDArray[Any]:
    changed = array.copy()
    changed[index] = value
    return changed


GOOD = good()
DEAD_SECOND = np.array([3, 1, 1, 1], np.uint16)

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "an empty game id": ("identity", {"game_id": ""}),
    "a negative chunk number": ("identity", {"chunk": -1}),
    "a negative first tick": ("identity", {"first_tick": -1}),
    "ticks beyond what an int holds": ("identity", {"first_tick": 2**31 - 2}),
    "a negative policy version": ("identity", {"policies": (PolicyRef("x", -1), PolicyRef("y"))}),
    "one team": ("teams", {"teams": (4, 4)}),
    "nobody alive": ("alive", {"alive": np.zeros(4, np.uint16)}),
    "a third life in a game of two": ("alive", {"alive": np.full(4, 7, np.uint16)}),
    "a resurrection": ("alive", {"alive": np.array([3, 1, 3, 3], np.uint16)}),
    "an unknown kind": ("tiles", {"tiles": put(GOOD.tiles, (0, 1), 0xB0)}),
    "an unknown kind later": ("tiles", {"tiles": put(GOOD.tiles, (3, 1), 0xB0)}),
    "an owner who does not play": ("tiles", {"tiles": put(GOOD.tiles, (2, 1), 3)}),
    "an owned mountain": ("tiles", {"tiles": put(GOOD.tiles, (1, 2), tile(MOUNTAIN, 0))}),
    "a mountain that goes": ("terrain", {"tiles": put(GOOD.tiles, (2, 2), tile(PLAIN))}),
    "a city out of nothing": ("terrain", {"tiles": put(GOOD.tiles, (1, 1), tile(CITY))}),
    "a general out of a city": ("terrain", {"tiles": put(GOOD.tiles, (1, 3), tile(GENERAL))}),
    "a general that becomes a desert city": ("terrain", {"tiles": put(GOOD.tiles, (3, 0), tile(DESERT_CITY, 0))}),
    "a flood": ("terrain", {"tiles": put(GOOD.tiles, (3, 1), tile(SWAMP))}),
    "an army on a mountain": ("armies", {"armies": put(GOOD.armies, (2, 2), 1)}),
    "an action off the board": ("actions", {"actions": put(GOOD.actions, (2, 1), 49)}),
    "no action of the living": ("actions", {"actions": put(GOOD.actions, (0, 0), -1)}),
    "an action of the dead": ("actions", {"alive": DEAD_SECOND}),
    "a NaN log-probability": ("log_probs", {"log_probs": put(GOOD.log_probs, (1, 0), np.nan)}),  # type: ignore[arg-type]
    "an infinite log-probability": ("log_probs", {"log_probs": put(GOOD.log_probs, (1, 0), -np.inf)}),  # type: ignore[arg-type]
    "a probability above one": ("log_probs", {"log_probs": put(GOOD.log_probs, (1, 0), 0.1)}),  # type: ignore[arg-type]
    "a memory of what no tile is": (
        "memory",
        {"memory": Memory(np.full((2, 6), 0xC1, np.uint8), np.zeros((2, 6), np.uint16))},
    ),
    "winners of a truncated game": ("outcome", {"outcome": Outcome((0,), "aborted")}),
    "a winner beside a living loser": ("outcome", {"outcome": Outcome((0,), "won")}),
    "a winner twice": ("outcome", {"outcome": Outcome((0, 1, 1), "won")}),
    "winners of two teams": ("outcome", {"outcome": Outcome((0, 1), "won")}),
    "a win of nobody over the living": ("outcome", {"outcome": Outcome((), "stalemate")}),
    "a winner who does not play": ("outcome", {"outcome": Outcome((5,), "won")}),
}


def test_a_good_chunk_passes() -> None:
    validate(GOOD)


@pytest.mark.parametrize("case", CASES)
def test_is_rejected(case: str) -> None:
    reason, changes = CASES[case]
    with pytest.raises(BadRecord) as caught:
        validate(replace(GOOD, **changes))
    assert caught.value.reason == reason


def test_the_detail_says_where() -> None:
    with pytest.raises(BadRecord, match=r"action 49 of player 1 at tick 130 must be 0 … 48"):
        validate(replace(GOOD, actions=put(GOOD.actions, (2, 1), 49)))
    with pytest.raises(BadRecord, match=r"tile 1 of board 3 is 0xb0: kind 11, owner 0"):
        validate(replace(GOOD, tiles=put(GOOD.tiles, (3, 1), 0xB0)))


def test_a_general_may_fall_and_the_last_two_may_die_together() -> None:
    fallen = replace(GOOD, tiles=put(GOOD.tiles, (3, 0), tile(CITY, 1)))
    validate(replace(fallen, alive=np.array([3, 3, 3, 2], np.uint16), outcome=Outcome((1,), "won")))
    validate(replace(GOOD, alive=np.array([3, 3, 3, 0], np.uint16), outcome=Outcome((), "won")))
    validate(replace(GOOD, alive=np.array([3, 3, 3, 0], np.uint16), outcome=Outcome((1,), "won")))


def test_rewards_beyond_float32_are_rejected() -> None:
    how = recipe(reward="outcome+standard", reward_params={"standard.weight": 1e300, "standard.army_advantage": 1e9})
    with pytest.raises(BadRecord, match=r"reward: the reward of player 0 at tick 128 is") as caught:
        experiences(GOOD, Source("t", "id", 0, 0, 0, 1), how)
    assert caught.value.reason == "reward"


def test_possible_chunks_of_any_kind_pass(seed: int) -> None:
    rng = default_rng(seed)
    for _ in range(30):
        validate(random_chunk(rng, memory=True, log_probs=True, change=0.1, ticks=5, sides=(9, 7)))
