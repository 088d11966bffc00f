"""Write Grafana's JSON of the dashboards in panels.py into dashboards/: `python infra/grafana/build_dashboards.py`.

The JSON is kept in the repository, because Grafana reads it from there; a test says when it is not what this writes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from panels import DASHBOARDS, Dashboard, Panel

FOLDER = Path(__file__).parent / "dashboards"
ONLY_WITH = "Empty without "  # check_dashboards.py knows such panels by it
DATASOURCE = {"type": "prometheus", "uid": "prometheus"}
COLUMNS, WIDTH, HEIGHT = 24, 8, 8


def panel_json(number: int, panel: Panel) -> dict[str, Any]:
    """One panel in its place on the grid, three in a row."""
    across = COLUMNS // WIDTH
    custom = {"fillOpacity": 10, "showPoints": "never", "stacking": {"mode": "normal" if panel.stacked else "none"}}
    heatmap = panel.kind == "heatmap"
    return {
        "id": number + 1,
        "title": panel.title,
        "description": f"{ONLY_WITH}{panel.only_with}. {panel.help}".strip() if panel.only_with else panel.help,
        "type": panel.kind,
        "datasource": DATASOURCE,
        "gridPos": {"x": number % across * WIDTH, "y": number // across * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "custom": {} if heatmap else custom}, "overrides": []},
        "options": {"calculate": False} if heatmap else {"tooltip": {"mode": "multi", "sort": "desc"}},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": DATASOURCE,
                "expr": query.expr,
                "legendFormat": query.legend,
                "format": "heatmap" if heatmap else "time_series",
            }
            for index, query in enumerate(panel.queries)
        ],
    }


def dashboard_json(dashboard: Dashboard) -> dict[str, Any]:
    """A whole dashboard as Grafana imports it."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["generals"],
        "schemaVersion": 39,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": []},
        "annotations": {"list": []},
        "links": [{"type": "dashboards", "tags": ["generals"], "title": "Generals", "asDropdown": True}],
        "panels": [panel_json(number, panel) for number, panel in enumerate(dashboard.panels)],
    }


def texts() -> dict[str, str]:
    """File name to content, for every dashboard."""
    return {
        f"{dashboard.uid}.json": json.dumps(dashboard_json(dashboard), indent=1, ensure_ascii=False) + "\n"
        for dashboard in DASHBOARDS
    }


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, text in texts().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"{name}\n")


if __name__ == "__main__":
    main()
