"""Games that the engine's pool plays, as the chunks that its worker would send."""

from collections.abc import Iterator

from generals_engine.games import GamePool
from generals_engine.play_settings import PlaySettings
from generals_engine.policies import find_policy
from generals_schemas.codec import decode_chunk, encode_chunk
from generals_schemas.records import TransitionChunk


def play_chunks(
    *policies: str, seed: int, games: int | None = None, tick_limit: int = 400, chunk_ticks: int = 16
) -> Iterator[TransitionChunk]:
    """Two games at a time on 8 x 8, chunks in the order in which they are recorded; `games: None` is without an end."""
    pool = GamePool(
        PlaySettings(
            run="played",
            policies=tuple(map(find_policy, policies)),
            width=8,
            height=8,
            games=2,
            max_games=games,
            seed=seed,
            tick_limit=tick_limit,
            chunk_ticks=chunk_ticks,
        ),
        now_ms=lambda: 0,
    )
    while pool.running:
        for played in pool.advance():
            if played.chunk is not None:
                yield decode_chunk(encode_chunk(played.chunk))  # the pool's own arrays are overwritten
