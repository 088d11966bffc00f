"""Real play as experience batches, for benchmarks: expander against expander, whole games, no Kafka."""

import itertools
from collections.abc import Iterator

from generals_collector.tensorise import recipe, tensorise
from generals_engine.games import GamePool
from generals_engine.play_settings import PlaySettings
from generals_engine.policies import find_policy
from generals_schemas.records import ExperienceBatch, Source


def play(*, side: int, games: int = 32, encoding: str = "nine_planes", seed: int = 1) -> Iterator[ExperienceBatch]:
    """Batches without end, as the collector makes them of chunks of the default length."""
    settings = PlaySettings(
        run="bench", policies=(find_policy("expander"),), width=side, height=side, games=games, seed=seed,
        tick_limit=1000,
    )  # fmt: skip
    pool = GamePool(settings, now_ms=lambda: 0)
    how = recipe(encoding=encoding)
    offsets = itertools.count()
    while True:
        for played in pool.advance():
            if played.chunk is not None:
                yield from tensorise(played.chunk, Source("bench", "bench", 0, next(offsets), 0, 1), how)
