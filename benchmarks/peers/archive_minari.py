"""Minari's Parquet storage: an episode a chunk, observations as bytes. `python archive_minari.py PLAY.npz FOLDER`."""

import json
import shutil
import sys
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
from minari.data_collector.episode_buffer import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage


def main() -> None:
    with np.load(sys.argv[1], allow_pickle=False) as play:
        observations, actions, rewards, steps = (play[n] for n in ("observations", "actions", "rewards", "steps"))
    folder = Path(sys.argv[2])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    storage = MinariStorage.new(
        folder,
        gym.spaces.Box(0, 255, observations.shape[1:], np.uint8),
        gym.spaces.Discrete(4000),
        data_format="parquet",
        jpeg_encoding=False,
    )
    begun = time.perf_counter()
    storage.update_episodes(episodes(observations, actions, rewards, steps))
    written = time.perf_counter() - begun
    begun = time.perf_counter()
    rows = sum(len(episode["rewards"]) for episode in storage.get_episodes(range(len(steps))))
    read = time.perf_counter() - begun
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(json.dumps({"write": rows / written, "read": rows / read, "bytes": size / rows}))


def episodes(observations, actions, rewards, steps):
    state = step = 0
    for count in steps:
        yield EpisodeBuffer(
            observations=observations[state : state + count + 1],
            actions=actions[step : step + count],
            rewards=rewards[step : step + count],
            terminations=np.zeros(count, bool),
            truncations=np.zeros(count, bool),
        )
        state, step = state + count + 1, step + count


if __name__ == "__main__":
    main()
