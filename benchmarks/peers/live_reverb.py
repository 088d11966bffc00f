"""The same experiences through dm-reverb on loopback: a writer that plays back steps, a reader that takes each once.

Unlike ours it is not durable, encodes nothing, plays nothing and stores nothing: steps made before are handed over as
fast as it takes them. An item is two steps, state and next state; Reverb keeps each step once, as we do.

    python live_reverb.py SECONDS PLAY.npz
"""

import itertools
import json
import multiprocessing
import sys
import time
from typing import Any

import numpy as np
import reverb
import tensorflow as tf


def make_server(tiles: int, bit_bytes: int) -> Any:
    signature = {
        "armies": tf.TensorSpec((2, tiles), tf.uint16),
        "bits": tf.TensorSpec((2, bit_bytes), tf.uint8),
        "action": tf.TensorSpec((2,), tf.int32),
        "reward": tf.TensorSpec((2,), tf.float32),
        "end": tf.TensorSpec((2,), tf.uint8),
    }
    return reverb.Server([reverb.Table.queue("live", max_size=50_000, signature=signature)], port=None)


def write(port: int, play: str) -> None:
    """Write steps for ever. The queue holds us back when the reader is slower."""
    with np.load(play, allow_pickle=False) as arrays:
        episodes = list(zip(arrays["armies"], arrays["bits"], arrays["actions"], arrays["rewards"], strict=True))
    client = reverb.Client(f"localhost:{port}")
    for armies, bits, actions, rewards in itertools.cycle(episodes):
        with client.trajectory_writer(num_keep_alive_refs=2) as writer:
            for i in range(len(actions)):
                writer.append(
                    {
                        "armies": armies[i],
                        "bits": bits[i],
                        "action": actions[i],
                        "reward": rewards[i],
                        "end": np.uint8(i == len(actions) - 1),
                    }
                )
                if i:
                    history = writer.history
                    writer.create_item("live", 1.0, {name: column[-2:] for name, column in history.items()})
                if i % 64 == 0:
                    writer.flush(block_until_num_items=256)


def main() -> None:
    seconds, play = float(sys.argv[1]), sys.argv[2]
    with np.load(play, allow_pickle=False) as arrays:
        server = make_server(arrays["armies"].shape[-1], arrays["bits"].shape[-1])
    child = multiprocessing.get_context("spawn").Process(target=write, args=(server.port, play), daemon=True)
    child.start()
    dataset = reverb.TrajectoryDataset.from_table_signature(
        f"localhost:{server.port}", "live", max_in_flight_samples_per_worker=512
    )
    batches = iter(dataset.batch(256).as_numpy_iterator())
    for _ in range(8):
        next(batches)
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        count += len(next(batches).data["action"])
    rate = count / (time.perf_counter() - begin)
    child.kill()
    child.join()
    print(json.dumps({"experiences_per_s": rate}), flush=True)
    server.stop()


if __name__ == "__main__":
    main()
