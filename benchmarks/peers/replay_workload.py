"""What every replay buffer is asked to do; run by an adapter in its own environment. Imports numpy only.

The play is `[M]` steps of one array each; step i's next state is state i + 1. It is repeated until the buffer is full.
"""

import json
import resource
import sys
import time
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

SAMPLE = 256
ROUNDS = 2000
SINGLES = 3000


class Peer(Protocol):
    """A buffer under test. All arrays of `add` have the same length: a block's, or 1."""

    def add(self, states: NDArray[Any], actions: Any, rewards: Any, next_states: Any, done: Any) -> None: ...

    def sample(self) -> tuple[Any, NDArray[Any]]: ...

    def update(self, handle: Any, errors: NDArray[np.float32]) -> None: ...


def measure(peer: Peer, play: dict[str, NDArray[Any]], steps: int, block: int) -> dict[str, float]:
    """Fill with `steps`, `block` at once, then sample and update; medians of microseconds, and steps per second."""
    usable = (len(play["actions"]) // block - 1) * block
    begun = time.perf_counter()
    for start in range(0, steps, block):
        _add(peer, play, start % usable, block)
    filled = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    rng = np.random.default_rng(0)
    errors = rng.random((ROUNDS + 100, SAMPLE), np.float32)
    times = np.empty((ROUNDS + 100, 2))
    for i in range(ROUNDS + 100):
        first = time.perf_counter()
        _, handle = peer.sample()
        second = time.perf_counter()
        peer.update(handle, errors[i])
        times[i] = second - first, time.perf_counter() - second
    begun = time.perf_counter()
    for start in range(SINGLES):
        _add(peer, play, start, 1)
    singly = time.perf_counter() - begun
    sample_s, update_s = np.median(times[100:], axis=0)
    return {
        "sample_us": sample_s * 1e6,
        "update_us": update_s * 1e6,
        "rounds_per_s": 1.0 / float(np.median(times[100:].sum(axis=1))),
        "insert_blocks_per_s": steps / filled,
        "insert_singly_per_s": SINGLES / singly,
        "peak_bytes": float(peak),
    }


def _add(peer: Peer, play: dict[str, NDArray[Any]], start: int, count: int) -> None:
    here, there = slice(start, start + count), slice(start + 1, start + count + 1)
    states = play["states"]
    peer.add(states[here], play["actions"][here], play["rewards"][here], states[there], play["done"][here])


def main(make: Any) -> None:
    """`python adapter.py play.npz steps block`: prints the figures as JSON."""
    with np.load(sys.argv[1]) as file:
        play = {name: file[name] for name in file.files}
    steps, block = int(sys.argv[2]), int(sys.argv[3])
    print(json.dumps(measure(make(steps, play["states"].shape[1]), play, steps, block)))
