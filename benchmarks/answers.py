"""E11: how long a policy takes to answer for 128 games, for the engine's benchmark.

All games advance tick by tick, as they do when a policy outside the kernel plays; the time is that of a whole tick of
all games on one thread (views, answers, rules), in the process's own seconds, as in the figures of P2. A heuristic
answers for two players of each game, and a third one, who only passes, keeps the games in step. The trained policy
plays one player of each against the expander: a network of the trainer's default size with random weights, through its
own exporter.
"""

import time

import numpy as np
import torch
from numpy.typing import NDArray

from generals_engine.arena import trained
from generals_engine.games import GamePool
from generals_engine.play_settings import PlaySettings
from generals_engine.policies import HEURISTICS, Observations, Policy, find_policy
from generals_engine.policies.codes import EXTERNAL
from generals_schemas.encodings import get_encoding
from generals_schemas.records import PolicyRef
from generals_trainer.network import QNetwork
from generals_trainer.onnx_export import OnnxExport
from generals_trainer.settings import LearnerSettings

GAMES, SIDE = 128, 20
FIRST_TICKS = 30
ENCODING = "nine_planes"


class Passes:
    """Never moves."""

    ref = PolicyRef("passes")

    def act(self, observations: Observations) -> NDArray[np.int32]:
        return np.full(len(observations), 8 * observations.width * observations.height, np.int32)


def default_network() -> Policy:
    """A trained policy as the trainer publishes it by default, before its first update."""
    torch.manual_seed(0)
    encoding, settings = get_encoding(ENCODING), LearnerSettings()
    network = QNetwork(encoding, width=settings.network_width, blocks=settings.network_blocks)
    artefact = OnnxExport(len(encoding.channels)).make(network, {"encoding": ENCODING})
    return trained(artefact, PolicyRef("onnx", 1))


def answer_times(seconds: float) -> dict[str, tuple[float, float]]:
    """p50 and p99 of each policy's answers, in ms."""
    passes = Policy("passes", EXTERNAL, Passes())
    found = {name: _percentiles((find_policy(name),) * 2 + (passes,), seconds) for name in HEURISTICS}
    return found | {"onnx": _percentiles((default_network(), find_policy("expander")), seconds)}


def _percentiles(seats: tuple[Policy, ...], seconds: float) -> tuple[float, float]:
    play = PlaySettings(
        run="bench", policies=seats, players=len(seats), width=SIDE, height=SIDE, games=GAMES, tick_limit=2000, seed=1
    )
    pool = GamePool(play, now_ms=lambda: 0)
    for _ in range(FIRST_TICKS):  # compiles, and gets the games going
        pool.advance()
    times, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until:
        begun = time.process_time()
        pool.advance()
        times.append(time.process_time() - begun)
    p50, p99 = np.percentile(times, (50, 99)) * 1000
    return float(p50), float(p99)
