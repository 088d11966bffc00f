"""`generals learn`, cut short: the services take its configuration, and what it publishes plays matches."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from generals_console import learning
from generals_console.learning import LearnOptions, read_status, run_learn
from generals_console.main import app
from generals_console.stopping import StopFlag

UPDATES = 40


@pytest.mark.timeout(400)
def test_a_few_updates_make_an_agent_that_plays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    latest, run_dir = tmp_path / "latest.onnx", tmp_path / "run"
    monkeypatch.setattr(learning, "LATEST", latest)
    options = LearnOptions(minutes=5, updates=UPDATES, seed=seed % 1000, run_dir=run_dir)
    policy = run_learn(options, StopFlag(), print)
    status = read_status(run_dir / "trainer")
    assert (status["trainer_steps"], status["lost_chunks"]) == (UPDATES, 0)
    assert status["experiences_inserted"] > 5_000
    assert policy.read_bytes() == latest.read_bytes()
    command = ["evaluate", "--policy", str(policy), "--opponent", "random", "--games", "4", "--size", "8", "--json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, f"{done.output} {done.exception}"
    match = json.loads(done.stdout)
    assert match["wins"] + match["losses"] + match["draws"] == 4
