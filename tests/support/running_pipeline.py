"""A whole pipeline of processes, for tests that strike it and count afterwards."""

import signal
import time
from pathlib import Path
from typing import Any

import yaml

from generals_console.archive_rows import archived_rows
from generals_console.audit import AuditReport, audit
from generals_console.processes import Child, Children
from generals_console.topics import lag_of
from generals_runtime.settings import KafkaSettings

MODULES = {"engine": "generals_engine", "collector": "generals_collector", "writer": "generals_writer"}
DRAIN_S = 90.0


class Pipeline:
    """Engine, collector and writer as processes on topics of the test's own. `engine`: settings of another play."""

    def __init__(self, folder: Path, kafka: KafkaSettings, **engine: Any) -> None:
        self.archive = folder / "archive"
        self.kafka = kafka
        config = folder / "pipeline.yaml"
        config.write_text(
            yaml.safe_dump(
                {
                    "kafka": {"bootstrap_servers": kafka.bootstrap_servers, "topic_prefix": kafka.topic_prefix},
                    "engine": {
                        "games": 32, "width": 10, "height": 10, "seed": 7, "tick_limit": 300, "ticks_per_second": 1500,
                        "chunk_ticks": 16, **engine,
                    },
                    "collector": {"group": f"{kafka.topic_prefix}collector", "flow": {"session_timeout_s": 6.0}},
                    "writer": {
                        "destinations": [{"name": "local", "url": str(self.archive)}],
                        "group_prefix": f"{kafka.topic_prefix}writer",
                        "rotation": {"records": 200, "open_seconds": 2.0, "idle_seconds": 1.0},
                    },
                }
            )
        )  # fmt: skip
        self.children = Children(folder / "logs", {"GENERALS_CONFIG": str(config)})
        self._running: dict[str, Child] = {}

    @property
    def groups(self) -> set[str]:
        return {f"{self.kafka.topic_prefix}collector", f"{self.kafka.topic_prefix}writer-local"}

    def start(self, name: str) -> None:
        self._running[name] = self.children.start(name, MODULES[name], {})

    def kill(self, name: str) -> None:
        self._running[name].process.send_signal(signal.SIGKILL)
        self._running[name].process.wait()

    def lag(self) -> int | None:
        """Records that collector and writer have not committed; None before both have committed anything."""
        return lag_of(self.kafka, self.groups)

    def drain(self) -> None:
        """Wait until collector and writer have come to the end."""
        deadline = time.monotonic() + DRAIN_S
        while self.lag() != 0:
            assert time.monotonic() < deadline, f"lag {self.lag()} after {DRAIN_S:.0f} s"
            self.children.check()
            time.sleep(0.25)

    def audit(self) -> AuditReport:
        experiences = self.kafka.topics().experiences.name
        return audit(
            self.kafka,
            collector_group=f"{self.kafka.topic_prefix}collector",
            archive=lambda: archived_rows(self.archive, experiences),
        )


def assert_nothing_is_lost_or_twice(report: AuditReport) -> None:
    assert report.clean, report.to_json()
    assert (report.lost, report.duplicates, report.pending) == (0, 0, 0)
    assert report.experiences_emitted == report.experiences_collected == report.experiences_archived
