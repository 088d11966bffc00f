"""Peers are asked for the same work as we are, in environments that are whole."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def environments(
    program: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[ModuleType, list[list[str]], list[str]]:
    """The module, the commands it has run, and words that make a command fail."""
    module = program("environments")
    commands: list[list[str]] = []
    failing: list[str] = []

    def run(command: list[str], **_: Any) -> None:
        commands.append(command)
        if set(failing) & set(command):
            raise subprocess.CalledProcessError(1, command, stderr=b"no network")
        (tmp_path / "peer").mkdir(exist_ok=True)

    monkeypatch.setattr(module, "OUT", tmp_path)
    monkeypatch.setattr(subprocess, "run", run)
    return module, commands, failing


def test_an_environment_is_made_once(environments: Any, tmp_path: Path) -> None:
    module, commands, _ = environments
    python = tmp_path / "peer" / "bin" / "python"
    assert [module.python_with("peer", ["cpprb", "numpy"]) for _ in range(2)] == [python, python]
    assert [command[1:3] for command in commands] == [["-m", "venv"], ["-m", "pip"]]
    assert commands[1][-2:] == ["cpprb", "numpy"]


def test_one_that_could_not_be_finished_is_none_and_is_made_anew(
    environments: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    module, commands, failing = environments
    failing.append("pip")
    assert module.python_with("peer", ["cpprb"]) is None
    assert "cpprb cannot be installed: no network" in capsys.readouterr().err
    failing.clear()
    assert module.python_with("peer", ["cpprb"]) is not None
    assert [command[2] for command in commands] == ["venv", "pip", "venv", "pip"]


def test_a_peers_buffer_is_filled_by_blocks_of_the_length_asked_for(
    program: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    workload = program("replay_workload")
    monkeypatch.setattr(workload, "ROUNDS", 1)
    monkeypatch.setattr(workload, "SINGLES", 3)
    lengths: list[int] = []

    class Peer:
        def add(self, states: Any, actions: Any, rewards: Any, next_states: Any, done: Any) -> None:
            assert len(states) == len(actions) == len(rewards) == len(next_states) == len(done)
            lengths.append(len(states))

        def sample(self) -> tuple[Any, Any]:
            return None, None

        def update(self, handle: Any, errors: Any) -> None:
            pass

    play = {name: np.zeros(1000) for name in ("states", "actions", "rewards", "done")}
    workload.measure(Peer(), play, 1280, 128)
    assert lengths == [128] * 10 + [1] * 3


def test_our_play_is_as_long_as_the_peers_whatever_a_block_is(
    program: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = program("replay_buffer")
    monkeypatch.setattr(ours, "PLAY_STEPS", 1500)
    batches = list(ours.played_batches())
    assert 1500 <= sum(batch.steps for batch in batches) < 1500 + ours.CHUNK_TICKS
    assert max(batch.steps for batch in batches) == ours.CHUNK_TICKS
