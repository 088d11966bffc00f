"""`ExperienceStream`: the experiences topic as batches of numpy arrays."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generals_client.batch import Batch, Segment, shape_key
from generals_client.positions import Mark, Position
from generals_client.reader import Delivered, ReaderStats, RecordReader, Start

POLL_S = 0.2


class ExperienceStream:
    """Iterates batches of experiences, each exactly once. A context manager and an iterator.

    >>> with ExperienceStream(bootstrap_servers="localhost:9092", group="mine") as stream:  # doctest: +SKIP
    ...     for batch in stream:
    ...         print(batch.state.shape, batch.reward.mean())

    bootstrap_servers: the brokers.  group: the consumer group; each group gets every experience.
    start: `"earliest"` or `"latest"` (for a group that has committed nothing), an offset, a `datetime`, offsets by
        partition, or saved positions (these win over what the group committed).
    follow: wait for more at the end; otherwise stop at the end offsets that the topic has at the start.
    batch_size: experiences a batch. A batch is handed on when full, or after `max_wait_s` with what there is.
        All boards in a batch have the same size and encoding.
    game_ids, players: keep only these.  sample_fraction: keep this share of steps, the same ones at every replay.
    """

    def __init__(
        self,
        *,
        bootstrap_servers: str,
        group: str,
        start: Start = "earliest",
        follow: bool = False,
        batch_size: int = 256,
        game_ids: Collection[str] | None = None,
        players: Collection[int] | None = None,
        sample_fraction: float = 1.0,
        max_wait_s: float = 1.0,
        topic: str = "generals.experiences",
        client_config: Mapping[str, Any] | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, must be at least 1")
        if not 0.0 < sample_fraction <= 1.0:
            raise ValueError(f"sample_fraction is {sample_fraction}, must be in (0, 1]")
        self._game_ids = frozenset(game_ids) if game_ids is not None else None
        self._players = frozenset(players) if players is not None else None
        self._fraction = sample_fraction
        self._batch_size = batch_size
        self._max_wait_s = max_wait_s
        self._pending: OrderedDict[tuple[Any, ...], _Pending] = OrderedDict()
        self._ledger = _Ledger()
        self._reader = RecordReader(
            bootstrap_servers=bootstrap_servers,
            group=group,
            topic=topic,
            start=start,
            follow=follow,
            client_config=client_config,
        )

    def __iter__(self) -> Iterator[Batch]:
        """Batches, until the end (or for ever with `follow`)."""
        while True:
            yield from self._full()
            if self._reader.at_end:
                yield from self._rest()
                return
            for record in self._reader.poll(self._poll_s()):
                self._add(record)
            yield from self._overdue()

    def records(self, timeout_s: float = POLL_S) -> Iterator[Delivered]:
        """Whole records instead of flat batches, rejected markers included; ends as `__iter__` does.

        Do not mix both on one stream. Positions are those behind the last record handed on.
        """
        while not self._reader.at_end:
            for record in self._reader.poll(timeout_s):
                steps = record.batch.steps
                self._ledger.add(record, steps)
                self._ledger.hand(record, steps)
                yield record

    def poll_records(self, timeout_s: float = POLL_S, max_records: int = 512) -> list[Delivered]:
        """As `records`, but returns after `timeout_s`, possibly with nothing. For loops that have other work."""
        found = self._reader.poll(timeout_s, max_records)
        for record in found:
            self._ledger.add(record, record.batch.steps)
            self._ledger.hand(record, record.batch.steps)
        return found

    def positions(self) -> list[Position]:
        """Where to go on behind the batches handed on so far; give them as `start`, or save them by `to_json`."""
        return [self._ledger.position(position) for position in self._reader.positions()]

    def commit(self) -> None:
        """Commit `positions()` to the group, so that its next stream goes on from here."""
        self._reader.commit(self.positions())

    @property
    def stats(self) -> ReaderStats:
        """Records read, repeats dropped, chunks lost, chunks rejected."""
        return self._reader.stats

    @property
    def assignment(self) -> tuple[int, ...]:
        """The partitions that Kafka has given to this member of the group."""
        return self._reader.assignment

    @property
    def at_end(self) -> bool:
        """Whether all there was at the start has been read; never with `follow`."""
        return self._reader.at_end

    def lag(self) -> dict[int, int]:
        """Records not yet read, by partition."""
        return self._reader.lag()

    def close(self) -> None:
        """Leave the group. Nothing is committed."""
        self._reader.close()

    def __enter__(self) -> "ExperienceStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _poll_s(self) -> float:
        if not self._pending:
            return POLL_S
        oldest = next(iter(self._pending.values())).since
        return min(POLL_S, max(0.0, oldest + self._max_wait_s - time.monotonic()))

    def _add(self, record: Delivered) -> None:
        skip = self._reader.skipped_steps(record)
        steps = self._wanted(record, skip)
        self._ledger.add(record, record.batch.steps, handed=skip)
        if not len(steps):
            self._ledger.hand(record, record.batch.steps)
            return
        key = shape_key(record.batch)
        if key not in self._pending:
            self._pending[key] = _Pending(time.monotonic())
        self._pending[key].add(record, steps)

    def _wanted(self, record: Delivered, skip: int) -> NDArray[np.int64]:
        batch = record.batch
        none = np.zeros(0, np.int64)
        if self._game_ids is not None and batch.game_id not in self._game_ids:
            return none
        if self._players is not None and batch.player not in self._players:
            return none
        steps = np.arange(batch.steps)
        if self._fraction < 1.0:
            name = f"{batch.game_id}/{batch.chunk}/{batch.player}".encode()
            seed = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little")
            steps = steps[np.random.default_rng(seed).random(batch.steps) < self._fraction]
        return steps[steps >= skip]

    def _full(self) -> Iterator[Batch]:
        for key in list(self._pending):
            while self._pending[key].count >= self._batch_size:
                yield self._hand(key)
            if not self._pending[key].count:
                del self._pending[key]

    def _overdue(self) -> Iterator[Batch]:
        now = time.monotonic()
        for key in [k for k, pending in self._pending.items() if now - pending.since >= self._max_wait_s]:
            while key in self._pending:
                yield self._hand(key)
                if not self._pending[key].count:
                    del self._pending[key]

    def _rest(self) -> Iterator[Batch]:
        for key in list(self._pending):
            while self._pending[key].count:
                yield self._hand(key)
            del self._pending[key]

    def _hand(self, key: tuple[Any, ...]) -> Batch:
        taken = self._pending[key].take(self._batch_size)
        for record, _, handed in taken:
            self._ledger.hand(record, handed)
        return Batch([Segment(record.batch, steps) for record, steps, _ in taken])


class _Pending:
    """Records of one shape that wait for a batch to fill."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.count = 0
        self._queue: list[tuple[Delivered, NDArray[np.int64]]] = []

    def add(self, record: Delivered, steps: NDArray[np.int64]) -> None:
        self._queue.append((record, steps))
        self.count += len(steps)

    def take(self, limit: int) -> list[tuple[Delivered, NDArray[np.int64], int]]:
        """At most `limit` steps, oldest first: (record, its steps, how many leading steps are now handed on)."""
        taken: list[tuple[Delivered, NDArray[np.int64], int]] = []
        while self._queue and limit:
            record, steps = self._queue[0]
            if len(steps) <= limit:
                self._queue.pop(0)
                taken.append((record, steps, record.batch.steps))
                limit -= len(steps)
                self.count -= len(steps)
            else:
                taken.append((record, steps[:limit], int(steps[limit])))
                self._queue[0] = (record, steps[limit:])
                self.count -= limit
                limit = 0
        self.since = time.monotonic()
        return taken


class _Ledger:
    """Which records are not wholly handed on, so that a position never passes one."""

    def __init__(self) -> None:
        self._open: dict[int, OrderedDict[int, _Entry]] = {}
        self._marks: dict[int, Mark | None] = {}

    def add(self, record: Delivered, steps: int, handed: int = 0) -> None:
        partition = self._open.setdefault(record.partition, OrderedDict())
        source = record.batch.source
        before = self._marks.get(record.partition)
        partition[record.offset] = _Entry(steps, handed, before)
        self._marks[record.partition] = Mark(source.offset, source.index, source.count)

    def hand(self, record: Delivered, handed: int) -> None:
        """Note that the first `handed` steps of a record were handed on."""
        partition = self._open[record.partition]
        partition[record.offset].handed = handed
        while partition and next(iter(partition.values())).done:
            partition.popitem(last=False)

    def position(self, read: Position) -> Position:
        """What `read` (behind all that was polled) comes to when open records are not passed."""
        entries = self._open.get(read.partition)
        if not entries:
            return read
        offset, first = next(iter(entries.items()))
        handed = {at: entry.handed for at, entry in entries.items() if entry.handed}
        return Position(read.topic, read.partition, offset, first.mark_before, read.source_id, handed)


class _Entry:
    __slots__ = ("handed", "mark_before", "steps")

    def __init__(self, steps: int, handed: int, mark_before: Mark | None) -> None:
        self.steps = steps
        self.handed = handed
        self.mark_before = mark_before

    @property
    def done(self) -> bool:
        return self.handed >= self.steps
