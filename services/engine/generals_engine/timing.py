"""How long policies outside the kernel take to answer, measured around them: neither they nor games have a clock."""

import time

import numpy as np
from numpy.typing import NDArray

from generals_engine.play_settings import PlaySettings, wrap_batch_policies
from generals_engine.policies.protocol import BatchPolicy, Observations, WrappedPolicy
from generals_runtime.metrics import EngineMetrics, policy_label


class TimedPolicy(WrappedPolicy):
    """A policy whose answers are timed. One call answers many observations: each waited for all of it."""

    def __init__(self, policy: BatchPolicy, observed: EngineMetrics) -> None:
        super().__init__(policy)
        self._seconds = observed.action_seconds

    def act(self, observations: Observations) -> NDArray[np.int32]:
        begun = time.perf_counter()
        try:
            return super().act(observations)
        finally:
            self._seconds.labels(policy_label(self.ref.name)).observe(time.perf_counter() - begun)


def timed(play: PlaySettings, observed: EngineMetrics) -> PlaySettings:
    """The same play, its batch policies timed."""
    return wrap_batch_policies(play, lambda policy: TimedPolicy(policy, observed))
