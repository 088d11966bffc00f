"""Write docs/metrics.md from the metrics that the services declare: `python docs/make_metrics.py`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from generals_runtime.metrics import describe

PAGE = Path(__file__).with_name("metrics.md")
HEADER = """# Metrics

Every service answers `GET /metrics` on `observability.metrics_port` in Prometheus' text format. The names are declared, with
their reasons, in `services/runtime/generals_runtime/metrics.py`, and this page is made from there. Labels are bounded:
no label is ever a game, a version or an offset, and policies beyond the first fifty share `other`. Beside these there
are the process's own (`process_*`, `python_*`).

Shown by the dashboards in `infra/grafana`, watched by the rules in `infra/prometheus/rules`, whose alerts the
[runbook](guides/runbook.md) explains.
"""
TITLES = {"runtime": "Every service"}


def text() -> str:
    """The whole page."""
    return "\n".join([HEADER, *_sections()])


def _sections() -> Iterator[str]:
    for service, rows in groupby(describe(), key=lambda row: row[0]):
        yield f"## {TITLES.get(service, service.capitalize())}\n"
        yield "| metric | type | labels | |\n|---|---|---|---|"
        for _, name, kind, labels, about in rows:
            yield f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {about} |"
        yield ""


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name}\n")
