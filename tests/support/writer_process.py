"""The writer as a process of its own, to be killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from generals_runtime.objects import ObjectStore
from generals_writer.catalog import read_chains


class WriterProcess:
    """`python -m generals_writer` with settings from the environment; its output goes to a file."""

    def __init__(
        self,
        log: Path,
        *,
        servers: str,
        prefix: str,
        destinations: Sequence[Mapping[str, Any]],
        rotation: Mapping[str, Any],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.log = log
        self._environment = {
            **os.environ,
            "GENERALS_KAFKA__BOOTSTRAP_SERVERS": servers,
            "GENERALS_KAFKA__TOPIC_PREFIX": prefix,
            "GENERALS_SERVICE_ID": log.stem,
            "GENERALS_OBSERVABILITY__LOG_FORMAT": "json",
            "GENERALS_WRITER__DESTINATIONS": json.dumps(list(destinations)),
            "GENERALS_WRITER__ROTATION": json.dumps(dict(rotation)),
            **(environment or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "WriterProcess":
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "generals_writer"], env=self._environment, stdout=out, stderr=out
            )
        return self

    @property
    def returncode(self) -> int | None:
        assert self.process is not None
        return self.process.poll()

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nothing is said."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)

    def stop(self, timeout_s: float = 60.0) -> int:
        """SIGTERM and the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def output(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


def wait_until_archived(
    store: ObjectStore, ends: dict[int, int], topic: str, writer: WriterProcess, timeout_s: float = 60.0
) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        positions = [chain.position for chain in read_chains(store, topic)]
        at = {position.partition: position.offset for position in positions if position is not None}
        if at == ends:
            return
        if writer.returncode is not None:
            pytest.fail(f"the writer ended with {writer.returncode}:\n{writer.output()[-3000:]}")
        if time.monotonic() > deadline:
            pytest.fail(f"archived {at} of {ends} after {timeout_s} s:\n{writer.output()[-3000:]}")
        time.sleep(0.1)


def wait_for_output(writer: WriterProcess, text: str, timeout_s: float = 150.0, more_than: int = 0) -> None:
    """Until the writer has said `text` more than `more_than` times."""
    deadline = time.monotonic() + timeout_s
    while writer.output().count(text) <= more_than:
        assert writer.returncode is None, writer.output()[-3000:]
        assert time.monotonic() < deadline, writer.output()[-3000:]
        time.sleep(0.05)
