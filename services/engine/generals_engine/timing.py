"""How long policies outside the kernel take to answer, measured around them: neither they nor games have a clock."""

import time

import numpy as np
from numpy.typing import NDArray

from generals_engine.play_settings import PlaySettings, wrap_batch_policies
from generals_engine.policies.protocol import BatchPolicy, Observations, Version, next_version
from generals_runtime.metrics import EngineMetrics, policy_label
from generals_schemas.records import PolicyRef


class TimedPolicy:
    """A policy whose answers are timed. One call answers many observations: each waited for all of it."""

    def __init__(self, policy: BatchPolicy, observed: EngineMetrics) -> None:
        self._policy = policy
        self._seconds = observed.action_seconds

    @property
    def ref(self) -> PolicyRef:
        return self._policy.ref

    def next_version(self, before: Version | None) -> Version:
        return next_version(self._policy, before)

    def act(self, observations: Observations) -> NDArray[np.int32]:
        begun = time.perf_counter()
        try:
            return self._policy.act(observations)
        finally:
            self._seconds.labels(policy_label(self.ref.name)).observe(time.perf_counter() - begun)


def timed(play: PlaySettings, observed: EngineMetrics) -> PlaySettings:
    """The same play, its batch policies timed."""
    return wrap_batch_policies(play, lambda policy: TimedPolicy(policy, observed))
