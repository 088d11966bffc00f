"""Run a service's kernels once on a little real work, so that its image holds them compiled.

    compile_kernels.py engine|collector|trainer

Numba caches a kernel for the CPU it was compiled on. On another one the service compiles it again when it starts; that
takes the better part of a minute.
"""

from __future__ import annotations

import sys

import numpy as np

from generals_schemas import codec
from generals_schemas.golden import samples
from generals_schemas.records import PolicyRef, TransitionChunk
from generals_schemas.tiles import GENERAL, tile

ADVANCES = 400


def engine() -> None:
    """Games of two and of four players, on every policy of the kernel, and with one that is asked tick by tick."""
    from dataclasses import replace

    from generals_engine.games import GamePool
    from generals_engine.policies import Policy, codes
    from generals_engine.policies.registry import HEURISTICS
    from generals_engine.settings import EngineSettings
    from generals_engine.trained.playing import NewestPolicy
    from generals_engine.trained_settings import TrainedSettings

    asked = Policy("newest", codes.EXTERNAL, NewestPolicy(TrainedSettings(), lambda: None, seed=0))
    for players, memory, others in ((2, False, ()), (4, True, ()), (2, False, (asked,))):
        settings = EngineSettings(
            seed=1, games=8, players=players, policies=tuple(HEURISTICS), assignment="pool",
            tick_limit=300, memory=memory,
        )  # fmt: skip
        play = settings.play()
        pool = GamePool(replace(play, policies=(*play.policies, *others)), lambda: 0, pack=True)
        for _ in range(ADVANCES // players):
            for played in pool.advance():
                if played.chunk is not None:
                    codec.encode_chunk(played.chunk, played.packed)


def collector() -> None:
    """A chunk as it comes from the log, into batches."""
    from generals_collector.conversion import Converter, RawRecord
    from generals_collector.settings import CollectorSettings

    convert = Converter(CollectorSettings().recipe(), "kernels")
    converted = convert(RawRecord("kernels", 0, 0, 0, b"kernels", codec.encode_chunk(quiet_chunk())))
    if converted.rejected is not None:
        raise SystemExit(f"the chunk was rejected: {converted.rejected}")


def trainer() -> None:
    """A batch as it comes from the log, into the buffer, out of it and into planes."""
    import torch

    from generals_trainer.replay import ReplayBuffer
    from generals_trainer.samples import Layout
    from generals_trainer.tensors import Tensors

    batch = codec.decode_batch(codec.encode_batch(samples.batch()))
    layout = Layout.of(batch)
    buffer = ReplayBuffer(layout, capacity=1000, n_step=1)
    for offset in range(20):
        buffer.insert(batch, partition=0, offset=offset)
    drawn = buffer.sample(8)
    buffer.update_priorities(drawn.serials, np.ones(8, np.float32))
    Tensors(layout, torch.device("cpu")).batch(drawn, None)


def quiet_chunk(side: int = 8, ticks: int = 4) -> TransitionChunk:
    """Two players who pass: their generals stand in opposite corners and grow."""
    tiles = np.zeros((ticks + 1, side * side), np.uint8)
    tiles[:, 0], tiles[:, -1] = (tile(GENERAL, player) for player in range(2))
    armies = np.zeros((ticks + 1, side * side), np.uint16)
    armies[:, [0, -1]] = 1 + np.arange(ticks + 1, dtype=np.uint16)[:, None] // 2
    return TransitionChunk(
        game_id="kernels-0-0", chunk=0, first_tick=0, rules_version=18, width=side, height=side, teams=(0, 1),
        policies=(PolicyRef("random"), PolicyRef("random")), map_seed=0, policy_seed=0, tiles=tiles, armies=armies,
        alive=np.full(ticks + 1, 0b11, np.uint16), actions=np.full((ticks, 2), 8 * side * side, np.int32),
        log_probs=None, memory=None, outcome=None,
    )  # fmt: skip


SERVICES = {"engine": engine, "collector": collector, "trainer": trainer}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in SERVICES:
        raise SystemExit(f"one of {', '.join(SERVICES)}")
    SERVICES[sys.argv[1]]()
