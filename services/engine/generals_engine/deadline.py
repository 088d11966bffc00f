"""A deadline for policies outside the kernel: who has not answered by then passes, and the games go on.

Each policy thinks in a thread of its own, and is asked again only when it is done with the last question. Until then
its players pass at once: a policy that never answers costs the worker one deadline, once. Threads cannot be ended from
outside, so they are daemons.
"""

import threading
from queue import Empty, SimpleQueue

import numpy as np
from numpy.typing import NDArray

from generals_engine.play_settings import PlaySettings, wrap_batch_policies
from generals_engine.policies.protocol import BatchPolicy, NoAnswer, Observations, WrappedPolicy
from generals_runtime.metrics import EngineMetrics, policy_label

Answer = NDArray[np.int32] | Exception


class PatientPolicy(WrappedPolicy):
    """A policy that may take as long as it likes. Where it has no answer its players pass, and that is counted."""

    def __init__(self, policy: BatchPolicy, observed: EngineMetrics) -> None:
        super().__init__(policy)
        self._timeouts = observed.policy_timeouts

    def act(self, observations: Observations) -> NDArray[np.int32]:
        try:
            return super().act(observations)
        except NoAnswer:
            return self._pass(observations)

    def _pass(self, observations: Observations) -> NDArray[np.int32]:
        self._timeouts.labels(policy_label(self.ref.name)).inc(len(observations))
        return np.full(len(observations), 8 * observations.width * observations.height, np.int32)


class PunctualPolicy(PatientPolicy):
    """A policy that answers within a time, by passing if need be. What the policy raises is raised here."""

    def __init__(self, policy: BatchPolicy, within_s: float, observed: EngineMetrics) -> None:
        super().__init__(policy, observed)
        self._within_s = within_s
        self._questions: SimpleQueue[Observations] = SimpleQueue()
        self._answers: SimpleQueue[Answer] = SimpleQueue()
        self._late = False
        threading.Thread(target=self._think, name=f"policy-{policy.ref.name}", daemon=True).start()

    def act(self, observations: Observations) -> NDArray[np.int32]:
        if self._late and not self._done_at_last():
            return self._pass(observations)
        self._questions.put(observations)
        try:
            answer = self._answers.get(timeout=self._within_s)
        except Empty:
            self._late = True
            return self._pass(observations)
        if isinstance(answer, NoAnswer):
            return self._pass(observations)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _done_at_last(self) -> bool:
        """Whether the overdue answer has come. It is for a tick long past: nobody wants it."""
        self._late = self._answers.empty()
        if not self._late:
            self._answers.get_nowait()
        return not self._late

    def _think(self) -> None:
        while True:
            question = self._questions.get()
            try:
                self._answers.put(self._policy.act(question))
            except Exception as error:
                self._answers.put(error)


def punctual(play: PlaySettings, within_s: float | None, observed: EngineMetrics) -> PlaySettings:
    """The same play, its batch policies held to a deadline; None: they may take as long as they like."""
    if within_s is None:
        return wrap_batch_policies(play, lambda policy: PatientPolicy(policy, observed))
    return wrap_batch_policies(play, lambda policy: PunctualPolicy(policy, within_s, observed))
