"""Small experience batches for the trainer's tests on the broker."""

from collections.abc import Callable

import numpy as np
import pytest

from generals_schemas.records import ExperienceBatch, PolicyRef, Source

PLANES = ("own", "enemy", "city", "mountain")
STEPS, SIDE = 8, 4


@pytest.fixture
def small_batch() -> Callable[[int, Source], ExperienceBatch]:
    """`small_batch(game, source)`: a whole game of one player in one batch, random content."""

    def make(game: int, source: Source) -> ExperienceBatch:
        rng = np.random.default_rng([game, source.index])
        shape = (STEPS + 1, SIDE * SIDE)
        return ExperienceBatch(
            game_id=f"g{game}",
            chunk=0,
            player=source.index,
            first_tick=0,
            width=SIDE,
            height=SIDE,
            encoding="nine_planes",
            encoding_params={},
            reward="standard",
            reward_params={},
            policy=PolicyRef("random"),
            config_version="test",
            planes=PLANES,
            scalar_names=(),
            armies=rng.integers(0, 600, shape).astype(np.uint16),
            bits=rng.integers(0, 256, (STEPS + 1, len(PLANES), 2)).astype(np.uint8),
            scalars=np.zeros((STEPS + 1, 0), np.float32),
            actions=rng.integers(0, 8 * SIDE * SIDE + 1, STEPS).astype(np.int32),
            rewards=rng.normal(size=STEPS).astype(np.float32),
            end="terminated",
            source=source,
        )

    return make
