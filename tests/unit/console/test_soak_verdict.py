"""A soak passes only if every series is known to be flat."""

import numpy as np
import pytest

from generals_console.soak import Series, SoakResult
from generals_console.trend import trend

SECONDS = np.arange(0.0, 7200.0, 5.0).tolist()


def _result(**values: list[float]) -> SoakResult:
    series = {name: Series("MiB", SECONDS[: len(some)], some) for name, some in values.items()}
    found = {name: trend(one.at_s, one.values) for name, one in series.items()}
    return SoakResult(120, 1000, 8, series, {name: one for name, one in found.items() if one is not None})


def test_what_is_level_or_a_sawtooth_passes() -> None:
    result = _result(level=[100.0] * 1440, sawtooth=[100.0 + n % 120 for n in range(1440)])
    assert result.passed
    assert result.to_json()["passed"] is True


@pytest.mark.parametrize(
    ("name", "values"), [("growing", [100.0 + n / 60 for n in range(1440)]), ("too_short", [100.0])]
)
def test_what_grows_or_is_too_short_to_tell_does_not(name: str, values: list[float]) -> None:
    result = _result(level=[100.0] * 1440, other=values)
    assert not result.passed
    assert getattr(result, name) == ["other"] == result.to_json()[name]
