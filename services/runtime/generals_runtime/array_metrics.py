"""A histogram that takes whole arrays.

prometheus_client's own takes one number a call, which at 100,000 rewards a second costs more than computing them.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


class ArrayHistogram(Collector):
    """Distribution since the start, and mean, deviation, minimum and maximum since the last scrape.

    A scrape without new values repeats the last statistics.
    """

    def __init__(self, name: str, documentation: str, *, bounds: Sequence[float], registry: CollectorRegistry) -> None:
        self._name, self._documentation = name, documentation
        self._bounds = np.asarray(bounds, dtype=np.float64)
        self._counts = np.zeros(len(bounds) + 1, dtype=np.int64)
        self._sum = 0.0
        self._window = _Window()
        self._statistics: dict[str, float] = {}
        self._lock = threading.Lock()
        registry.register(self)

    def observe(self, values: NDArray[np.floating] | NDArray[np.integer]) -> None:
        """values: any shape. NaN and infinity are not counted."""
        flat = np.asarray(values, dtype=np.float64).ravel()
        flat = flat[np.isfinite(flat)]
        if not flat.size:
            return
        counts = np.bincount(np.searchsorted(self._bounds, flat, side="left"), minlength=len(self._counts))
        # No dot product: OpenBLAS gives long ones to threads, which then spin on cores that others need.
        total, squares = float(flat.sum()), float((flat * flat).sum())
        with self._lock:
            self._counts += counts
            self._sum += total
            self._window.add(flat.size, total, squares, float(flat.min()), float(flat.max()))

    def describe(self) -> Iterator[Metric]:
        yield HistogramMetricFamily(self._name, self._documentation)
        yield from self._gauges(dict.fromkeys(("mean", "deviation", "minimum", "maximum"), 0.0))

    def collect(self) -> Iterable[Metric]:
        with self._lock:
            cumulative = np.cumsum(self._counts)
            total = self._sum
            self._statistics = self._window.statistics() or self._statistics
            self._window = _Window()
        edges = [*(f"{bound:g}" for bound in self._bounds), "+Inf"]
        buckets = [(edge, float(count)) for edge, count in zip(edges, cumulative, strict=True)]
        family = HistogramMetricFamily(self._name, self._documentation, buckets=buckets, sum_value=total)
        if self._bounds[0] < 0:  # OpenMetrics leaves these two out where values may be negative; Prometheus takes them
            family.add_sample(f"{self._name}_count", {}, float(cumulative[-1]))
            family.add_sample(f"{self._name}_sum", {}, total)
        yield family
        yield from self._gauges(self._statistics)

    def _gauges(self, statistics: dict[str, float]) -> Iterator[Metric]:
        for name, value in statistics.items():
            help_text = f"{self._documentation}: {name} since the last scrape"
            yield GaugeMetricFamily(f"{self._name}_{name}", help_text, value=value)


class _Window:
    def __init__(self) -> None:
        self._count, self._sum, self._squares = 0, 0.0, 0.0
        self._minimum, self._maximum = math.inf, -math.inf

    def add(self, count: int, total: float, squares: float, minimum: float, maximum: float) -> None:
        self._count += count
        self._sum += total
        self._squares += squares
        self._minimum, self._maximum = min(self._minimum, minimum), max(self._maximum, maximum)

    def statistics(self) -> dict[str, float]:
        if not self._count:
            return {}
        mean = self._sum / self._count
        variance = max(0.0, self._squares / self._count - mean * mean)
        return {
            "mean": mean, "deviation": math.sqrt(variance), "minimum": self._minimum, "maximum": self._maximum
        }  # fmt: skip
