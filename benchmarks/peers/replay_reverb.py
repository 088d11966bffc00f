"""dm-reverb's prioritised table, sampled in process over loopback, as it is meant to be used."""

from typing import Any

import numpy as np
import reverb
import tensorflow as tf
from replay_workload import SAMPLE, main


class Reverb:
    def __init__(self, steps: int, width: int) -> None:
        signature = {
            "obs": tf.TensorSpec((width,), tf.uint8),
            "act": tf.TensorSpec((), tf.int32),
            "rew": tf.TensorSpec((), tf.float32),
            "next_obs": tf.TensorSpec((width,), tf.uint8),
            "done": tf.TensorSpec((), tf.uint8),
        }
        table = reverb.Table(
            "replay",
            sampler=reverb.selectors.Prioritized(0.6),
            remover=reverb.selectors.Fifo(),
            max_size=steps,
            rate_limiter=reverb.rate_limiters.MinSize(1),
            signature=signature,
        )
        self.server = reverb.Server([table])
        self.client = reverb.Client(f"localhost:{self.server.port}")
        self.writer = self.client.trajectory_writer(num_keep_alive_refs=1)
        self.sampler: Any = None

    def add(self, states: Any, actions: Any, rewards: Any, next_states: Any, done: Any) -> None:
        for i in range(len(states)):
            self.writer.append(
                {"obs": states[i], "act": actions[i], "rew": rewards[i], "next_obs": next_states[i], "done": done[i]}
            )
            trajectory = {name: column[-1] for name, column in self.writer.history.items()}
            self.writer.create_item("replay", 1.0, trajectory)
        self.writer.flush(block_until_num_items=0)

    def sample(self) -> tuple[Any, Any]:
        if self.sampler is None:
            self.writer.flush()
            dataset = reverb.TrajectoryDataset.from_table_signature(
                f"localhost:{self.server.port}", "replay", max_in_flight_samples_per_worker=2 * SAMPLE
            )
            self.sampler = iter(dataset.batch(SAMPLE).as_numpy_iterator())
        batch = next(self.sampler)
        return batch, batch.info.key

    def update(self, handle: Any, errors: Any) -> None:
        keys = np.asarray(handle).reshape(-1)
        self.client.mutate_priorities("replay", dict(zip(keys.tolist(), errors.tolist(), strict=True)))


if __name__ == "__main__":
    main(Reverb)
