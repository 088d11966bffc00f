"""The trainer as one of several ranks: partitions are shared, gradients averaged, everything else is in step.

Each rank has its own consumer, buffers and samples. torchrun says who belongs to the job, so partitions are dealt out
by rank: none moves while the job lives, and what one rank has inserted no other inserts again (ADR 0012).

Before every update the ranks agree, in one all-reduce, on what has been inserted, who has data, and whether to stop or
to save; so no rank waits for one that went another way, and a rank without data takes part without a batch. The
samples-per-insert ratio is kept for the job as a whole.

A checkpoint is rank 0's file, which holds weights and totals, and beside it one file a further rank with its positions
and buffers. The rank-0 file is replaced last: what it names is there. A job of another size may go on from it.
"""

import json
import time
from collections.abc import Callable, Iterable
from itertools import chain

from torch import Tensor

from generals_client.positions import Position
from generals_runtime.service import Finished
from generals_trainer import checkpoint
from generals_trainer.buffers import ReplayBuffers
from generals_trainer.checkpoint import Checkpoint, CheckpointError
from generals_trainer.learner import Learner, device_named
from generals_trainer.ranks import Ranks
from generals_trainer.refill import RefillFailed, refill
from generals_trainer.samples import Layout, ReplayError, Sample
from generals_trainer.settings import TrainerSettings
from generals_trainer.trainer import Trainer

SLICE_S = 0.1
"""A rank inserts for at most so long before the others are heard."""


class DistributedTrainer(Trainer):
    """One rank. `run_dir` is shared: all ranks read the checkpoint from it."""

    def __init__(self, settings: TrainerSettings, *, on_sample: Callable[[Sample], None] | None = None) -> None:
        self.ranks = Ranks(device_named(settings.device))
        self._shared = settings.run_dir
        own = settings.run_dir if self.ranks.rank == 0 else settings.run_dir / f"rank{self.ranks.rank}"
        super().__init__(settings.model_copy(update={"run_dir": own}), on_sample=on_sample)
        self.buffers = ReplayBuffers(settings.replay, seed=settings.seed + 1000 * self.ranks.rank)
        self._share = (self.ranks.rank, self.ranks.world)
        self._agreed = 0
        self._in_step = True

    def run_once(self, timeout_s: float) -> None:
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            self._insert_until_due(min(until, time.monotonic() + SLICE_S))
            contributors = self._agree(stop=False)
            if contributors and self.limiter.may_sample(contributors * self.settings.learner.batch_size):
                self._learn_together(contributors)
            if self._finished:
                self._in_step = False  # all ranks know, and none will ask again
                raise Finished(f"{self.steps} updates made")
        if self._due("report", self.settings.log_every_s):
            self._write_report("training" if self.steps else "warming up")

    def stop(self) -> None:
        """Let the others know, who then stop too; the checkpoint is made together."""
        if self._in_step:
            self._agree(stop=True, raising=False)
        self._save_together()
        super().stop()
        self.ranks.close()

    @property
    def _publishes(self) -> bool:
        return self.ranks.rank == 0 and super()._publishes

    def _insert_until_due(self, until: float) -> None:
        if self.settings.samples_per_insert is None:
            self._insert_what_is_there(until)
        batch = self.settings.learner.batch_size * self.ranks.world
        while time.monotonic() < until and not (self.buffers.eligible and self.limiter.may_sample(batch)):
            self._insert_next(max(0.0, until - time.monotonic()))

    def _agree(self, *, stop: bool, raising: bool = True) -> int:
        """Tell and hear: insertions, who can draw a batch, who stops, whether to save, who has a learner.

        Returns how many can draw.

        Raises:
            Finished: another rank stops.
        """
        ready = self.learner is not None and self.buffers.eligible > 0
        learners = [float(rank == self.ranks.rank and self.learner is not None) for rank in range(self.ranks.world)]
        save = self.ranks.rank == 0 and self._due("checkpoint", self.settings.checkpoint_every_s)
        inserted, able, stopping, saving, *have = self.ranks.sums(
            [self.limiter.inserted - self._agreed, ready, stop, save, *learners]
        )
        self.limiter.inserted = self._agreed = self._agreed + round(inserted)
        if 0 < sum(have) < self.ranks.world:
            self._make_learner_of(have.index(1.0))
        if stopping and raising:
            self._in_step = False
            raise Finished("another rank stops")
        if saving and not stopping:  # who stops saves by itself, and all together: not twice by some
            self._save_together()
        self._publish_if_due()
        return round(able)

    def _make_learner_of(self, rank: int) -> None:
        """Ranks without data yet make theirs of what a rank with data has seen."""
        layout = checkpoint.layout_from(self.ranks.share(json.dumps(self._layout), rank))
        if self.learner is None:
            self._make_learner(layout)

    def _make_learner(self, layout: Layout) -> Learner:
        learner = super()._make_learner(layout)
        learner.average_gradients = self._average
        return learner

    def _average(self, gradients: list[Tensor]) -> None:
        self.ranks.average(gradients, self._contributors)

    def _learn_together(self, contributors: int) -> None:
        self._contributors = contributors
        before = self.limiter.sampled
        if self.buffers.eligible and self.learner is not None:
            self._learn()
        elif self.learner is not None:
            self.learner.follow()
            self.steps += 1
        self.limiter.sampled = before + contributors * self.settings.learner.batch_size

    def _save_together(self) -> None:
        """The other ranks' parts first, then rank 0's file, then what is no longer named by it goes."""
        if self.ranks.rank and self.learner is not None and self._layout is not None:
            part = Checkpoint(
                layout=self._layout,
                learner={},
                buffers=self.buffers.snapshot(),
                positions=tuple(self.positions.values()),
                progress=self._progress,
            )
            checkpoint.save(part, self._shared, _part(self.ranks.rank, self.steps))
        self.ranks.sums([0.0])
        if self.ranks.rank == 0:
            self._save()
            self._writer.wait()
        self.ranks.sums([0.0])
        if self.ranks.rank:
            for file in self._shared.glob(f"rank{self.ranks.rank}-*.pt"):
                if file.name != _part(self.ranks.rank, self.steps):
                    file.unlink()
            if self._feed is not None:
                self._feed.commit(list(self.positions.values()))

    def _save(self) -> None:
        if self.ranks.rank == 0:
            super()._save()

    @property
    def _progress(self) -> dict[str, int]:
        return {**super()._progress, "world": self.ranks.world}

    def _load(self) -> Checkpoint | None:
        return checkpoint.load(self._shared)

    def _restore(self, saved: Checkpoint) -> None:
        parts = [saved, *(self._load_part(rank, saved) for rank in range(1, saved.progress.get("world", 1)))]
        self._make_learner(saved.layout).restore(saved.learner)
        self.positions = _furthest(chain.from_iterable(part.positions for part in parts))
        self._resume(saved.progress)
        self._agreed = self.limiter.inserted
        begun = time.monotonic()
        try:
            if len(parts) == self.ranks.world:
                self._refill(parts[self.ranks.rank])
            else:
                self._refill_anew(parts)
        except (RefillFailed, ReplayError) as error:
            self._start_empty(error)
        self._say_resumed(begun)

    def _load_part(self, rank: int, saved: Checkpoint) -> Checkpoint:
        part = checkpoint.load(self._shared, _part(rank, saved.progress["steps"]))
        if part is None:
            raise CheckpointError(f"{self._shared / _part(rank, saved.progress['steps'])} is missing")
        return part

    def _refill_anew(self, parts: list[Checkpoint]) -> None:
        """The job has another size than before: the ranks share what the parts held, priorities begin anew."""
        mine = parts[self.ranks.rank :: self.ranks.world]
        held = {(partition, offset) for part in mine for _, partition, offset in part.buffers.wanted()}
        ordered = sorted(held, key=lambda place: (place[1], place[0]))
        wanted = [(sequence, partition, offset) for sequence, (partition, offset) in enumerate(ordered)]
        for _, partition, offset, batch in refill(self.settings.kafka, self._topic, wanted, alive=self.alive):
            self.buffers.insert(batch, partition=partition, offset=offset)
            self._note_reward(batch)
            self.alive()


def _part(rank: int, steps: int) -> str:
    return f"rank{rank}-{steps}.pt"


def _furthest(positions: Iterable[Position]) -> dict[int, Position]:
    """Of each partition the furthest: ranks remember partitions that others have taken over since."""
    found: dict[int, Position] = {}
    for position in positions:
        if position.partition not in found or found[position.partition].offset < position.offset:
            found[position.partition] = position
    return found
