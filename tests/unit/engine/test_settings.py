"""What the engine's settings come to."""

import pytest

from generals_engine.settings import EngineSettings


@pytest.mark.parametrize(
    ("chunk_ticks", "ticks_per_second", "games", "expected"),
    [
        (None, None, 128, 256),
        (None, 2000.0, 64, 125),
        (None, 1300.0, 130, 40),
        (None, 100_000.0, 64, 256),
        (None, 1.0, 4096, 8),
        (100, None, 128, 100),
        (100, 1300.0, 130, 100),
    ],
)
def test_a_chunk_is_long_at_full_speed_and_filled_in_seconds_when_paced(
    chunk_ticks: int | None, ticks_per_second: float | None, games: int, expected: int
) -> None:
    settings = EngineSettings(chunk_ticks=chunk_ticks, ticks_per_second=ticks_per_second, games=games)
    assert settings.play().chunk_ticks == expected
