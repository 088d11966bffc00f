"""TorchRL's prioritised TensorDict buffer, states as bytes in a contiguous tensor storage."""

from typing import Any

import torch
from replay_workload import SAMPLE, main
from tensordict import TensorDict
from torchrl.data import LazyTensorStorage, TensorDictPrioritizedReplayBuffer

torch.set_num_threads(1)


class TorchRL:
    def __init__(self, steps: int, width: int) -> None:
        self.buffer = TensorDictPrioritizedReplayBuffer(
            alpha=0.6, beta=0.4, storage=LazyTensorStorage(steps), batch_size=SAMPLE, priority_key="td_error"
        )

    def add(self, states: Any, actions: Any, rewards: Any, next_states: Any, done: Any) -> None:
        fields = {"obs": states, "act": actions, "rew": rewards, "next_obs": next_states, "done": done}
        tensors = {name: torch.from_numpy(array) for name, array in fields.items()}
        self.buffer.extend(TensorDict(tensors, batch_size=[len(states)]))

    def sample(self) -> tuple[Any, Any]:
        batch = self.buffer.sample()
        return batch, batch

    def update(self, handle: Any, errors: Any) -> None:
        handle.set("td_error", torch.from_numpy(errors))
        self.buffer.update_tensordict_priority(handle)


if __name__ == "__main__":
    main(TorchRL)
