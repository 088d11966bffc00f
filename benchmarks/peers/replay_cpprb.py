"""cpprb's prioritised buffer (C++ segment trees), states as bytes."""

from typing import Any

import numpy as np
from cpprb import PrioritizedReplayBuffer
from replay_workload import SAMPLE, main


class Cpprb:
    def __init__(self, steps: int, width: int) -> None:
        fields = {
            "obs": {"shape": width, "dtype": np.uint8},
            "act": {"dtype": np.int32},
            "rew": {"dtype": np.float32},
            "next_obs": {"shape": width, "dtype": np.uint8},
            "done": {"dtype": np.uint8},
        }
        self.buffer = PrioritizedReplayBuffer(steps, fields, alpha=0.6)

    def add(self, states: Any, actions: Any, rewards: Any, next_states: Any, done: Any) -> None:
        self.buffer.add(obs=states, act=actions, rew=rewards, next_obs=next_states, done=done)

    def sample(self) -> tuple[Any, Any]:
        batch = self.buffer.sample(SAMPLE, beta=0.4)
        return batch, batch["indexes"]

    def update(self, handle: Any, errors: Any) -> None:
        self.buffer.update_priorities(handle, errors)


if __name__ == "__main__":
    main(Cpprb)
