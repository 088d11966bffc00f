"""Ctrl-C ends every long run alike: a message that is no complaint, and exit code 130."""

import signal
import sys
from pathlib import Path

import pytest
import structlog

from generals_console.main import main
from generals_console.stopping import StopFlag

LONG_S = 30.0
"""Nobody waits so long: the test's own time limit would end it."""


def pressed(*given: object) -> None:
    """A run during which Ctrl-C is pressed."""
    [stop] = [one for one in given if isinstance(one, StopFlag)]
    signal.raise_signal(signal.SIGINT)
    stop.wait(LONG_S)


@pytest.mark.parametrize(
    ("command", "work"),
    [
        ("demo", "demo_command.run_demo"),
        ("learn", "learning.run_learn"),
        ("chaos", "chaos_command.run_chaos"),
        ("soak", "soak_command.run_soak"),
    ],
)
def test_ctrl_c_stops_a_run(
    command: str, work: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(f"generals_console.{work}", pressed)
    monkeypatch.setattr(sys, "argv", ["generals", command, "--run-dir", str(tmp_path / "run")])
    monkeypatch.setattr(structlog, "configure", lambda **_: None)  # the command's would outlive the test
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 130
    assert capsys.readouterr() == ("", "stopped; every process has ended\n")
