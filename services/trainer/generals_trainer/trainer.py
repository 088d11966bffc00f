"""The trainer: experiences from the log into replay buffers, samples into the learner, checkpoints, policies out.

One thread owns buffers and learner and does everything in turn: whatever is behind its share goes next, a record to
insert or an update to make. Given the order of the records, the run is therefore a function of seed and settings.
Others read ahead (`feed`) and write checkpoints.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import structlog
import torch

from generals_client.positions import Mark, Position
from generals_client.reader import Delivered
from generals_runtime import metrics
from generals_runtime.objects import open_store
from generals_runtime.service import Finished
from generals_schemas.records import ExperienceBatch
from generals_trainer import checkpoint
from generals_trainer.buffers import ReplayBuffers
from generals_trainer.checkpoint import Checkpoint
from generals_trainer.feed import Feed
from generals_trainer.learner import Learner, Learnt, learner_named
from generals_trainer.limiter import SamplesPerInsert
from generals_trainer.onnx_export import OnnxExport
from generals_trainer.policies import Publisher, layout_metadata
from generals_trainer.progress import Files, Returns, Window
from generals_trainer.refill import RefillFailed, refill
from generals_trainer.samples import Layout, LayoutMismatch, ReplayError, Sample
from generals_trainer.settings import TrainerSettings

FREE_INSERTS = 256

_log = structlog.get_logger("generals_trainer")


class Trainer:
    """The service. `on_sample` sees every sample before it is learnt from (tests compare runs by it)."""

    def __init__(self, settings: TrainerSettings, *, on_sample: Callable[[Sample], None] | None = None) -> None:
        self.settings = settings
        self.buffers = ReplayBuffers(settings.replay, seed=settings.seed)
        self.limiter = SamplesPerInsert(settings.samples_per_insert, settings.replay.warmup)
        self.learner: Learner | None = None
        self.positions: dict[int, Position] = {}
        self.steps = 0
        self._layout: Layout | None = None
        self._on_sample = on_sample
        self._metrics = metrics.default().trainer
        self._runtime = metrics.default().runtime
        self._window = Window()
        self._returns = Returns()
        self._timers: dict[str, float] = {}
        self._counted: dict[str, int] = {}
        self._refused: dict[str, int] = {}
        self._feed: Feed | None = None
        self._files: Files | None = None
        self._publisher: Publisher | None = None
        self._export: OnnxExport | None = None
        self._writer = checkpoint.Writer(settings.run_dir)
        self._version = 0
        self._idle = True

    def start(self) -> None:
        if self.settings.threads is not None:
            torch.set_num_threads(self.settings.threads)
        self._files = Files(self.settings.run_dir, tensorboard=self.settings.tensorboard)
        saved = checkpoint.load(self.settings.run_dir)
        if saved is not None:
            self._restore(saved)
        if self.settings.publish_every_s is not None:
            self._publisher = Publisher(
                self.settings.kafka,
                open_store(self.settings.object_store),
                self.settings.policy,
                after=self._version,
            )
            self._version = self._publisher.version
        now = time.monotonic()
        self._timers = dict.fromkeys(("report", "checkpoint", "publish"), now)
        self._feed = self._open_feed()

    def run_once(self, timeout_s: float) -> None:
        until = time.monotonic() + timeout_s
        while time.monotonic() < until and not self._finished:
            self._idle = False
            if self.settings.samples_per_insert is None:
                self._insert_what_is_there()
            if self._learning_is_due():
                self._learn()
            elif not self._insert_next(max(0.0, until - time.monotonic())):
                self._idle = True
        self._housekeeping()
        if self._finished:
            raise Finished(f"{self.steps} updates made")

    def stop(self) -> None:
        """Intake first; then the last checkpoint, whose positions the group's offsets follow; then close."""
        if self._publisher is not None and self.learner is not None:
            self._publish()
        self._save()
        self._writer.wait()
        if self._feed is not None:
            self._feed.close()
        if self._publisher is not None:
            self._publisher.close()
        self._report("stopped")
        if self._files is not None:
            self._files.close()

    def abort(self) -> None:
        """Leave the group; the successor goes on from the last checkpoint."""
        if self._feed is not None:
            self._feed.close()

    def not_ready(self) -> str | None:
        if self._feed is None or not self._feed.assignment:
            return "no partition of the experiences topic is assigned yet"
        return None

    @property
    def _finished(self) -> bool:
        return self.settings.max_steps is not None and self.steps >= self.settings.max_steps

    @property
    def _progress(self) -> dict[str, int]:
        return {
            "steps": self.steps,
            "inserted": self.limiter.inserted,
            "sampled": self.limiter.sampled,
            "version": self._version,
        }

    def _open_feed(self) -> Feed:
        kafka = self.settings.kafka
        config = {key: value for key, value in kafka.client_config().items() if key != "bootstrap.servers"}
        # A successor under the same name takes the partitions over at once, without waiting for the dead to time out.
        config |= {"group.instance.id": f"{self.settings.group}-0", "session.timeout.ms": 10_000}
        return Feed(
            bootstrap_servers=kafka.bootstrap_servers,
            group=self.settings.group,
            topic=kafka.topics().experiences.name,
            start=list(self.positions.values()) or "earliest",
            read_ahead=self.settings.read_ahead,
            client_config=config,
        )

    def _learning_is_due(self) -> bool:
        return self.buffers.eligible > 0 and self.limiter.may_sample(self.settings.learner.batch_size)

    def _insert_next(self, timeout_s: float) -> bool:
        """Whether there was a record in time."""
        if self._feed is None:
            raise RuntimeError("the trainer has not been started")
        delivered = self._feed.take(timeout_s)
        if delivered is None:
            return False
        self._take(delivered)
        return True

    def _insert_what_is_there(self) -> None:
        """Without a ratio to keep: all that has been read goes in between two updates, within bounds."""
        for _ in range(FREE_INSERTS):
            if not self._insert_next(0.0):
                return

    def _take(self, delivered: Delivered) -> None:
        batch = delivered.batch
        reason = self._why_not(batch)
        if reason is None:
            try:
                count = self.buffers.insert(batch, partition=delivered.partition, offset=delivered.offset)
                self._count_inserted(batch, count)
            except LayoutMismatch as mismatch:
                reason = str(mismatch)
        if reason is not None:
            self._refuse(reason)
        source = batch.source
        self.positions[delivered.partition] = Position(
            self.settings.kafka.topics().experiences.name,
            delivered.partition,
            delivered.offset + 1,
            Mark(source.offset, source.index, source.count),
            source.topic_id,
        )

    def _why_not(self, batch: ExperienceBatch) -> str | None:
        if batch.rejected is not None:
            return "rejected by validation"
        limit = self.settings.max_staleness
        own = batch.policy.name == self.settings.policy
        if limit is not None and own and self._version - batch.policy.version > limit:
            return "made by a version too far behind"
        return None

    def _refuse(self, reason: str) -> None:
        if reason not in self._refused:
            _log.warning("batches are left out", reason=reason)
        self._refused[reason] = self._refused.get(reason, 0) + 1

    def _count_inserted(self, batch: ExperienceBatch, count: int) -> None:
        self.limiter.inserted += count
        self._metrics.inserted.inc(count)
        self._returns.add(batch)
        if self.learner is None:
            self._make_learner(Layout.of(batch))

    def _make_learner(self, layout: Layout) -> Learner:
        name = self.settings.device
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else torch.device(name)
        make = learner_named(self.settings.learner.name)
        self.learner = make(layout, self.settings.learner, device=device, seed=self.settings.seed)
        self._layout = layout
        _log.info("learner made", learner=self.settings.learner.name, encoding=layout.encoding, device=str(device))
        return self.learner

    def _learn(self) -> None:
        if self.learner is None:
            raise RuntimeError("there is no learner before the first batch")
        begun = time.perf_counter()
        count = self.settings.learner.batch_size
        sample = self.buffers.sample(count, beta=self.settings.replay.beta_at(self.steps))
        if self._on_sample is not None:
            self._on_sample(sample)
        learnt = self.learner.learn(sample)
        self.buffers.update_priorities(sample, learnt.errors)
        self.limiter.sampled += count
        self.steps += 1
        self._count_learnt(sample, learnt, time.perf_counter() - begun)

    def _count_learnt(self, sample: Sample, learnt: Learnt, seconds: float) -> None:
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
        names = self.buffers.policy_names(sample)
        own = names.index(self.settings.policy) if self.settings.policy in names else -1
        staleness = self._version - sample.policy_versions[sample.policies == own].astype(np.int64)
        self._window.add_sampled(staleness, sample.ages)
        self._metrics.staleness.observe(staleness)
        self._metrics.steps.inc()
        self._metrics.sampled.inc(len(sample))
        self._metrics.step_seconds.observe(seconds)
        self._metrics.loss.set(learnt.loss)
        self._metrics.td_error.set(error)
        self._metrics.q_value.set(learnt.value)
        self._metrics.gradient_norm.set(learnt.gradient_norm)

    def _housekeeping(self) -> None:
        if self._due("checkpoint", self.settings.checkpoint_every_s) and not self._writer.busy:
            self._save()
        if self._publisher is not None and self._due("publish", self.settings.publish_every_s or 0.0):
            self._publish()
        if self._due("report", self.settings.log_every_s):
            self._report("waiting" if self._idle else "training" if self.steps else "warming up")

    def _due(self, name: str, every_s: float) -> bool:
        now = time.monotonic()
        if now - self._timers[name] < every_s:
            return False
        self._timers[name] = now
        return True

    def _publish(self) -> None:
        if self._publisher is None or self.learner is None or self._layout is None or not self.steps:
            return
        if self._export is None:
            self._export = OnnxExport(_channels(self._layout))
        metadata = {
            **layout_metadata(self._layout),
            "trainer_steps": str(self.steps),
            "experiences": str(self.limiter.inserted),
        }
        self._version = self._publisher.publish(self._export.make(self.learner.network, metadata), metadata).version
        self._metrics.policy_version.set(self._version)

    def _save(self) -> None:
        if self.learner is None or self._layout is None:
            return
        state = Checkpoint(
            layout=self._layout,
            learner=self.learner.state(),
            buffers=self.buffers.snapshot(),
            positions=tuple(self.positions.values()),
            progress=self._progress,
        )
        self._writer.start(state, self._saved)

    def _saved(self, saved: Checkpoint, seconds: float) -> None:
        self._metrics.checkpoint_seconds.observe(seconds)
        self._metrics.checkpoint_time.set_to_current_time()
        if self._feed is not None:
            self._feed.commit(list(saved.positions))

    def _restore(self, saved: Checkpoint) -> None:
        self._make_learner(saved.layout).restore(saved.learner)
        self.positions = {position.partition: position for position in saved.positions}
        self.limiter.inserted, self.limiter.sampled = saved.progress["inserted"], saved.progress["sampled"]
        self.steps, self._version = saved.progress["steps"], saved.progress["version"]
        self._metrics.inserted.inc(self.limiter.inserted)
        self._metrics.steps.inc(self.steps)
        self._metrics.sampled.inc(self.limiter.sampled)
        begun = time.monotonic()
        try:
            self._refill(saved)
        except (RefillFailed, ReplayError) as error:
            _log.error("the buffers could not be refilled and start empty", reason=str(error))
            self.buffers.clear()
            self.buffers.resume(saved.buffers)
        _log.info(
            "gone on from a checkpoint",
            trainer_steps=self.steps,
            experiences_inserted=self.limiter.inserted,
            refilled_batches=sum(len(buffer.blocks) for buffer in self.buffers),
            seconds=round(time.monotonic() - begun, 1),
        )

    def _refill(self, saved: Checkpoint) -> None:
        self.buffers.begin_refill(saved.buffers)
        topic = self.settings.kafka.topics().experiences.name
        for sequence, partition, offset, batch in refill(self.settings.kafka, topic, saved.buffers.wanted()):
            self.buffers.put_back(batch, sequence=sequence, partition=partition, offset=offset)
        self.buffers.end_refill(saved.buffers)

    def _report(self, state: str) -> None:
        status = self.status(state)
        self._gauge(status)
        _log.info("progress", **status)
        if self._files is not None:
            self._files.write(status)

    def status(self, state: str) -> dict[str, Any]:
        """The numbers of a report. Rates are since the last one."""
        now = time.monotonic()
        seconds = max(now - self._timers.get("rates", now - 1e-9), 1e-9)
        self._timers["rates"] = now
        before, self._counted = self._counted, {"steps": self.steps, "inserted": self.limiter.inserted}
        stats = self._feed.stats if self._feed is not None else None
        return {
            "state": state,
            "trainer_steps": self.steps,
            "experiences_inserted": self.limiter.inserted,
            "experiences_sampled": self.limiter.sampled,
            "steps_per_s": round((self.steps - before.get("steps", self.steps)) / seconds, 2),
            "inserts_per_s": round(
                (self.limiter.inserted - before.get("inserted", self.limiter.inserted)) / seconds, 1
            ),
            "samples_per_insert": round(self.limiter.achieved, 4),
            "samples_per_insert_target": self.settings.samples_per_insert,
            "samples_per_insert_error": round(self.limiter.error, 5),
            "mean_return": self._returns.mean,
            "policy_version": self._version,
            "buffer_rows": sum(len(buffer) for buffer in self.buffers),
            "buffer_eligible": self.buffers.eligible,
            "buffer_boards": len(self.buffers),
            "buffer_bytes": sum(buffer.nbytes for buffer in self.buffers),
            "evicted": self.buffers.total("evicted"),
            "evicted_unused": self.buffers.total("evicted_unused"),
            "left_out": sum(self._refused.values()),
            "lag": sum(self._feed.lag().values()) if self._feed is not None else 0,
            "repeats": stats.repeats if stats else 0,
            "lost_chunks": stats.lost_chunks if stats else 0,
            "rejected": stats.rejected if stats else 0,
            **self._window.take(),
        }

    def _gauge(self, status: dict[str, Any]) -> None:
        capacity = sum(buffer.capacity for buffer in self.buffers)
        self._metrics.buffer_size.set(status["buffer_rows"])
        self._metrics.buffer_capacity.set(capacity)
        self._metrics.buffer_utilisation.set(status["buffer_rows"] / capacity if capacity else 0.0)
        self._metrics.buffer_bytes.set(status["buffer_bytes"])
        self._metrics.overwritten.inc(status["evicted"] - self._counted.get("evicted", 0))
        self._counted["evicted"] = status["evicted"]
        if self._feed is not None:
            topic = self.settings.kafka.topics().experiences.name
            for partition, lag in self._feed.lag().items():
                self._runtime.consumer_lag.labels(topic, str(partition), self.settings.group).set(lag)


def _channels(layout: Layout) -> int:
    from generals_schemas.encodings import get_encoding

    return len(get_encoding(layout.encoding).channels)
