"""The services as child processes: each in a session of its own, so that Ctrl-C in a terminal reaches only us and we
stop them in order; and each dies with us, even if we are killed (PR_SET_PDEATHSIG, on Linux).

Of our own environment they get everything but settings (GENERALS_…), which would win over the YAML that was written for
them: a run with a Kafka of its own would then play into the cluster that the shell is set up for.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from generals_runtime.errors import OperatorError
from generals_runtime.settings_sources import PREFIX

# Runs in a fresh interpreter, then becomes the service: code between fork and exec is not safe with threads.
_LAUNCHER = """
import os, sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None, use_errno=True).prctl(1, 9, 0, 0, 0)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""
_POLL_S = 0.05
_LAST_LINES = 15


class ServiceDied(OperatorError):
    """A service ended by itself; the message has the end of its log."""


@dataclass(slots=True)
class Child:
    """A running service: its name, process and log."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def last_lines(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_LAST_LINES:])


class Children:
    """Starts services and ends them. A context manager that leaves none behind.

    environment: all settings that the services get, beside those given to `start`.
    """

    def __init__(self, log_dir: Path, environment: Mapping[str, str]) -> None:
        self._log_dir = log_dir
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        self._environment = {**inherited, **environment}
        self._children: dict[str, Child] = {}
        log_dir.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> "Children":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(*self._children, timeout_s=6.0)

    def start(self, name: str, module: str, environment: Mapping[str, str]) -> Child:
        """Start `python -m module` under a name."""
        return self.launch(name, [sys.executable, "-m", module], environment)

    def launch(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        """Start a program, whose path is absolute, under a name."""
        log = self._log_dir / f"{name}.log"
        with log.open("ab") as out:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and programs
                [sys.executable, "-c", _LAUNCHER, str(os.getpid()), *command],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                env={**self._environment, **environment}, start_new_session=True,
            )  # fmt: skip
        self._children[name] = Child(name, process, log)
        return self._children[name]

    def check(self) -> None:
        """Raises ServiceDied if one has ended."""
        for child in self._children.values():
            if not child.running:
                raise ServiceDied(
                    f"the {child.name} ended with exit code {child.process.returncode}; the end of {child.log}:\n"
                    f"{child.last_lines()}"
                )

    def stop(self, *names: str, timeout_s: float = 15.0) -> None:
        """SIGTERM to all named at once, SIGKILL to who is left after `timeout_s`."""
        leaving = [self._children.pop(name) for name in names if name in self._children]
        for child in leaving:
            if child.running:
                child.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and any(child.running for child in leaving):
            time.sleep(_POLL_S)
        for child in leaving:
            if child.running:
                child.process.kill()
            child.process.wait()
