"""The report of a learning run, made of the trainer's own files: its curves, its matches, its line for a person."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from generals_console.learning import progress_line, read_history, read_status
from generals_console.learning_report import CURVES, write_learning_report
from generals_trainer.progress import Files

MATCHES = {
    "random": {"win_rate": 0.95, "ci_low": 0.9, "ci_high": 0.98, "wins": 19},
    "expander": {"win_rate": 0.6, "ci_low": 0.4, "ci_high": 0.75, "wins": 12},
}
BARS = "#16a34a"


def report(step: int, **more: float | None) -> dict[str, Any]:
    return {
        "trainer_steps": step,
        "steps_per_s": 9.8 + step,
        "experiences_inserted": 40 * step,
        "inserts_per_s": 1300.0 - step,
        "policy_version": step // 10,
        **more,
    }


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run of a hundred updates. The first report is from before the first loss and the first game's end."""
    files = Files(tmp_path / "trainer", tensorboard=False)
    files.write(report(0, mean_return=None))
    for step in range(10, 101, 10):
        files.write(report(step, mean_return=-1 + step / 60, loss=1 / step))
    files.close()
    return tmp_path


def colours(picture: Path) -> set[str]:
    """Which of the report's colours are on it."""
    drawn = {tuple(colour) for colour in np.unique((imread(picture)[..., :3] * 255).round().reshape(-1, 3), axis=0)}
    ours = {BARS, *(colour for _, _, colour in CURVES)}
    return {colour for colour in ours if tuple(round(255 * part) for part in to_rgb(colour)) in drawn}


def test_the_picture_has_the_curves_that_were_reported_and_the_matches(run_dir: Path) -> None:
    picture = write_learning_report(run_dir, MATCHES)
    assert picture == run_dir / "learning.png"
    reported = {colour for name, _, colour in CURVES if name in ("mean_return", "loss", "steps_per_s", "inserts_per_s")}
    assert colours(picture) == {BARS, *reported}
    assert json.loads((run_dir / "matches.json").read_text()) == MATCHES


def test_a_run_that_never_reported_has_a_picture_of_its_matches(tmp_path: Path) -> None:
    assert read_history(tmp_path / "trainer") == []
    assert colours(write_learning_report(tmp_path, MATCHES)) == {BARS}


def test_the_history_is_all_reports_and_the_status_the_last(run_dir: Path) -> None:
    history = read_history(run_dir / "trainer")
    assert [row["trainer_steps"] for row in history] == list(range(0, 101, 10))
    assert read_status(run_dir / "trainer") == history[-1]


def test_a_line_says_what_is_known_so_far(run_dir: Path, tmp_path: Path) -> None:
    first, *_, last = read_history(run_dir / "trainer")
    assert progress_line(0.3, read_status(tmp_path / "nothing")) == "  0.3 min · the services are starting"
    assert progress_line(1.0, first) == "  1.0 min · 0 updates (9.8/s) · 0 experiences (1300/s) · version 0"
    assert progress_line(2.5, last) == (
        "  2.5 min · 100 updates (109.8/s) · 4,000 experiences (1200/s) · version 10 · loss 0.01 · return 0.667"
    )
