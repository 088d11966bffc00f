"""Engines as processes of their own, for tests that kill them."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType


class EngineProcess:
    """`python -m generals_engine` with its log in a file. `settings` are the engine's, by their names."""

    def __init__(self, kafka: str, log: Path, settings: Mapping[str, object]) -> None:
        self.log = log
        self._environment = {
            **os.environ,
            "GENERALS_KAFKA__BOOTSTRAP_SERVERS": kafka,
            "GENERALS_OBSERVABILITY__LOG_FORMAT": "json",
            **{f"GENERALS_ENGINE__{name.upper()}": str(value) for name, value in settings.items()},
        }
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "generals_engine"], env=self._environment, stdout=file, stderr=file
            )

    def kill(self) -> None:
        """SIGKILL, and the body buried."""
        self.process.kill()
        self.process.wait()

    def stop(self, timeout_s: float = 40.0) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def text(self) -> str:
        return self.log.read_text()

    def __enter__(self) -> "EngineProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.kill()
