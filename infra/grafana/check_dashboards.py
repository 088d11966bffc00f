"""Run every query of every dashboard against a live Prometheus; exit 1 and name those that return nothing.

    python infra/grafana/check_dashboards.py --prometheus http://127.0.0.1:9090 [--wait 120]

Standard library only. With `--wait` the empty ones are asked again until they answer or the time is over: rates need
two scrapes, and a game, an object or a checkpoint takes its time. Panels whose description begins with "Empty without"
are named when they are empty, and are no failure; `--all` makes them one.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "dashboards"
AGAIN_AFTER_S = 5.0
ONLY_WITH = "Empty without "


@dataclass(frozen=True)
class Target:
    dashboard: str
    panel: str
    expr: str
    only_with: str  # what a deployment may do without; "" for most

    @property
    def name(self) -> str:
        return f"{self.dashboard} / {self.panel}"


def targets(folder: Path = FOLDER) -> Iterator[Target]:
    """Every query, with Grafana's variables given a value."""
    for path in sorted(folder.glob("*.json")):
        dashboard = json.loads(path.read_text(encoding="utf-8"))
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                expr = target["expr"].replace("$__rate_interval", "2m")
                about = panel.get("description", "")
                only_with = about.removeprefix(ONLY_WITH).partition(".")[0] if about.startswith(ONLY_WITH) else ""
                yield Target(dashboard["title"], panel["title"], expr, only_with)


def problem(prometheus: str, expr: str) -> str | None:
    """Why a query is of no use: None when it returns at least one number that is one."""
    query = urllib.parse.urlencode({"query": expr})
    try:
        with urllib.request.urlopen(f"{prometheus}/api/v1/query?{query}", timeout=20) as answer:  # noqa: S310
            result = json.load(answer)["data"]["result"]
    except urllib.error.HTTPError as refused:
        return f"refused: {json.load(refused).get('error', refused.reason)}"
    if not result:
        return "no data"
    values = [float(sample["value"][1]) for sample in result]
    return "only NaN" if all(math.isnan(value) for value in values) else None


def failing(prometheus: str, wait_s: float, *, excuse: bool) -> tuple[int, list[tuple[Target, str]]]:
    """How many queries there are, and those that still fail after `wait_s`; it is not waited for those excused."""
    every = list(targets())
    left = every
    deadline = time.monotonic() + wait_s
    while True:
        failed = [(target, why) for target in left if (why := problem(prometheus, target.expr))]
        if all(excuse and target.only_with for target, _ in failed) or time.monotonic() > deadline:
            return len(every), failed
        left = [target for target, _ in failed]
        time.sleep(AGAIN_AFTER_S)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", help="its address")
    parser.add_argument("--wait", type=float, default=0.0, metavar="SECONDS", help="give empty queries this long")
    parser.add_argument("--all", action="store_true", help="no panel may be empty")
    given = parser.parse_args()
    if not given.prometheus.startswith(("http://", "https://")):
        parser.error("--prometheus must be an http:// or https:// address")
    try:
        count, failed = failing(given.prometheus.rstrip("/"), given.wait, excuse=not given.all)
    except urllib.error.URLError as error:
        sys.stderr.write(f"Prometheus at {given.prometheus} does not answer: {error.reason}\n")
        return 1
    for target, why in failed:
        excused = f" (empty without {target.only_with})" if target.only_with else ""
        sys.stdout.write(f"{target.name}: {why}{excused}\n    {target.expr}\n")
    bad = [target for target, _ in failed if given.all or not target.only_with]
    sys.stdout.write(f"{count - len(failed)} of {count} queries return data, {len(bad)} failed\n")
    return 1 if bad or not count else 0


if __name__ == "__main__":
    sys.exit(main())
