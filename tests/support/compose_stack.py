"""A compose stack of its own beside any that runs already: other project name, other ports, its own volumes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from generals_runtime.broker import free_port

ROOT = Path(__file__).parents[2]
SERVICES = ("engine", "collector", "writer", "trainer")
ARCHIVE = "s3://generals/archive"
T = TypeVar("T")


class Stack:
    """docker-compose.yml under a project name; `run` and its kin raise with what docker said."""

    def __init__(self, project: str) -> None:
        self.project = project
        self.ports = {name: free_port() for name in ("KAFKA_PORT", "S3_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT")}
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith("GENERALS_")}
        self._environment |= {name: str(port) for name, port in self.ports.items()}
        self.kafka = f"127.0.0.1:{self.ports['KAFKA_PORT']}"
        self.prometheus = f"http://127.0.0.1:{self.ports['PROMETHEUS_PORT']}"

    def run(self, *arguments: str, timeout_s: float = 600.0, codes: tuple[int, ...] = (0,)) -> str:
        """`docker compose ARGUMENTS`; its standard output."""
        files = ["-f", "docker-compose.yml", "-f", "tests/e2e/compose.slower.yml"]
        command = ["docker", "compose", *files, "-p", self.project, *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=self._environment, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if done.returncode not in codes:
            tail = "\n".join((done.stdout + done.stderr).splitlines()[-25:])
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{tail}")
        return done.stdout

    def up(self, *arguments: str) -> float:
        """Everything up and healthy; how many seconds that took."""
        began = time.monotonic()
        self.run("up", "-d", "--wait", *arguments, timeout_s=1200)
        return time.monotonic() - began

    def console(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        """The `generals` command in a container of its own."""
        return self.run("run", "--rm", "-T", "console", *arguments, codes=codes)

    def python(self, code: str) -> str:
        """A program where the client is installed, inside the network."""
        return self.run("run", "--rm", "-T", "--entrypoint", "/opt/generals/start.sh", "console", "python", "-c", code)

    def audit(self) -> dict[str, Any]:
        """What `generals audit` says, clean or not."""
        report: dict[str, Any] = json.loads(self.console("audit", "--archive", ARCHIVE, "--json", codes=(0, 1)))
        return report

    def containers(self) -> list[dict[str, Any]]:
        """`docker inspect` of all containers of the project."""
        ids = self.run("ps", "-a", "-q").split()
        done = subprocess.run(["docker", "inspect", *ids], capture_output=True, text=True, check=True)
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    def query(self, promql: str) -> list[tuple[dict[str, str], float]]:
        """An instant query: (labels, value) of each series."""
        url = f"{self.prometheus}/api/v1/query?{urllib.parse.urlencode({'query': promql})}"
        with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 - our own Prometheus
            result = json.load(answer)["data"]["result"]
        return [(sample["metric"], float(sample["value"][1])) for sample in result]

    def number(self, promql: str) -> float:
        """The one value of a query, 0 when there is no series."""
        return next((value for _, value in self.query(promql)), 0.0)

    def cpu(self) -> dict[str, float]:
        """Cores in use over the last minute, by service."""
        series = self.query('sum by (job) (rate(process_cpu_seconds_total{job!="prometheus"}[1m]))')
        return {labels["job"]: value for labels, value in series}


def until(what: str, condition: Callable[[], T], *, within_s: float, every_s: float = 2.0) -> T:
    """The first true value of `condition`. Errors of the way there (a service that is away) count as not yet."""
    deadline, last = time.monotonic() + within_s, "nothing came"
    while time.monotonic() < deadline:
        try:
            value = condition()
        except (OSError, AssertionError, ValueError) as error:
            last = str(error)
        else:
            if value:
                return value
            last = repr(value)
        time.sleep(every_s)
    raise AssertionError(f"{what}: not within {within_s:g} s; last: {last}")


def say(line: str) -> None:
    """For whoever runs it with -s."""
    sys.stdout.write(f"  {line}\n")
    sys.stdout.flush()
