"""A policy that is late, or silent for ever, costs its player passes and the worker nothing more than one deadline."""

import threading

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from generals_engine.deadline import PunctualPolicy, punctual
from generals_engine.games import GamePool
from generals_engine.play_settings import PlaySettings
from generals_engine.policies import Policy, codes, find_policy
from generals_engine.policies.protocol import NoAnswer, Observations
from generals_runtime.metrics import Metrics
from generals_schemas.records import PolicyRef

GAMES, SIDE = 6, 10
PASS = 8 * SIDE * SIDE


class Thinks:
    """Answers `action` for all, once it may; counts how often it was asked."""

    ref = PolicyRef("thinks", 3)

    def __init__(self, action: int = 0) -> None:
        self.calls = 0
        self.may_answer = threading.Event()
        self._action = action

    def act(self, observations: Observations) -> NDArray[np.int32]:
        self.calls += 1
        self.may_answer.wait()
        return np.full(len(observations), self._action, np.int32)


class Fails(Thinks):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def act(self, observations: Observations) -> NDArray[np.int32]:
        raise self._error


def settings(policy: Thinks) -> PlaySettings:
    seats = (Policy("tests:Thinks", codes.EXTERNAL, policy), find_policy("expander"))
    return PlaySettings(run="late", policies=seats, games=GAMES, width=SIDE, height=SIDE, chunk_ticks=64, seed=1)


def observations() -> Observations:
    """Some of a real game."""
    seen: list[Observations] = []

    class Watches(Thinks):
        def act(self, observations: Observations) -> NDArray[np.int32]:
            seen.append(observations)
            return np.full(len(observations), PASS, np.int32)

    GamePool(settings(Watches()), lambda: 0).advance()
    return seen[0]


def timeouts(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("generals_policy_timeouts_total", {"policy": "thinks"})


def test_a_policy_that_never_answers_passes_while_its_opponents_play_on() -> None:
    registry, silent = CollectorRegistry(), Thinks()
    pool = GamePool(punctual(settings(silent), 0.05, Metrics(registry).engine), lambda: 0)
    chunks = [played.chunk for _ in range(64) for played in pool.advance() if played.chunk is not None]
    assert len(chunks) == GAMES
    for chunk in chunks:
        assert chunk.ticks == 64
        assert set(chunk.actions[:, 0].tolist()) == {PASS}
        assert set(chunk.actions[:, 1].tolist()) > {PASS}
        assert chunk.policies[0] == silent.ref
    assert silent.calls == 1, "it is waited for once; a second question would cost the worker a second deadline"
    assert timeouts(registry) == 64 * GAMES
    silent.may_answer.set()


def test_an_answer_that_comes_too_late_is_dropped_and_the_next_question_is_answered_again() -> None:
    registry, slow, seen = CollectorRegistry(), Thinks(action=5), observations()
    policy = PunctualPolicy(slow, 0.05, Metrics(registry).engine)
    assert set(policy.act(seen)) == {PASS}
    slow.may_answer.set()
    answers = [policy.act(seen)]
    while slow.calls == 1:
        answers.append(policy.act(seen))
    assert all(set(answer) == {PASS} for answer in answers[:-1])
    assert set(answers[-1]) == {5}
    assert timeouts(registry) == GAMES * len(answers)


def test_a_policy_that_has_no_answer_passes_and_one_that_raises_fails_its_games() -> None:
    registry = CollectorRegistry()
    engine, seen = Metrics(registry).engine, observations()
    assert set(PunctualPolicy(Fails(NoAnswer("the line is dead")), 5.0, engine).act(seen)) == {PASS}
    assert timeouts(registry) == GAMES
    with pytest.raises(RuntimeError, match="out of ideas"):
        PunctualPolicy(Fails(RuntimeError("out of ideas")), 5.0, engine).act(seen)
    assert timeouts(registry) == GAMES
