"""A soak holds what it is asked to hold, and reports every figure of every service."""

from pathlib import Path

import pytest

from generals_console.soak import SERVICES, SoakOptions, run_soak
from generals_console.stopping import StopFlag


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_short_soak_samples_every_service_at_work(tmp_path: Path) -> None:
    options = SoakOptions(minutes=0.25, ticks_per_second=2000, sample_every_s=0.5, run_dir=tmp_path / "run")
    result = run_soak(options, StopFlag(), print)
    assert result.games_running == options.games
    assert result.ticks > 5_000
    for service in SERVICES:
        for kind in ("memory", "open files"):
            series = result.series[f"{kind} of the {service}"]
            assert 25 <= len(series.at_s) == len(series.values) <= 31
            assert min(series.values) > 0
    assert "lag of generals-collector" in result.trends
    assert min(result.series["disk of Kafka"].values) > 0
    assert "disk of the trainer" in result.series
