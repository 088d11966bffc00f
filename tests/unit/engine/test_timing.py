"""Policies outside the kernel are timed around their answers, and asked no more often for it."""

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from generals_engine.games import GamePool
from generals_engine.play_settings import PlaySettings
from generals_engine.policies import Policy, codes
from generals_engine.policies.protocol import Observations
from generals_engine.timing import timed
from generals_runtime.metrics import Metrics
from generals_schemas.records import PolicyRef


class Passes:
    """Passes, and counts how often it was asked."""

    ref = PolicyRef("passes", 3)

    def __init__(self) -> None:
        self.calls = 0

    def act(self, observations: Observations) -> NDArray[np.int32]:
        self.calls += 1
        return np.full(len(observations), 8 * observations.width * observations.height, np.int32)


def test_an_answer_for_two_seats_is_asked_and_counted_once() -> None:
    registry, passes = CollectorRegistry(), Passes()
    policy = Policy("tests:Passes", codes.EXTERNAL, passes)
    play = PlaySettings(run="timing", policies=(policy, policy), games=3, width=10, height=10, seed=1)
    pool = GamePool(timed(play, Metrics(registry).engine), lambda: 0)
    for _ in range(5):
        pool.advance()
    assert passes.calls == 5
    labels = {"policy": "passes"}
    assert registry.get_sample_value("generals_action_seconds_count", labels) == 5
    assert 0 < (registry.get_sample_value("generals_action_seconds_sum", labels) or 0) < 5


def test_policies_of_the_kernel_stay_as_they_are() -> None:
    play = PlaySettings(run="timing", policies=(Policy("random", codes.RANDOM),))
    assert timed(play, Metrics(CollectorRegistry()).engine) == play
