"""The replay buffer: experience batches go in as they come from the log, samples come out packed.

States are stored once: a row is a state with the step taken from it, its successor is a link. An n-step window follows
the links, so it crosses chunk borders: the next chunk of the same (game, player) is tied to the last step of the one
before. A step can be sampled once its window is complete, or once the game ended for the player. Windows stop behind a
terminated step (discount 0) and at a truncated game's last state, from which they bootstrap (unless a draw is to end
there); so do those of a chain whose next chunk was missed.

The oldest batches leave as wholes. Links lead only to newer rows, so what leaves never breaks what stays.

Pure: no Kafka, clock or log here; randomness from the buffer's own generator. Not thread-safe: one thread owns it.
"""

import tempfile
from collections import deque
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from generals_client.expand import AnyArmies
from generals_schemas.records import Armies, ExperienceBatch
from generals_trainer import replay_kernels as kernels
from generals_trainer.samples import (
    BatchTooLarge,
    Block,
    Counters,
    Layout,
    LayoutMismatch,
    NotEnough,
    ReplayError,
    Sample,
    Snapshot,
    States,
)
from generals_trainer.sumtree import SumTree

PRIORITY_FLOOR = 1e-3
"""Added to every |TD error|: no step becomes impossible to sample."""
_NONE = np.empty(0, np.int64)
_NO_LOG_PROBS = np.empty(0, np.float32)
_NO_LOG_PROBS.flags.writeable = False  # as decoded ones are: for a writable array kernels are compiled once more
LARGE_ARMIES_PER_ROW = 4.0
"""Room for armies above 255, in tiles a row on average; beyond it the oldest batches leave earlier."""


class _Chain(NamedTuple):
    """The open end of one (game, player): which chunk comes next, and which steps wait for it."""

    next_chunk: int
    next_tick: int
    last: int
    waiting: tuple[int, ...]


class ReplayBuffer:
    """A ring of `capacity` rows; each batch takes its steps and one row more."""

    def __init__(
        self,
        layout: Layout,
        *,
        capacity: int,
        n_step: int = 1,
        gamma: float = 0.99,
        bootstrap_truncated: bool = True,
        alpha: float = 0.6,
        seed: int = 0,
        large_armies_per_row: float = LARGE_ARMIES_PER_ROW,
        directory: Path | None = None,
    ) -> None:
        """bootstrap_truncated: whether a truncated game's last state is worth anything.

        alpha: 0 samples uniformly.  directory: states lie in a memory-mapped file there instead of in memory; it has
        no name and goes with the process, for contents come from the log.
        """
        _check_arguments(capacity, n_step, gamma, alpha)
        self.layout, self.capacity, self.n_step, self.gamma, self.alpha = layout, capacity, n_step, gamma, alpha
        self._final = ("terminated",) if bootstrap_truncated else ("terminated", "truncated")
        self._state_bytes = layout.tiles + len(layout.planes) * layout.bytes_per_plane
        self._states = _allocate((capacity, self._state_bytes), directory)
        self._scalars = np.empty((capacity, len(layout.scalars)), np.float32)
        self._steps = np.empty(capacity, kernels.STEP)
        self._uses = np.zeros(capacity, np.uint16)
        self._extra_start = np.empty(capacity, np.int64)
        self._extra_count = np.zeros(capacity, np.uint16)
        extras = max(layout.tiles, int(capacity * large_armies_per_row))
        self._extra_tile = np.empty(extras, np.uint16)
        self._extra_high = np.empty(extras, np.uint32)
        self._tree = SumTree(capacity)
        self._generator = np.random.Generator(np.random.PCG64(seed))
        self._blocks: deque[Block] = deque()
        self._chains: dict[tuple[str, int], _Chain] = {}
        self._head = 0
        self._oldest = 0
        self._extras_head = 0
        self._extras_oldest = 0
        self._max_leaf = 1.0
        self.eligible = 0
        self.policy_names: list[str] = []
        self.counters = Counters()

    def __len__(self) -> int:
        """Rows in use."""
        return self._head - self._oldest

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, memory-mapped or not."""
        arrays = [value for value in vars(self).values() if isinstance(value, np.ndarray)]
        return self._tree.nbytes + sum(int(array.nbytes) for array in arrays)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The batches it holds, oldest first."""
        return tuple(self._blocks)

    def insert(self, batch: ExperienceBatch, *, sequence: int = 0, partition: int = -1, offset: int = -1) -> int:
        """Take a batch in; the oldest leave to make room. Returns the steps inserted.

        Raises:
            LayoutMismatch: the batch is of another shape or encoding.
            BatchTooLarge: the whole buffer would not hold it.
            ReplayError: it holds no step.
        """
        if Layout.of(batch) != self.layout:
            raise LayoutMismatch(f"a batch of {Layout.of(batch)} for a buffer of {self.layout}: give it its own")
        if batch.steps == 0:
            raise ReplayError("a batch without steps (a rejected marker?) cannot be inserted")
        rows = batch.steps + 1
        large = _above_a_byte(batch.armies)
        self._make_room(rows, len(large))
        first = self._head
        self._write(first, batch)
        self._write_extras(first, batch, large)
        self._head += rows
        self._blocks.append(Block(first, rows, sequence, partition, offset))
        self._link(first, batch)
        self.counters.inserted += batch.steps
        return batch.steps

    def sample(self, count: int, *, beta: float = 1.0) -> Sample:
        """`count` steps, with replacement, stratified, each with a chance proportional to its priority ** alpha.

        beta: how far importance weights correct for that (0 not at all, 1 fully).

        Raises:
            NotEnough: no step's window is complete yet.
        """
        total = self._tree.total()
        if self.eligible == 0 or total <= 0.0:
            raise NotEnough(f"no step of the {len(self)} rows in the buffer of {self.layout} can be sampled yet")
        strata = (np.arange(count) + self._generator.random(count)) * (total / count)
        rows = self._tree.find(strata)
        kernels.count_use(rows, self._uses)
        self.counters.sampled += count
        return self._read(rows, self._weights(rows, total, beta))

    def update_priorities(self, serials: NDArray[np.int64], errors: NDArray[np.float32]) -> None:
        """Steps `serials` were learnt from with TD `errors`. Steps that have left are passed over.

        serials: `[N]`.  errors: `[N]`.

        Raises:
            ValueError: an error is not finite. Without priorities too: the trainer learns of it here alone, and would
                go on to save such weights over the last good ones.
        """
        if not np.isfinite(errors).all():
            raise ValueError("a TD error is NaN or infinite: the learner has diverged")
        if self.alpha == 0.0:
            return
        rows = np.empty(len(serials), np.int64)
        leaves = np.empty(len(serials), np.float32)
        count = kernels.to_leaves(
            errors, serials, self._oldest, self.capacity, self.alpha, PRIORITY_FLOOR, rows, leaves
        )
        if count:
            self._tree.set(rows[:count], leaves[:count])
            self._max_leaf = max(self._max_leaf, float(leaves[:count].max()))

    def snapshot(self) -> Snapshot:
        """Order, priorities and random state: a copy that can be written while the buffer goes on."""
        rows = self._rows(self._oldest, len(self))
        return Snapshot(
            layout=self.layout,
            capacity=self.capacity,
            blocks=np.array(self._blocks, np.int64).reshape(-1, len(Block._fields)),
            leaves=self._tree.leaves[rows],
            uses=self._uses[rows],
            head=self._head,
            max_leaf=self._max_leaf,
            generator=self._generator.bit_generator.state,  # type: ignore[arg-type]
            counters={name: getattr(self.counters, name) for name in Counters.__slots__},
        )

    def begin_refill(self, snapshot: Snapshot) -> None:
        """Make an empty buffer ready for the batches of `snapshot.blocks`, to be inserted in their order.

        Raises:
            ReplayError: the buffer is not empty, or is not like the one that the snapshot was taken of.
        """
        if len(self) or snapshot.layout != self.layout or snapshot.capacity != self.capacity:
            raise ReplayError(
                f"a snapshot of {snapshot.capacity} rows of {snapshot.layout} needs an empty buffer like it, "
                f"not one of {self.capacity} rows of {self.layout} with {len(self)} in use"
            )
        self._head = self._oldest = int(snapshot.blocks[0, 0]) if len(snapshot.blocks) else snapshot.head

    def end_refill(self, snapshot: Snapshot) -> None:
        """All batches are back: take over priorities, random state and counters.

        Raises:
            ReplayError: what was inserted is not what the snapshot lists.
        """
        found = np.array(self._blocks, np.int64).reshape(-1, len(Block._fields))
        if not np.array_equal(found, snapshot.blocks):
            raise ReplayError(f"refilled {len(found)} batches that are not the {len(snapshot.blocks)} of the snapshot")
        rows = self._rows(self._oldest, len(self))
        leaves = np.zeros(self.capacity, np.float32)
        # Where priorities are turned off now, those of before are none: each step that could be drawn counts the same.
        leaves[rows] = snapshot.leaves if self.alpha else snapshot.leaves > 0
        self._tree.load(leaves)
        self._uses[rows] = snapshot.uses
        self._max_leaf = snapshot.max_leaf if self.alpha else 1.0
        self._generator.bit_generator.state = snapshot.generator
        self.eligible = int(np.count_nonzero(snapshot.leaves))
        # By name: snapshots of earlier programs have more of them.
        self.counters = Counters(**{name: snapshot.counters[name] for name in Counters.__slots__})

    def _rows(self, first: int, count: int) -> NDArray[np.int64]:
        return np.arange(first, first + count, dtype=np.int64) % self.capacity

    def _make_room(self, rows: int, extras: int) -> None:
        if rows > self.capacity or extras > len(self._extra_tile):
            raise BatchTooLarge(
                f"a batch of {rows} rows and {extras} armies above 255 exceeds a buffer of {self.capacity} rows "
                f"and {len(self._extra_tile)} such armies: raise trainer.replay.capacity"
            )
        while (
            self._head + rows - self._oldest > self.capacity
            or self._extras_head + extras - self._extras_oldest > len(self._extra_tile)
        ):
            self._evict(self._blocks.popleft())

    def _evict(self, block: Block) -> None:
        eligible, unused = kernels.leave(block.first, block.rows, self._uses, self._tree.leaves)
        self._fill(block.first, block.rows, 0.0)
        self.eligible -= eligible
        self.counters.evicted += block.rows - 1
        self.counters.evicted_unused += unused
        self._oldest = block.first + block.rows
        last = (self._oldest - 1) % self.capacity
        self._extras_oldest = int(self._extra_start[last]) + int(self._extra_count[last])

    def _write(self, first: int, batch: ExperienceBatch) -> None:
        """States and steps; of armies what is below 256."""
        kernels.write_states(
            batch.armies,
            batch.bits.reshape(batch.steps + 1, -1),
            batch.actions,
            batch.rewards,
            _NO_LOG_PROBS if batch.log_probs is None else batch.log_probs,
            first % self.capacity,
            self._policy_index(batch.policy.name),
            batch.policy.version,
            kernels.TERMINATED if batch.end in self._final else 0,
            self._extras_head,
            self._states,
            self._steps,
            self._uses,
            self._extra_start,
            self._extra_count,
        )
        if self.layout.scalars:
            self._scalars[self._rows(first, batch.steps + 1)] = batch.scalars

    def _write_extras(self, first: int, batch: ExperienceBatch, large: NDArray[np.int64]) -> None:
        """Armies above 255: their tile and `army >> 8`, in the rows' order. large: flat indices into the armies."""
        if not len(large):
            return
        slots = (self._extras_head + np.arange(len(large))) % len(self._extra_tile)
        self._extra_tile[slots] = large % self.layout.tiles
        self._extra_high[slots] = batch.armies.reshape(-1)[large] >> 8
        counts = np.bincount(large // self.layout.tiles, minlength=batch.steps + 1)
        rows = self._rows(first, batch.steps + 1)
        self._extra_count[rows] = counts
        self._extra_start[rows] = self._extras_head + np.cumsum(counts) - counts
        self._extras_head += len(large)

    def _policy_index(self, name: str) -> int:
        if name not in self.policy_names:
            self.policy_names.append(name)
        return self.policy_names.index(name)

    def _link(self, first: int, batch: ExperienceBatch) -> None:
        key = (batch.game_id, batch.player)
        waiting = self._continue(self._chains.pop(key, None), first, batch)
        steps = range(first, first + batch.steps)
        if batch.end != "none":
            self._allow_all(waiting)
            self._allow(first, batch.steps)
            return
        complete = batch.steps - (self.n_step - 1)
        if complete >= 0:
            self._allow_all(waiting)
            self._allow(first, complete)
            waiting = tuple(steps[complete:])
        else:
            merged = (*waiting, *steps)
            ready = max(0, len(merged) - (self.n_step - 1))
            self._allow_all(merged[:ready])
            waiting = merged[ready:]
        self._chains[key] = _Chain(batch.chunk + 1, batch.first_tick + batch.steps, steps[-1], waiting)
        self._forget_chains()

    def _continue(self, chain: _Chain | None, first: int, batch: ExperienceBatch) -> tuple[int, ...]:
        """Tie a chain's last step to row `first`. Returns the steps that go on waiting."""
        if chain is None or chain.last < self._oldest:
            return ()
        waiting = tuple(serial for serial in chain.waiting if serial >= self._oldest)
        if (batch.chunk, batch.first_tick) == (chain.next_chunk, chain.next_tick):
            self._steps["following"][chain.last % self.capacity] = first % self.capacity
            return waiting
        self._allow_all(waiting)
        return ()

    def _forget_chains(self) -> None:
        """Games that never ended leave open chains: once in a while drop those whose rows have all left."""
        if len(self._chains) > 2 * len(self._blocks) + 64:
            self._chains = {key: chain for key, chain in self._chains.items() if chain.last >= self._oldest}

    def _allow_all(self, serials: tuple[int, ...]) -> None:
        """Ascending serials, by runs without a gap: most often there is one."""
        first = 0
        for i in range(1, len(serials) + 1):
            if i == len(serials) or serials[i] != serials[i - 1] + 1:
                self._allow(serials[first], i - first)
                first = i

    def _allow(self, first: int, count: int) -> None:
        self._fill(first, count, self._max_leaf)
        self.eligible += count

    def _fill(self, first: int, count: int, leaf: float) -> None:
        start = first % self.capacity
        stop = min(start + count, self.capacity)
        self._tree.fill(start, stop, leaf)
        self._tree.fill(0, count - (stop - start), leaf)

    def _weights(self, rows: NDArray[np.int64], total: float, beta: float) -> NDArray[np.float32]:
        # In float32 numpy has vectors for logarithm and exponential, for powers in float64 it has none.
        shares = self._tree.leaves.take(rows) * np.float32(self.eligible / total)
        weights = np.exp(np.float32(-beta) * np.log(shares))
        scaled: NDArray[np.float32] = weights / weights.max()
        return scaled

    def _read(self, rows: NDArray[np.int64], weights: NDArray[np.float32]) -> Sample:
        count = len(rows)
        returns, discounts = np.empty(count, np.float32), np.empty(count, np.float32)
        lengths, ends = np.empty(count, np.int32), np.empty(count, np.int64)
        kernels.walk(
            rows,
            self.n_step,
            self.gamma,
            self._steps,
            returns,
            discounts,
            lengths,
            ends,
        )
        serials = self._oldest + (rows - self._oldest) % self.capacity
        steps = self._steps.take(rows)
        both = self._unpack(np.concatenate((rows, ends)))
        states, next_states = both.part(slice(0, count)), both.part(slice(count, None))
        return Sample(
            layout=self.layout,
            serials=serials,
            states=states,
            next_states=next_states,
            actions=steps["action"].copy(),
            returns=returns,
            discounts=discounts,
            lengths=lengths,
            weights=weights,
            ages=self._head - 1 - serials,
            policies=steps["policy"].copy(),
            policy_versions=steps["version"].copy(),
            log_probs=steps["log_prob"].copy(),
            policy_names=tuple(self.policy_names),
        )

    def _unpack(self, rows: NDArray[np.int64]) -> States:
        tiles, planes = self.layout.tiles, len(self.layout.planes)
        # Rows are in range; "clip" spares numpy a copy made in case they were not.
        packed = np.take(self._states, rows, axis=0, mode="clip")
        armies = self._with_extras(packed[:, :tiles], rows)
        bits = np.ascontiguousarray(packed[:, tiles:]).reshape(len(rows), planes, -1)
        return States(armies, bits, self._scalars.take(rows, axis=0))

    def _with_extras(self, low: NDArray[np.uint8], rows: NDArray[np.int64]) -> AnyArmies:
        """Armies from their low bytes, no wider than they must be: most samples have none above 255."""
        if not self._extra_count.take(rows).any():
            return np.ascontiguousarray(low)
        extras = (rows, self._extra_start, self._extra_count, self._extra_tile, self._extra_high)
        armies = low.astype(np.uint16)
        if kernels.add_extras(armies, *extras):
            return armies
        wide = low.astype(np.uint32)
        kernels.add_extras(wide, *extras)
        return wide


def _above_a_byte(armies: Armies) -> NDArray[np.int64]:
    """Flat indices of armies above 255; most batches have none."""
    some = kernels.bits_of_all(armies, np.empty(1, armies.dtype)) > 255
    return np.flatnonzero(armies > 255) if some else _NONE


def _check_arguments(capacity: int, n_step: int, gamma: float, alpha: float) -> None:
    if not 2 <= capacity < 2**31:
        raise ValueError(f"capacity is {capacity} rows, must be 2 … {2**31 - 1}")
    if n_step < 1:
        raise ValueError(f"n_step is {n_step}, must be at least 1")
    if not 0.0 <= gamma <= 1.0:
        raise ValueError(f"gamma is {gamma}, must be in 0 … 1")
    if alpha < 0.0:
        raise ValueError(f"alpha is {alpha}, must not be negative (0 samples uniformly)")


def _allocate(shape: tuple[int, int], directory: Path | None) -> NDArray[np.uint8]:
    if directory is None:
        return np.empty(shape, np.uint8)
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=directory) as file:  # a name could be another buffer's, or another rank's
        return np.memmap(file, np.uint8, "w+", shape=shape).view(np.ndarray)
