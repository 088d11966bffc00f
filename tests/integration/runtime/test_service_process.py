"""A service as the process it is: what a signal, a stall and a hanging thread do to it."""

import json
import signal
import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
import sys, threading, time
from generals_runtime.service import main
from generals_runtime.settings import ServiceSettings

class Toy:
    def __init__(self, settings):
        self.rounds = 0
    def start(self):
        if "hang" in sys.argv:
            threading.Thread(target=threading.Event().wait).start()
    def run_once(self, timeout_s):
        if self.rounds == 1:
            print("running", flush=True)
            if "stall" in sys.argv:
                threading.Event().wait()
        self.rounds += 1
        time.sleep(0.01)
    def stop(self):
        print("committed", flush=True)

sys.exit(main(ServiceSettings, Toy, name="toy", arguments=[]))
"""
SETTINGS = {"GENERALS_OBSERVABILITY__LOG_FORMAT": "json", "GENERALS_OBSERVABILITY__STALL_AFTER_S": "1"}


def _start(*modes: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), *modes],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=SETTINGS,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    return process


@pytest.mark.parametrize("modes", [(), ("hang",)], ids=["alone", "with a thread that hangs"])
def test_sigterm_ends_a_service_in_order_with_code_0(modes: tuple[str, ...]) -> None:
    with _start(*modes) as process:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out == "committed\n"
    assert [json.loads(line)["event"] for line in err.splitlines()] == ["starting", "running", "stopping", "stopped"]


def test_a_service_that_hangs_ends_itself_and_says_where() -> None:
    with _start("stall") as process:
        out, err = process.communicate(timeout=30)
    assert process.returncode == 3
    assert out == ""
    last = json.loads(err.splitlines()[-1])
    assert last["event"] == "no progress while running: ending the process"
    assert "in run_once" in last["hangs_at"]
