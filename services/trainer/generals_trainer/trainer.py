"""The trainer: experiences from the log into replay buffers, samples into the learner, checkpoints, policies out.

One thread owns buffers and learner and does everything in turn: whatever is behind its share goes next, a record to
insert or an update to make. Given the order of the records, the run is therefore a function of seed and settings.
Others read ahead (`feed`) and write checkpoints.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog
import torch

from generals_client.positions import Mark, Position
from generals_client.reader import Delivered, ReaderStats
from generals_runtime import tracing
from generals_runtime.kafka import connect
from generals_runtime.objects import open_store
from generals_runtime.service import Finished
from generals_schemas.encodings import get_encoding
from generals_schemas.records import ExperienceBatch
from generals_trainer import checkpoint
from generals_trainer.buffers import ReplayBuffers
from generals_trainer.checkpoint import Checkpoint, CheckpointError
from generals_trainer.feed import Feed
from generals_trainer.learner import Learner, device_named, learner_named
from generals_trainer.limiter import SamplesPerInsert
from generals_trainer.onnx_export import OnnxExport
from generals_trainer.policies import Publisher, layout_metadata
from generals_trainer.progress import Files
from generals_trainer.refill import RefillFailed, refill
from generals_trainer.reporting import Report
from generals_trainer.samples import Layout, LayoutMismatch, ReplayError, Sample
from generals_trainer.settings import TrainerSettings

FREE_INSERTS = 256

_log = structlog.get_logger("generals_trainer")


class Trainer:
    """The service. `on_sample` sees every sample before it is learnt from (tests compare runs by it)."""

    def __init__(self, settings: TrainerSettings, *, on_sample: Callable[[Sample], None] | None = None) -> None:
        self.settings = settings
        self._topic = settings.experiences
        self.buffers = ReplayBuffers(settings.replay, seed=settings.seed)
        self.limiter = SamplesPerInsert(settings.samples_per_insert, settings.replay.warmup)
        self.learner: Learner | None = None
        self._learner_type = learner_named(settings.learner.name)
        self.positions: dict[int, Position] = {}
        self.steps = 0
        self._layout: Layout | None = None
        self._on_sample = on_sample
        self.report = Report(settings)
        self._timers: dict[str, float] = {}
        self._feed: Feed | None = None
        self._files: Files | None = None
        self._publisher: Publisher | None = None
        self._export: OnnxExport | None = None
        self._tracing = tracing.default()
        self._share: tuple[int, int] | None = None
        self._writer = checkpoint.Writer(settings.run_dir)
        self.alive: Callable[[], None] = lambda: None
        self.version = 0
        self._rewards: list[str] = []
        self._idle = True

    def start(self) -> None:
        if self.settings.threads is not None:
            torch.set_num_threads(self.settings.threads)
        connect(self.settings.kafka)
        self._files = Files(self.settings.run_dir, tensorboard=self.settings.tensorboard)
        saved = self._load()
        if saved is not None:
            self._check_topic(saved)
            self._restore(saved)
        if self._publishes:
            self._publisher = Publisher(
                self.settings.kafka,
                open_store(self.settings.object_store),
                self.settings.policy,
                after=self.version,
            )
            self.version = self._publisher.version
        now = time.monotonic()
        self._timers = dict.fromkeys(("report", "checkpoint", "publish"), now)
        self._feed = self._open_feed()

    def run_once(self, timeout_s: float) -> None:
        until = time.monotonic() + timeout_s
        while time.monotonic() < until and not self._finished:
            self._idle = False
            if self.settings.samples_per_insert is None:
                self._insert_what_is_there(until)
            if self._learning_is_due():
                self._learn()
            elif not self._insert_next(max(0.0, until - time.monotonic())):
                self._idle = True
        self._housekeeping()
        if self._finished:
            raise Finished(f"{self.steps} updates made")

    def stop(self) -> None:
        """The last checkpoint, whose positions the group's offsets follow; then what may take long; then close."""
        self._save()
        self._writer.wait()
        self._publish()
        if self._feed is not None:
            self._feed.close()
        if self._publisher is not None:
            self._publisher.close()
        self._write_report("stopped")
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
    def _publishes(self) -> bool:
        return self.settings.publish_every_s is not None

    @property
    def _finished(self) -> bool:
        return self.settings.max_steps is not None and self.steps >= self.settings.max_steps

    @property
    def _progress(self) -> dict[str, int]:
        return {
            "steps": self.steps,
            "inserted": self.limiter.inserted,
            "sampled": self.limiter.sampled,
            "version": self.version,
        }

    def _open_feed(self) -> Feed:
        kafka = self.settings.kafka
        config = {key: value for key, value in kafka.client_config().items() if key != "bootstrap.servers"}
        # A successor under the same name takes the partitions over at once, without waiting for the dead to time out.
        # With the topic: Kafka would give a member that comes back for another topic the partitions of before.
        config |= {"group.instance.id": f"{self.settings.group}-{self._topic}", "session.timeout.ms": 10_000}
        return Feed(
            bootstrap_servers=kafka.bootstrap_servers,
            group=self.settings.group,
            topic=self._topic,
            start=list(self.positions.values()) or "earliest",
            read_ahead=self.settings.read_ahead,
            client_config=config,
            with_headers=self._tracing is not None,
            share=self._share,
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
        begun_ns = time.time_ns()
        self._take(delivered)
        if self._tracing is not None:
            self._trace(self._tracing, delivered, begun_ns)
        return True

    def _trace(self, follower: tracing.Tracing, delivered: Delivered, begun_ns: int) -> None:
        """The end of a followed batch's way: it lies in the replay buffer."""
        where = {"partition": delivered.partition, "offset": delivered.offset, "player": delivered.batch.player}
        span = follower.follow(delivered.headers, "insert batch", where, start_ns=begun_ns)
        if span is not None:
            span.end()

    def _insert_what_is_there(self, until: float) -> None:
        """Without a ratio to keep: all that has been read goes in between two updates, within bounds."""
        for _ in range(FREE_INSERTS):
            if time.monotonic() >= until or not self._insert_next(0.0):
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
            self.report.left_out(batch, reason)
        source = batch.source
        self.positions[delivered.partition] = Position(
            self._topic,
            delivered.partition,
            delivered.offset + 1,
            Mark(source.offset, source.index, source.count),
            source.topic_id,
        )

    def _why_not(self, batch: ExperienceBatch) -> str | None:
        if batch.rejected is not None:
            return "rejected by validation"
        wanted = self.settings.learn_from
        if wanted is not None and batch.policy.name not in wanted:
            return "of a policy not learnt from"
        limit = self.settings.max_staleness
        own = batch.policy.name == self.settings.policy
        if limit is not None and own and self.version - batch.policy.version > limit:
            return "made by a version too far behind"
        return None

    def _count_inserted(self, batch: ExperienceBatch, count: int) -> None:
        self.limiter.inserted += count
        self._note_reward(batch)
        self.report.inserted(batch)
        if self.learner is None:
            self._make_learner(Layout.of(batch))

    def _note_reward(self, batch: ExperienceBatch) -> None:
        reward = f"{batch.reward} {dict(batch.reward_params)}"
        if reward not in self._rewards:
            if self._rewards:
                _log.warning("another reward comes; the buffers hold both", reward=reward, before=self._rewards.copy())
            self._rewards.append(reward)

    def _make_learner(self, layout: Layout) -> Learner:
        device = device_named(self.settings.device)
        self.learner = self._learner_type(layout, self.settings.learner, device=device, seed=self.settings.seed)
        self._layout = layout
        _log.info("learner made", learner=self.settings.learner.name, encoding=layout.encoding, device=str(device))
        return self.learner

    def _learn(self) -> None:
        """Draw a batch and make an update."""
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
        self.report.learnt(sample, learnt, version=self.version, seconds=time.perf_counter() - begun)

    def _housekeeping(self) -> None:
        if self._due("checkpoint", self.settings.checkpoint_every_s) and not self._writer.busy:
            self._save()
        self._publish_if_due()
        if self._due("report", self.settings.log_every_s):
            self._write_report("waiting" if self._idle else "training" if self.steps else "warming up")

    def _due(self, name: str, every_s: float) -> bool:
        now = time.monotonic()
        if now - self._timers[name] < every_s:
            return False
        self._timers[name] = now
        return True

    def _publish_if_due(self) -> None:
        if self._publisher is not None and self._due("publish", self.settings.publish_every_s or 0.0):
            self._publish()

    def _publish(self) -> None:
        if self._publisher is None or self.learner is None or self._layout is None or not self.steps:
            return
        if self._export is None:
            self._export = OnnxExport(_channels(self._layout))
        metadata = {
            **layout_metadata(self._layout),
            "split_moves": "true" if self.settings.learner.split_moves else "false",
            "trainer_steps": str(self.steps),
            "experiences": str(self.limiter.inserted),
        }
        self.version = self._publisher.publish(self._export.make(self.learner.published, metadata), metadata).version
        self.report.published(self.version)

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
        self.report.saved(seconds)
        if self._feed is not None:
            self._feed.commit(list(saved.positions))

    def _load(self) -> Checkpoint | None:
        saved = checkpoint.load(self.settings.run_dir)
        if saved is not None and "world" in saved.progress:
            raise CheckpointError(
                f"the checkpoint in {self.settings.run_dir} is of a job of ranks, of which this process would see a"
                " part; go on from it with: torchrun --nproc-per-node=1 -m generals_trainer"
            )
        return saved

    def _check_topic(self, saved: Checkpoint) -> None:
        for topic in {position.topic for position in saved.positions} - {self._topic}:
            raise CheckpointError(
                f"the checkpoint in {self.settings.run_dir} has read {topic}, and {self._topic} is to be read now: "
                "name that topic in trainer.topic, or take another run_dir and group"
            )

    def _restore(self, saved: Checkpoint) -> None:
        self._make_learner(saved.layout).restore(saved.learner)
        self.positions = {position.partition: position for position in saved.positions}
        self._resume(saved.progress)
        begun = time.monotonic()
        try:
            self._refill(saved)
        except (RefillFailed, ReplayError) as error:
            self._start_empty(error)
            self.buffers.resume(saved.buffers)
        self._say_resumed(begun)

    def _start_empty(self, error: Exception) -> None:
        _log.error("the buffers could not be refilled and start empty", reason=str(error))
        self.buffers.clear()
        self._rewards.clear()

    def _resume(self, progress: Mapping[str, int]) -> None:
        self.limiter.inserted, self.limiter.sampled = progress["inserted"], progress["sampled"]
        self.steps, self.version = progress["steps"], progress["version"]
        self.report.resumed(inserted=self.limiter.inserted, sampled=self.limiter.sampled, steps=self.steps)

    def _say_resumed(self, begun: float) -> None:
        _log.info(
            "gone on from a checkpoint",
            trainer_steps=self.steps,
            experiences_inserted=self.limiter.inserted,
            refilled_batches=sum(len(buffer.blocks) for buffer in self.buffers),
            seconds=round(time.monotonic() - begun, 1),
        )

    def _refill(self, saved: Checkpoint) -> None:
        self.buffers.begin_refill(saved.buffers)
        wanted = saved.buffers.wanted()
        for sequence, partition, offset, batch in refill(self.settings.kafka, self._topic, wanted, alive=self.alive):
            self.buffers.put_back(batch, sequence=sequence, partition=partition, offset=offset)
            self._note_reward(batch)
            self.alive()
        self.buffers.end_refill(saved.buffers)

    def status(self, state: str) -> dict[str, Any]:
        """The numbers of a report, see `reporting`."""
        return self.report.status(
            state,
            steps=self.steps,
            version=self.version,
            limiter=self.limiter,
            buffers=self.buffers,
            stats=self._feed.stats if self._feed is not None else ReaderStats(),
            lag=self._feed.lag() if self._feed is not None else {},
        )

    def _write_report(self, state: str) -> None:
        status = self.status(state)
        _log.info("progress", **status)
        if self._files is not None:
            self._files.write(status)


def _channels(layout: Layout) -> int:
    return len(get_encoding(layout.encoding).channels)
