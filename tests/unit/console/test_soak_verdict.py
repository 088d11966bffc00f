"""A soak passes only if every series is known to be flat."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.random import default_rng
from typer.testing import CliRunner

from generals_console.main import app
from generals_console.soak import SERVICES, Series, SoakResult, Verdict, awaited
from generals_console.trend import trend

SAMPLE_S = 5.0
HOURS = np.arange(0.0, 7200.0, SAMPLE_S) / 3600
"""When a soak of two hours samples: 1,440 times."""


def _result(**values: Sequence[float]) -> SoakResult:
    """Of series named like `memory_of_a`."""
    series = {
        name.replace("_", " "): Series("MiB", (HOURS[: len(some)] * 3600).tolist(), list(some))
        for name, some in values.items()
    }
    found = {name: trend(one.at_s, one.values) for name, one in series.items()}
    return SoakResult(120, 1000, 8, series, {name: one for name, one in found.items() if one is not None})


def test_what_is_level_or_a_sawtooth_passes() -> None:
    result = _result(memory_of_a=[100.0] * 1440, disk_of_b=[100.0 + n % 120 for n in range(1440)])
    assert result.passed
    assert result.to_json()["passed"] is True


@pytest.mark.parametrize(
    ("key", "verdict", "values"),
    [
        ("growing", "grows", [100.0 + n / 60 for n in range(1440)]),
        ("too_short", "too short to tell", [100.0]),
        ("too_noisy", "too noisy to tell", [100.0 + n % 2 for n in range(24)]),
    ],
)
def test_what_grows_or_cannot_tell_does_not(key: str, verdict: Verdict, values: list[float]) -> None:
    result = _result(memory_of_a=[100.0] * 1440, memory_of_b=values)
    assert not result.passed
    assert result.verdict("memory of b") == verdict
    assert result.named(verdict) == ["memory of b"] == result.to_json()[key]


@pytest.mark.parametrize("minutes", [1.5, 2, 5, 10])
def test_a_leak_never_passes_in_runs_too_short_to_see_it(minutes: float, seed: int) -> None:
    """A tenth of a gigabyte an hour, in the noise of a garbage collector."""
    hours = HOURS[: int(minutes * 60 / SAMPLE_S) + 1]
    noise = default_rng(seed)
    for _ in range(5):
        result = _result(memory_of_a=(500 + 100 * hours + noise.normal(0, 3, len(hours))).tolist())
        assert not result.passed


def test_sawteeth_and_what_falls_pass_in_two_hours(seed: int) -> None:
    """As the figures of such a soak were: Kafka deletes segments, the trainer falls behind twice and catches up."""
    noise = default_rng(seed)
    kafka = 430 + 70 * ((HOURS * 60) % 7 / 7)
    behind = np.where((HOURS > 0.5) & (HOURS < 0.7) | (HOURS > 1.05) & (HOURS < 1.3), 11_000.0, 0.0)
    lag = behind + noise.uniform(0, 2000, len(HOURS))
    memory = 1040 - 10 * HOURS + noise.normal(0, 10, len(HOURS))
    result = _result(disk_of_Kafka=kafka.tolist(), lag_of_trainer=lag.tolist(), memory_of_trainer=memory.tolist())
    assert result.passed, {name: result.verdict(name) for name in result.series}


def test_a_run_that_saw_nothing_does_not_pass() -> None:
    assert not _result().passed


def test_a_lag_that_nobody_could_ask_for_is_noticed() -> None:
    series = awaited(SERVICES, ["Kafka"])
    for name, one in series.items():
        if not name.startswith("lag of "):
            one.at_s, one.values = (HOURS * 3600).tolist(), [100.0] * len(HOURS)
    found = {name: trend(one.at_s, one.values) for name, one in series.items()}
    result = SoakResult(120, 1000, 8, series, {name: one for name, one in found.items() if one is not None})
    assert not result.passed
    lags = ["lag of generals-collector", "lag of generals-writer-local", "lag of trainer"]
    assert result.named("too short to tell") == lags


@pytest.mark.parametrize(
    ("only", "missing"), [(["collector"], "engine"), (["trainer", "engine"], "collector"), (["writer"], "collector")]
)
def test_services_that_would_have_nothing_to_do_are_refused_at_once(only: list[str], missing: str) -> None:
    done = CliRunner().invoke(app, ["soak", *(word for name in only for word in ("--only", name))])
    assert done.exit_code == 2
    assert f"{only[0]} has nothing to do without --only {missing}" in " ".join(done.output.split())
