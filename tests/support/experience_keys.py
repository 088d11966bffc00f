"""Names of experiences, to compare what was written with what was read: (game, player, tick)."""

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from synthetic_play import play

from generals_client import Batch
from generals_schemas.records import ExperienceBatch

Keys: TypeAlias = list[tuple[str, int, int]]


def keys(batches: Iterable[Batch]) -> Keys:
    """What batches hold."""
    found: Keys = []
    for batch in batches:
        found += zip(batch.game_id.tolist(), batch.player.tolist(), batch.tick.tolist(), strict=True)
    return found


def expected(records: Iterable[ExperienceBatch]) -> Keys:
    """What records hold."""
    return [(r.game_id, r.player, r.first_tick + step) for r in records for step in range(r.steps)]


def two_partitions(rng: np.random.Generator, **options: Any) -> list[ExperienceBatch]:
    """Three games in each of two partitions."""
    return [batch for number in (0, 1) for batch in play(rng, games=3, chunks=3, ticks=20, partition=number, **options)]
