"""Growth is told from noise."""

import numpy as np
from numpy.random import default_rng

from generals_console.trend import trend

HOUR_S = np.arange(0, 3600, 5.0)


def test_a_leak_within_noise_is_found(seed: int) -> None:
    noise = default_rng(seed).normal(0, 2.0, len(HOUR_S))
    leak = trend(HOUR_S.tolist(), (200 + 20 * HOUR_S / 3600 + noise).tolist())
    assert leak is not None
    assert leak.grows
    assert abs(leak.slope_per_hour - 20) < 5


def test_noise_around_a_level_is_flat(seed: int) -> None:
    noise = default_rng(seed).normal(0, 2.0, len(HOUR_S))
    level = trend(HOUR_S.tolist(), (200 + noise).tolist())
    assert level is not None
    assert not level.grows


def test_a_slow_sawtooth_is_flat_where_plain_least_squares_would_see_growth() -> None:
    """Garbage that is collected every ten minutes: neighbouring samples say nearly the same."""
    values = 200 + 30 * ((HOUR_S % 600) / 600)
    found = trend(HOUR_S.tolist(), values.tolist())
    assert found is not None
    assert not found.grows
    assert found.noise_per_hour > 10


def test_growth_in_the_warm_up_does_not_count() -> None:
    values = np.minimum(200, 100 + 320 * HOUR_S / 3600)
    found = trend(HOUR_S.tolist(), values.tolist())
    assert found is not None
    assert not found.grows
    assert abs(found.slope_per_hour) < 1e-9


def test_a_short_series_has_no_trend() -> None:
    assert trend([0.0, 1.0, 2.0], [1.0, 2.0, 3.0]) is None
