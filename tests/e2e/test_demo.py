"""The demo as a person runs it: everything arrives once, others can count it, and Ctrl-C leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.dataset as ds
import pytest

from generals_runtime.broker import EmbeddedBroker

GENERALS = Path(sys.executable).with_name("generals")
PLAY_S = 8
COUNTS = (
    "games_finished", "unfinished_games", "experiences_emitted", "experiences_collected", "experiences_archived",
    "experiences_inserted", "lost", "pending", "duplicates", "rejected", "trainer_steps",
)  # fmt: skip


def environment(**extra: str) -> dict[str, str]:
    """Without settings of the surroundings, so that the demo starts a Kafka of its own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("GENERALS_") or k == "GENERALS_KAFKA_JARS"}
    return {**kept, **extra}


def demo(run_dir: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [GENERALS, "demo", "--run-dir", run_dir, "--json", *options],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "run"


@pytest.fixture(scope="module")
def result(run_dir: Path) -> dict[str, Any]:
    """One run of the demo, for all tests of this module."""
    process = demo(run_dir, "--seconds", str(PLAY_S))
    out, err = process.communicate(timeout=150)
    assert process.returncode == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def processes_of(run_dir: Path) -> list[str]:
    """Processes that have the run's folder in their command line or environment."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), process.environ().get("GENERALS_CONFIG", "")]
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        if any(str(run_dir) in word for word in words):
            found.append(" ".join(words)[:200])
    return found


@pytest.mark.timeout(200)
def test_the_demo_says_that_everything_arrived_once(result: dict[str, Any], run_dir: Path) -> None:
    assert all(isinstance(result[name], int) for name in COUNTS)
    assert result["experiences_emitted"] > 20_000
    assert (
        result["experiences_emitted"]
        == result["experiences_collected"]
        == result["experiences_archived"]
        == result["experiences_inserted"]
    )
    assert (result["lost"], result["duplicates"], result["rejected"]) == (0, 0, 0)
    assert result["games_finished"] > 10
    assert result["trainer_steps"] > 0
    assert 0 <= result["staleness_p99"] <= result["staleness_limit"]
    assert 0 < result["samples_per_insert"] <= result["samples_per_insert_target"]
    assert processes_of(run_dir) == []


def test_pyarrow_alone_counts_the_same_distinct_rows(result: dict[str, Any]) -> None:
    table = ds.dataset(result["archive_dir"], format="parquet", exclude_invalid_files=True).to_table(
        columns=["game_id", "player", "tick"]
    )
    assert table.num_rows == result["experiences_archived"]
    assert table.group_by(["game_id", "player", "tick"]).aggregate([]).num_rows == table.num_rows


def test_there_are_pictures_of_the_run(result: dict[str, Any], run_dir: Path) -> None:
    assert (run_dir / "report.png").read_bytes().startswith(b"\x89PNG")
    assert f"{result['experiences_collected']:,}" in Path(result["report"]).read_text()


@pytest.fixture
def stopped_cluster(result: dict[str, Any], run_dir: Path) -> Iterator[dict[str, str]]:
    """The run's Kafka, started again on its data, all services gone: settings for the command."""
    with EmbeddedBroker(run_dir / "kafka") as broker:
        yield environment(
            GENERALS_CONFIG=str(run_dir / "demo.yaml"), GENERALS_KAFKA__BOOTSTRAP_SERVERS=broker.bootstrap_servers
        )


def test_the_audit_of_the_stopped_cluster_gives_the_same_verdict(
    result: dict[str, Any], stopped_cluster: dict[str, str]
) -> None:
    done = subprocess.run(
        [GENERALS, "audit", "--archive", result["archive_dir"], "--json"],
        env=stopped_cluster, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    report = json.loads(done.stdout)
    assert done.returncode == 0, report
    assert report["clean"]
    assert report["methods_agree"]
    for name in ("games_finished", "experiences_emitted", "experiences_collected", "experiences_archived"):
        assert report[name] == result[name]
    topics = subprocess.run(
        [GENERALS, "topics", "lag", "--json"],
        env=stopped_cluster, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    lags = json.loads(topics.stdout)
    assert {"generals-collector", "generals-writer-local"} <= {lag["group"] for lag in lags}
    assert all(lag["lag"] == 0 for lag in lags if lag["group"] != "trainer")


@pytest.mark.parametrize("moment_s", [0.7, 4.0, 9.0])
@pytest.mark.timeout(60)
def test_ctrl_c_at_any_moment_ends_everything_within_ten_seconds(moment_s: float, tmp_path: Path) -> None:
    process = demo(tmp_path / "run", "--seconds", "60")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(moment_s)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert time.monotonic() - began < 10
    assert process.returncode == 130, err
    assert processes_of(tmp_path / "run") == []
