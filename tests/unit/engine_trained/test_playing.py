"""Newer networks while games go on: a chunk says who played it, and that one played all of it."""

import gc
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from generals_engine.deadline import punctual
from generals_engine.games import GamePool
from generals_engine.play_settings import PlaySettings
from generals_engine.policies import BatchPolicy, Policy, codes, find_policy
from generals_engine.timing import timed
from generals_engine.trained.network import TrainedNetwork
from generals_engine.trained.playing import NewestPolicy, PastPolicy
from generals_engine.trained_settings import TrainedSettings
from generals_runtime.metrics import Metrics
from generals_schemas.encodings import get_encoding
from generals_schemas.records import Outcome, PolicyRef, TransitionChunk

SIDE, TICKS = 8, 16
AREA = SIDE * SIDE


class Session:
    """Odd versions move whole armies, even ones halves, and neither passes if it can help it."""

    def __init__(self, version: int, channels: int) -> None:
        self._version, self._channels = version, channels
        self.asked = 0

    def run(self, names: Any, inputs: dict[str, NDArray[np.float32]]) -> Any:
        count, channels = inputs["planes"].shape[:2]
        assert channels == self._channels
        self.asked += 1
        values = np.zeros((count, 8 * AREA + 1), np.float32)
        values[:, : 4 * AREA] = 1.0 if self._version % 2 else -1.0
        values[:, -1] = -2.0
        return [values]


def network(version: int, encoding: str = "nine_planes") -> TrainedNetwork:
    found = get_encoding(encoding)
    return TrainedNetwork(PolicyRef("dqn", version), found, {}, True, 0, Session(version, len(found.channels)))


def a_pool(policy: BatchPolicy, games: int = 3, **changes: Any) -> GamePool:
    seats = (Policy("dqn", codes.EXTERNAL, policy), find_policy("expander"))
    play = PlaySettings(run="t", policies=seats, width=SIDE, height=SIDE, games=games, chunk_ticks=TICKS, seed=2)
    engine = Metrics(CollectorRegistry()).engine
    return GamePool(timed(punctual(play, changes.get("answer_within_s"), engine), engine), lambda: 0)


def chunks(pool: GamePool, ticks: int) -> Iterator[TransitionChunk]:
    """A chunk's arrays hold until the pool goes on."""
    for _ in range(ticks):
        for played in pool.advance():
            assert played.failure is None
            if played.chunk is not None:
                yield played.chunk


def cut_short(pool: GamePool, place: int) -> None:
    """The game in a place ends, and another begins there."""
    seat = pool.seats[place]
    assert seat is not None
    pool._close(place, place, seat, Outcome((), "aborted"))


def said_and_played(chunk: TransitionChunk) -> tuple[int, set[int]]:
    """The version that a chunk names for the first seat, and what moved there: 1 whole armies, 0 halves."""
    moves = chunk.actions[:, 0]
    return chunk.policies[0].version, {int(move < 4 * AREA) for move in moves[(moves >= 0) & (moves < 8 * AREA)]}


@pytest.mark.parametrize("answer_within_s", [None, 60.0])
def test_a_chunk_is_played_to_its_end_by_the_version_it_names(answer_within_s: float | None) -> None:
    networks = [network(1)]
    pool = a_pool(NewestPolicy(TrainedSettings(), lambda: networks[-1], seed=0), answer_within_s=answer_within_s)
    found = []
    for version in range(2, 7):
        found += [said_and_played(chunk) for chunk in chunks(pool, TICKS + 3)]
        networks.append(network(version))  # in the middle of chunks
        cut_short(pool, version % 3)  # so that games' chunks no longer begin together
    assert {said for said, _ in found} == {1, 2, 3, 4, 5}
    assert all(played <= {said % 2} for said, played in found)
    assert {0, 1} <= {kind for _, played in found for kind in played}


def test_each_network_is_asked_once_a_tick_and_goes_when_the_last_game_has_left_it() -> None:
    networks = [network(1)]
    pool = a_pool(NewestPolicy(TrainedSettings(), lambda: networks[-1], seed=0))
    list(chunks(pool, 5))
    first = networks[0].session
    assert first.asked == 5
    cut_short(pool, 0)
    networks[:] = [network(2)]
    cut_short(pool, 1)
    list(chunks(pool, 1))
    assert (first.asked, networks[0].session.asked) == (6, 1), "for games 0 and 2, and for game 1"
    left = weakref.ref(first)
    del first
    gc.collect()
    assert left() is not None
    list(chunks(pool, TICKS))
    gc.collect()
    assert left() is None


def test_chunks_before_the_first_network_and_of_another_encoding_are_played_to_their_ends() -> None:
    networks: list[TrainedNetwork | None] = [None]
    pool = a_pool(NewestPolicy(TrainedSettings(), lambda: networks[-1], seed=0))
    found = []
    for following in (network(1), network(2, encoding="memory"), network(3)):
        found += [said_and_played(chunk) for chunk in chunks(pool, TICKS + 3)]
        networks.append(following)
        cut_short(pool, following.ref.version % 3)
    found += [said_and_played(chunk) for chunk in chunks(pool, TICKS)]
    assert {said for said, _ in found} == {0, 1, 2, 3}
    assert all(played <= {said % 2} for said, played in found if said)
    assert any(played == {0, 1} for said, played in found if not said), "all moves are random"


def test_an_opponent_from_the_past_is_named_as_it_was_drawn_and_stays_to_its_games_end() -> None:
    versions: Sequence[TrainedNetwork] = ()
    pool = a_pool(PastPolicy("dqn", lambda: versions, seed=1), games=12)
    assert {chunk.policies[0] for chunk in chunks(pool, TICKS)} == {PolicyRef("dqn-past", 0)}
    versions = [network(1), network(4), network(7)]
    list(chunks(pool, TICKS))
    games: dict[str, set[int]] = {}
    for round_of in range(4):
        versions = [network(version + 3 * round_of) for version in (1, 4, 7)]
        for chunk in chunks(pool, TICKS):
            said, played = said_and_played(chunk)
            assert chunk.policies[0].name == "dqn-past"
            assert played <= {said % 2}
            games.setdefault(chunk.game_id, set()).add(said)
    assert all(len(said) == 1 for said in games.values())
    assert {1, 4, 7} <= set[int]().union(*games.values())


def test_a_policy_in_two_seats_of_a_game_plays_both_by_one_version() -> None:
    past = PastPolicy("dqn", lambda: [network(version) for version in range(1, 9)], seed=1)
    seat = Policy("dqn", codes.EXTERNAL, past)
    play = PlaySettings(run="t", policies=(seat, seat), width=SIDE, height=SIDE, games=8, chunk_ticks=TICKS)
    found = [chunk.policies for chunk in chunks(GamePool(play, lambda: 0), TICKS)]
    assert len(found) == 8
    assert all(first == second for first, second in found)
    assert len(set(found)) > 2
