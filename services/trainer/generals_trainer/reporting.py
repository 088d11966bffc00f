"""What the trainer counts and says: metrics as things happen, and a report of numbers every few seconds."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import structlog

from generals_client.reader import ReaderStats
from generals_runtime import metrics
from generals_schemas.records import ExperienceBatch
from generals_trainer.buffers import ReplayBuffers
from generals_trainer.learner import Learnt
from generals_trainer.limiter import SamplesPerInsert
from generals_trainer.progress import Returns, Window
from generals_trainer.samples import Sample
from generals_trainer.settings import TrainerSettings

_log = structlog.get_logger("generals_trainer")


class Report:
    """Counts since the start of this life; totals over all lives come from the trainer."""

    def __init__(self, settings: TrainerSettings) -> None:
        self._settings = settings
        self._topic = settings.experiences
        self._metrics = metrics.default().trainer
        self._runtime = metrics.default().runtime
        self._window = Window()
        self._returns, self._own_returns = Returns(), Returns()
        self._left_out: dict[str, int] = {}
        self._last = {"time": time.monotonic(), "steps": 0.0, "inserted": 0.0, "evicted": 0.0}
        self._read = ReaderStats()

    def resumed(self, *, inserted: int, sampled: int, steps: int) -> None:
        """Totals are those of all lives."""
        self._metrics.inserted.inc(inserted)
        self._metrics.sampled.inc(sampled)
        self._metrics.steps.inc(steps)
        self._last |= {"time": time.monotonic(), "steps": steps, "inserted": inserted}

    def inserted(self, batch: ExperienceBatch) -> None:
        self._metrics.inserted.inc(batch.steps)
        self._returns.add(batch)
        if batch.policy.name == self._settings.policy:
            self._own_returns.add(batch)

    def left_out(self, batch: ExperienceBatch, reason: str) -> None:
        """It was read and not inserted; each reason is logged once and counted."""
        self._metrics.left_out.inc(batch.steps)
        if reason not in self._left_out:
            _log.warning("batches are left out", reason=reason)
        self._left_out[reason] = self._left_out.get(reason, 0) + 1

    def learnt(self, sample: Sample, learnt: Learnt, *, version: int, seconds: float) -> None:
        """An update was made with this sample; `version` is the newest published."""
        error = float(np.abs(learnt.errors).mean())
        self._window.add(
            loss=learnt.loss,
            td_error=error,
            q_value=learnt.value,
            gradient_norm=learnt.gradient_norm,
            learning_rate=learnt.learning_rate,
            step_seconds=seconds,
            n_step=float(sample.lengths.mean()),
        )
        own = sample.made_by((self._settings.policy,))
        staleness = version - sample.policy_versions[own].astype(np.int64)
        self._window.add_sampled(staleness, sample.ages)
        self._metrics.staleness.observe(staleness)
        self._metrics.steps.inc()
        self._metrics.sampled.inc(len(sample))
        self._metrics.step_seconds.observe(seconds)
        self._metrics.loss.set(learnt.loss)
        self._metrics.td_error.set(error)
        self._metrics.q_value.set(learnt.value)
        self._metrics.gradient_norm.set(learnt.gradient_norm)

    def published(self, version: int) -> None:
        self._metrics.policy_version.set(version)

    def saved(self, seconds: float) -> None:
        """A checkpoint is durable."""
        self._metrics.checkpoint_seconds.observe(seconds)
        self._metrics.checkpoint_time.set_to_current_time()

    def status(
        self,
        state: str,
        *,
        steps: int,
        version: int,
        limiter: SamplesPerInsert,
        buffers: ReplayBuffers,
        stats: ReaderStats,
        lag: Mapping[int, int],
    ) -> dict[str, Any]:
        """Totals, rates since the last status, means of the updates since. Sets the gauges, counts what was read."""
        rates = self._rates(steps, limiter.inserted)
        status: dict[str, Any] = {
            "state": state,
            "trainer_steps": steps,
            "experiences_inserted": limiter.inserted,
            "experiences_sampled": limiter.sampled,
            **rates,
            "samples_per_insert": round(limiter.achieved, 4),
            "samples_per_insert_target": limiter.ratio,
            "samples_per_insert_error": round(limiter.error, 5),
            # Of all policies only as long as the own one has not played: over all, wins and losses cancel out.
            "mean_return": self._own_returns.mean if self._own_returns.mean is not None else self._returns.mean,
            "policy_version": version,
            "buffer_rows": sum(len(buffer) for buffer in buffers),
            "buffer_capacity": sum(buffer.capacity for buffer in buffers),
            "buffer_eligible": buffers.eligible,
            "buffer_boards": len(buffers),
            "buffer_bytes": sum(buffer.nbytes for buffer in buffers),
            "evicted": buffers.total("evicted"),
            "evicted_unused": buffers.total("evicted_unused"),
            "left_out": sum(self._left_out.values()),
            "lag": sum(lag.values()),
            "repeats": stats.repeats,
            "lost_chunks": stats.lost_chunks,
            "rejected": stats.rejected,
            **self._window.take(),
        }
        self._gauge(status, lag)
        self._count_read(replace(stats))  # a copy: the feed's thread goes on counting
        return status

    def _rates(self, steps: int, inserted: int) -> dict[str, float]:
        now = time.monotonic()
        seconds = max(now - self._last["time"], 1e-9)
        rates = {
            "steps_per_s": round((steps - self._last["steps"]) / seconds, 2),
            "inserts_per_s": round((inserted - self._last["inserted"]) / seconds, 1),
        }
        self._last |= {"time": now, "steps": steps, "inserted": inserted}
        return rates

    def _gauge(self, status: Mapping[str, Any], lag: Mapping[int, int]) -> None:
        self._metrics.buffer_size.set(status["buffer_rows"])
        self._metrics.buffer_capacity.set(status["buffer_capacity"])
        self._metrics.buffer_utilisation.set(status["buffer_rows"] / max(1, status["buffer_capacity"]))
        self._metrics.buffer_bytes.set(status["buffer_bytes"])
        self._metrics.overwritten.inc(max(0.0, status["evicted"] - self._last["evicted"]))
        self._last["evicted"] = status["evicted"]
        for partition, records in lag.items():
            self._runtime.consumer_lag.labels(self._topic, str(partition), self._settings.group).set(records)

    def _count_read(self, stats: ReaderStats) -> None:
        before, self._read = self._read, stats
        repeats = stats.repeats - before.repeats
        self._runtime.records_consumed.labels(self._topic).inc(stats.records - before.records + repeats)
        self._runtime.bytes_consumed.labels(self._topic).inc(stats.size_bytes - before.size_bytes)
        self._runtime.repeats.labels(self._topic).inc(repeats)
        self._runtime.losses.labels(self._topic).inc(stats.lost_chunks - before.lost_chunks)
