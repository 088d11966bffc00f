"""Alert rules and dashboards name only metrics that exist, and every alert can fire and has a page in the runbook."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from generals_runtime import metrics

ROOT = Path(__file__).parents[3]
PROMETHEUS = ROOT / "infra" / "prometheus"
GRAFANA = ROOT / "infra" / "grafana"
RUNBOOK = ROOT / "docs" / "guides" / "runbook.md"
METRIC = re.compile(r"\b(?:generals|process)_[a-z_]+\b")


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((PROMETHEUS / "rules" / "alerts.yml").read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def series_names() -> set[str]:
    """Every series name the services can export; a histogram has three, an array's four gauges more."""
    names = {"process_cpu_seconds_total", "process_resident_memory_bytes"}
    for _, name, kind, _, _ in metrics.describe():
        names |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    return names


def test_the_page_of_all_metrics_is_what_the_services_declare() -> None:
    make = runpy.run_path(str(ROOT / "docs" / "make_metrics.py"))
    assert make["PAGE"].read_text(encoding="utf-8") == make["text"](), "run python docs/make_metrics.py"


def dashboard_queries() -> Iterator[tuple[str, str]]:
    for path in sorted((GRAFANA / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target["expr"]


def anchors(markdown: str) -> set[str]:
    return {
        re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", markdown, re.MULTILINE)
    }


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_asks_for_metrics_that_exist(rule: dict[str, Any]) -> None:
    unknown = set(METRIC.findall(rule["expr"])) - series_names()
    assert not unknown


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_has_a_severity_a_summary_and_a_section_of_the_runbook(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"]
    file, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert ROOT / file == RUNBOOK
    assert anchor == rule["alert"].lower()
    assert anchor in anchors(RUNBOOK.read_text(encoding="utf-8"))


def test_every_alert_is_seen_to_fire_in_a_test_of_promtool() -> None:
    document = yaml.safe_load((PROMETHEUS / "tests" / "alerts_test.yml").read_text(encoding="utf-8"))
    fired = {
        case["alertname"]
        for test in document["tests"]
        for case in test.get("alert_rule_test", [])
        if case.get("exp_alerts")
    }
    assert fired == {rule["alert"] for rule in rules()}


@pytest.mark.parametrize(("name", "expr"), list(dashboard_queries()))
def test_a_panel_asks_for_metrics_that_exist(name: str, expr: str) -> None:
    asked = set(METRIC.findall(expr))
    assert asked or "ALERTS" in expr, name
    assert not asked - series_names(), name


def test_the_dashboards_are_what_panels_py_says() -> None:
    code = "import build_dashboards, json, sys; json.dump(build_dashboards.texts(), sys.stdout)"
    done = subprocess.run([sys.executable, "-c", code], cwd=GRAFANA, capture_output=True, text=True, check=True)
    kept = {path.name: path.read_text(encoding="utf-8") for path in (GRAFANA / "dashboards").glob("*.json")}
    assert kept == json.loads(done.stdout), "run python infra/grafana/build_dashboards.py"


def test_every_exported_series_of_a_service_is_on_a_dashboard_or_in_an_alert() -> None:
    texts = " ".join([expr for _, expr in dashboard_queries()] + [rule["expr"] for rule in rules()])
    shown = set(METRIC.findall(texts))
    unshown = {
        name
        for service, name, kind, _, _ in metrics.describe()
        if not shown & {name, f"{name}_bucket"} and kind != "info"
    }
    assert unshown <= {
        "generals_consumed_bytes_total",  # as many as are produced
        "generals_games_started_total",
        "generals_chunks_total",
        "generals_archived_objects_total",
        "generals_spilled_chunks_total",
        "generals_sample_staleness_versions_minimum",
        "generals_sample_staleness_versions_deviation",
    }


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not installed")
@pytest.mark.parametrize(
    "command",
    ["check config prometheus.yml", "check rules rules/alerts.yml", "test rules tests/alerts_test.yml"],
)
def test_promtool_is_content(command: str) -> None:
    done = subprocess.run(["promtool", *command.split()], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
