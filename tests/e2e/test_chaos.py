"""Faults of every kind strike everything for a minute or so: nothing is lost, nothing doubled, all work again."""

from pathlib import Path

import pytest

from generals_console.chaos import ChaosOptions, run_chaos
from generals_console.stopping import StopFlag


@pytest.mark.slow
@pytest.mark.timeout(2400)  # draining alone may take a quarter of an hour; then it says what is missing
@pytest.mark.parametrize("brokers", [1, 3])
def test_a_minute_of_chaos_loses_and_doubles_nothing(tmp_path: Path, brokers: int, seed: int) -> None:
    options = ChaosOptions(
        minutes=1.2, seed=seed, faults_per_minute=12, run_dir=tmp_path / "run", ticks_per_second=600, brokers=brokers,
        trainer=True,
    )  # fmt: skip
    result = run_chaos(options, StopFlag(), print)
    assert result.clean, result.to_json()
    assert sum(result.faults.values()) == 14
    assert result.recovery
    assert result.experiences_collected > 5_000
