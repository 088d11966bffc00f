"""One replay buffer for each layout: boards of another size cannot stand in the same arrays."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generals_schemas.records import ExperienceBatch
from generals_trainer.replay import ReplayBuffer
from generals_trainer.samples import Layout, LayoutMismatch, NotEnough, Sample, Snapshot
from generals_trainer.settings import ReplaySettings


@dataclass(frozen=True, slots=True, eq=False)
class BuffersSnapshot:
    """Of all buffers; with the log, enough to make them again."""

    buffers: tuple[Snapshot, ...]
    sequence: int
    generator: str

    def wanted(self) -> list[tuple[int, int, int]]:
        """(sequence, partition, offset) of every batch held, in the order of insertion."""
        rows = [tuple(map(int, row[2:])) for snapshot in self.buffers for row in snapshot.blocks]
        return sorted((sequence, partition, offset) for sequence, partition, offset in rows)


class ReplayBuffers:
    """Makes a buffer when the first batch of a layout comes, up to `settings.board_sizes`.

    All are of one encoding, the first batch's: a network reads one encoding. Samples come from one buffer at a time,
    each as often as its share of all steps that can be sampled.
    """

    def __init__(self, settings: ReplaySettings, *, seed: int) -> None:
        self.settings = settings
        self._seed = seed
        self._buffers: dict[Layout, ReplayBuffer] = {}
        self._generator = np.random.Generator(np.random.PCG64([seed, 1]))
        self._sequence = 0

    def __iter__(self) -> Iterator[ReplayBuffer]:
        return iter(self._buffers.values())

    def __len__(self) -> int:
        return len(self._buffers)

    @property
    def eligible(self) -> int:
        """Steps that can be sampled."""
        return sum(buffer.eligible for buffer in self)

    def total(self, counter: str) -> int:
        """The sum of a counter of all buffers, see `replay.Counters`."""
        return sum(int(getattr(buffer.counters, counter)) for buffer in self)

    def insert(self, batch: ExperienceBatch, *, partition: int, offset: int) -> int:
        """Take a batch in. Returns the steps inserted.

        Raises:
            LayoutMismatch: of another encoding than the first, or one board size too many.
        """
        inserted = self._buffer(Layout.of(batch)).insert(
            batch, sequence=self._sequence, partition=partition, offset=offset
        )
        self._sequence += 1
        return inserted

    def sample(self, count: int, *, beta: float) -> Sample:
        """`count` steps of one buffer.

        Raises:
            NotEnough: nothing can be sampled yet.
        """
        ready = [buffer for buffer in self if buffer.eligible]
        if not ready:
            raise NotEnough("no buffer has a step that can be sampled yet")
        if len(ready) == 1:
            return ready[0].sample(count, beta=beta)
        shares = np.cumsum([buffer.eligible for buffer in ready])
        chosen = int(np.searchsorted(shares, self._generator.random() * shares[-1], side="right"))
        return ready[min(chosen, len(ready) - 1)].sample(count, beta=beta)

    def update_priorities(self, sample: Sample, errors: NDArray[np.float32]) -> None:
        """The TD errors of a sample."""
        self._buffers[sample.layout].update_priorities(sample.serials, errors)

    def snapshot(self) -> BuffersSnapshot:
        generator = json.dumps(self._generator.bit_generator.state)
        return BuffersSnapshot(tuple(buffer.snapshot() for buffer in self), self._sequence, generator)

    def begin_refill(self, snapshot: BuffersSnapshot) -> None:
        """Make the buffers of a snapshot, empty; the batches of `snapshot.wanted()` are then given to `put_back`."""
        for part in snapshot.buffers:
            self._buffer(part.layout).begin_refill(part)

    def put_back(self, batch: ExperienceBatch, *, sequence: int, partition: int, offset: int) -> None:
        self._buffers[Layout.of(batch)].insert(batch, sequence=sequence, partition=partition, offset=offset)

    def end_refill(self, snapshot: BuffersSnapshot) -> None:
        for part in snapshot.buffers:
            self._buffers[part.layout].end_refill(part)
        self.resume(snapshot)

    def resume(self, snapshot: BuffersSnapshot) -> None:
        """Go on with a snapshot's order and random state, whatever became of the contents."""
        self._sequence = snapshot.sequence
        self._generator.bit_generator.state = json.loads(snapshot.generator)

    def clear(self) -> None:
        """Drop all contents."""
        self._buffers.clear()

    def _buffer(self, layout: Layout) -> ReplayBuffer:
        if layout not in self._buffers:
            self._check(layout)
            self._buffers[layout] = ReplayBuffer(
                layout,
                capacity=self.settings.capacity,
                n_step=self.settings.n_step,
                gamma=self.settings.gamma,
                bootstrap_truncated=self.settings.bootstrap_truncated,
                alpha=self.settings.alpha,
                seed=self._seed + len(self._buffers),
                directory=self.settings.directory,
            )
        return self._buffers[layout]

    def _check(self, layout: Layout) -> None:
        if len(self._buffers) >= self.settings.board_sizes:
            raise LayoutMismatch(
                f"boards of {layout} would need one more buffer than the {self.settings.board_sizes} allowed: "
                "raise trainer.replay.board_sizes"
            )
        for other in self._buffers:
            if _encoding(other) != _encoding(layout):
                raise LayoutMismatch(
                    f"a batch encoded as {layout.encoding} {dict(layout.encoding_params)} for a learner of "
                    f"{other.encoding} {dict(other.encoding_params)}: one trainer reads one encoding"
                )


def _encoding(layout: Layout) -> tuple[Any, ...]:
    return layout.encoding, layout.encoding_params, layout.scalars
