"""Write docs/metrics.md from the metrics that the services declare: `python docs/make_metrics.py`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from prometheus_client import CollectorRegistry

from generals_runtime.metrics import Metrics, describe

PAGE = Path(__file__).with_name("metrics.md")
SERVICES = Path(__file__).parents[1] / "services"
HEADER = """# Metrics

Every service answers `GET /metrics` in Prometheus' text format on `observability.metrics_port`, if one is set (compose and
Kubernetes have 9100; `generals serve` answers on its own port, with `generals_served_requests_total{status}` and
`generals_served_seconds`). The names are declared, with their reasons, in
`services/runtime/generals_runtime/metrics.py`, and this page is made from there. Labels are bounded: no label is ever a
game, a version or an offset, and policies beyond the first fifty share `other`. Beside these there are the process's own
(`process_*`, `python_*`).

Shown by the dashboards in `infra/grafana`, watched by the rules in `infra/prometheus/rules`, whose alerts the
[runbook](guides/runbook.md) explains.
"""
SHARED = """## Shared

"By" names the services that set a metric; where it names none, every service does that has what is counted.

| metric | type | labels | by | |
|---|---|---|---|---|"""


def text() -> str:
    """The whole page."""
    return "\n".join([HEADER, *_sections()])


def _sections() -> Iterator[str]:
    for service, rows in groupby(describe(), key=lambda row: row[0]):
        shared = service == "runtime"
        yield SHARED if shared else f"## {service.capitalize()}\n\n| metric | type | labels | |\n|---|---|---|---|"
        for _, name, kind, labels, about in rows:
            by = f" {_set_by(name)} |" if shared else ""
            yield f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} |{by} {about} |"
        yield ""


def _set_by(name: str) -> str:
    """The services whose own code sets a shared metric; none where the runtime does it for them."""
    shared = vars(Metrics(CollectorRegistry()).runtime)
    attribute = next(a for a, metric in shared.items() if metric.describe()[0].name == name.removesuffix("_total"))
    sets = re.compile(rf"runtime\.{attribute}\b")
    services = ("engine", "collector", "writer", "trainer")
    sources = {service: (SERVICES / service).glob("generals_*/**/*.py") for service in services}
    return ", ".join(s for s, paths in sources.items() if any(sets.search(path.read_text("utf-8")) for path in paths))


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name}\n")
