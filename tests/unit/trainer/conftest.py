"""Experience batches as the collector would make them, with made-up boards."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch

from generals_schemas.records import ExperienceBatch, PolicyRef, Source

PLANES = ("own", "enemy", "city", "mountain")

MakeBatch: TypeAlias = Callable[..., ExperienceBatch]


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


def build_batch(
    *,
    seed: int = 0,
    game: str = "game",
    player: int = 0,
    chunk: int = 0,
    first_tick: int = 0,
    steps: int = 4,
    width: int = 4,
    height: int = 3,
    scalars: int = 2,
    largest: int = 3000,
    end: Any = "none",
    policy: PolicyRef | None = None,
    offset: int = 0,
    log_probs: bool = False,
) -> ExperienceBatch:
    """A batch of random content, the same for the same arguments."""
    rng = np.random.default_rng([seed, player, chunk])
    tiles = width * height
    shape = (steps + 1, tiles)
    armies = np.where(rng.random(shape) < 0.1, rng.integers(0, largest, shape), rng.integers(0, 256, shape))
    bits = np.packbits(rng.random((steps + 1, len(PLANES), tiles)) < 0.5, axis=2, bitorder="little")
    return ExperienceBatch(
        game_id=game,
        chunk=chunk,
        player=player,
        first_tick=first_tick,
        width=width,
        height=height,
        encoding="nine_planes",
        encoding_params={},
        reward="shaped",
        reward_params={},
        policy=policy or PolicyRef("random", 0),
        config_version="test",
        planes=PLANES,
        scalar_names=tuple(f"s{i}" for i in range(scalars)),
        armies=armies.astype(np.uint16) if largest <= 65535 else armies.astype(np.uint32),
        bits=bits,
        scalars=rng.random((steps + 1, scalars), np.float32),
        actions=rng.integers(0, 8 * tiles + 1, steps).astype(np.int32),
        rewards=rng.normal(size=steps).astype(np.float32),
        log_probs=rng.random(steps, np.float32) if log_probs else None,
        end=end,
        source=Source("transitions", "id", 0, offset, 0, 1),
    )


@pytest.fixture(scope="session")
def make_batch() -> MakeBatch:
    return build_batch
