"""A soak's picture has a panel for each kind of figure, also where a series is too short for a slope."""

from pathlib import Path

import pytest
from matplotlib.image import imread

from generals_console.soak import Series, SoakResult
from generals_console.soak_picture import draw_soak
from generals_console.trend import trend


@pytest.mark.parametrize(
    "names", [["memory of the engine"], ["memory of the engine", "disk of Kafka", "lag of a-group"]]
)
def test_it_is_drawn_whatever_was_sampled(names: list[str], tmp_path: Path) -> None:
    at_s = [5.0 * n for n in range(40)]
    series = {name: Series("MiB", at_s, [100.0] * 40) for name in names} | {
        "memory of the late": Series("MiB", [1], [2])
    }
    found = {name: trend(one.at_s, one.values) for name, one in series.items()}
    trends = {name: one for name, one in found.items() if one is not None}
    draw_soak(SoakResult(3.3, 1000, 8, series, trends), tmp_path / "soak.png")
    rows = -(-len(names) // 2)
    height, width, _ = imread(tmp_path / "soak.png").shape
    assert (width, height) == (1320, rows * 374)
