"""Metrics: bounded labels, whole arrays, and no name twice."""

import re
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from generals_runtime.array_metrics import ArrayHistogram
from generals_runtime.metrics import Metrics, PolicyLabels, describe

SERVICES = Path(__file__).parents[3] / "services"


def _value(registry: CollectorRegistry, name: str, **labels: str) -> float:
    value = registry.get_sample_value(name, labels)
    assert value is not None
    return value


def test_an_array_is_counted_into_buckets_as_prometheus_counts_numbers() -> None:
    registry = CollectorRegistry()
    histogram = ArrayHistogram("r", "Reward", bounds=(-1.0, 0.0, 1.0), registry=registry)
    histogram.observe(np.array([-1.0, -0.5, 0.0, 0.25, 2.0, np.nan, np.inf], np.float32))
    counts = {edge: _value(registry, "r_bucket", le=edge) for edge in ("-1", "0", "1", "+Inf")}
    assert counts == {"-1": 1, "0": 3, "1": 4, "+Inf": 5}
    assert b"r_sum 0.75" in generate_latest(registry)


def test_the_statistics_are_those_since_the_last_scrape() -> None:
    registry = CollectorRegistry()
    histogram = ArrayHistogram("r", "Reward", bounds=(0.0,), registry=registry)
    histogram.observe(np.array([100.0]))
    generate_latest(registry)
    values = np.array([1.0, 2.0, 4.0])
    histogram.observe(values)
    text = generate_latest(registry).decode()
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(lines["r_mean"]) == pytest.approx(values.mean())
    assert float(lines["r_deviation"]) == pytest.approx(values.std())
    assert (float(lines["r_minimum"]), float(lines["r_maximum"])) == (1.0, 4.0)
    assert "r_mean 2.33" in generate_latest(registry).decode()


def test_policies_beyond_the_bound_share_a_label() -> None:
    label = PolicyLabels(most=2)
    assert [label(name) for name in ("a", "b", "c", "a", "d")] == ["a", "b", "other", "a", "other"]


def test_only_groups_that_are_used_are_exported() -> None:
    metrics = Metrics(CollectorRegistry())
    assert metrics.engine is metrics.engine
    text = generate_latest(metrics.registry).decode()
    assert "generals_games_running" in text
    assert "generals_buffer" not in text


def test_every_metric_is_described_once_and_has_no_unbounded_label() -> None:
    rows = describe()
    names = [name for _service, name, _kind, _labels, _help in rows]
    assert len(names) == len(set(names))
    allowed = {
        "topic", "partition", "group", "record", "policy", "reason", "error", "kind", "strategy", "destination",
        "outcome", "learner",
    }  # fmt: skip
    assert {label for *_rest, labels, _help in rows for label in labels} <= allowed
    assert all(name.startswith("generals_") and text for _s, name, _k, _l, text in rows)


def test_every_metric_is_set_by_some_service() -> None:
    sources = [path for path in SERVICES.glob("*/generals_*/**/*.py") if path.name != "metrics.py"]
    code = "\n".join(path.read_text() for path in sources)
    metrics = Metrics(CollectorRegistry())
    groups = (metrics.runtime, metrics.engine, metrics.collector, metrics.writer, metrics.trainer)
    assert [name for group in groups for name in vars(group) if not re.search(rf"\.{name}\b", code)] == []


def test_all_groups_fit_into_one_registry() -> None:
    metrics = Metrics(CollectorRegistry())
    groups = (metrics.runtime, metrics.engine, metrics.collector, metrics.writer, metrics.trainer)
    assert all(vars(group) for group in groups)
    assert generate_latest(metrics.registry)
