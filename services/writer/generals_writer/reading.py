"""Reading an archive back: the same batches as the live stream gives, exactly.

Unusual: rows lie by game inside an object. Order `log` gives the batches of each partition in the order of the topic;
it holds one run of overlapping objects at a time, compressed if that is large. Order `stored` gives them as they lie, a
row group at a time, and `shuffled` draws objects in random order: both are faster, and right for training.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import inf
from random import Random
from typing import Any, Literal, TypeAlias

import numpy as np

from generals_client.batch import Batch, Segment, shape_key
from generals_client.positions import Position
from generals_runtime.objects import NotFound, ObjectStore
from generals_schemas.codec import decode_batch, encode_batch
from generals_schemas.records import ExperienceBatch
from generals_writer.catalog import Chain, read_chains
from generals_writer.errors import CorruptObject
from generals_writer.formats import format_of
from generals_writer.formats.entries import Entry
from generals_writer.generations import Held
from generals_writer.layout import HOUR_MS, LogPartition

Order: TypeAlias = Literal["log", "stored", "shuffled"]
ADVICE = "if it was merged or pruned meanwhile, read again; if not, run `generals archive verify`"
PACK_ABOVE_ROWS = 100_000
"""Runs of objects with more rows than this are compressed again while they are put in the order of the log."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which batches: of these games, players and partitions (None: all), with a record time in [since_ms, until_ms)."""

    game_ids: frozenset[str] | None = None
    players: frozenset[int] | None = None
    partitions: frozenset[int] | None = None
    since_ms: int | None = None
    until_ms: int | None = None

    @classmethod
    def of(
        cls,
        game_ids: Collection[str] | None = None,
        players: Collection[int] | None = None,
        partitions: Collection[int] | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
    ) -> "Wanted":
        return cls(
            frozenset(game_ids) if game_ids is not None else None,
            frozenset(players) if players is not None else None,
            frozenset(partitions) if partitions is not None else None,
            since_ms,
            until_ms,
        )

    def hour(self, hour: int) -> bool:
        """Whether an hour may hold some."""
        after = self.since_ms is None or (hour + 1) * HOUR_MS > self.since_ms
        return after and (self.until_ms is None or hour * HOUR_MS < self.until_ms)

    def entry(self, entry: Entry) -> bool:
        batch, time = entry.batch, entry.timestamp_ms
        return (
            (self.game_ids is None or batch.game_id in self.game_ids)
            and (self.players is None or batch.player in self.players)
            and (self.since_ms is None or time >= self.since_ms)
            and (self.until_ms is None or time < self.until_ms)
        )


ALL = Wanted()


@dataclass(frozen=True, slots=True)
class Plan:
    """What there is to read, as the archive named it at one moment. Plain data: it can be pickled and sent.

    Readers side by side that share one plan read everything once between them, though a writer is at work.
    runs: objects whose offsets overlap stand together.
    ends: of each partition the first offset not to read; None: all is read.
    """

    runs: tuple[tuple[LogPartition, tuple[Held, ...]], ...]
    wanted: Wanted
    order: Order
    ends: Mapping[LogPartition, int] | None


def make_plan(
    store: ObjectStore,
    topic: str | None = None,
    *,
    wanted: Wanted = ALL,
    order: Order = "log",
    until: Sequence[Position] | None = None,
) -> Plan:
    """List what is sealed without a gap.

    until: only what lies before these positions, which `positions` gave, so that who goes on live from them misses
    nothing and sees nothing twice, though a writer is at work. None: all there is.
    """
    ends = None if until is None else {LogPartition(place.topic, place.partition): place.offset for place in until}
    runs = [
        (chain.log, tuple(run))
        for chain in read_chains(store, topic)
        if wanted.partitions is None or chain.log.number in wanted.partitions
        for run in _runs(chain, wanted)
        if ends is None or run[0].first_offset < ends.get(chain.log, 0)
    ]
    if order != "log":
        runs = [(log, (held,)) for log, run in runs for held in run]
    return Plan(tuple(runs), wanted, order, ends)


def read_plan(
    store: ObjectStore, plan: Plan, *, seed: int = 0, share: tuple[int, int] = (0, 1)
) -> Iterator[tuple[LogPartition, Entry]]:
    """Batches with their offsets and times. share: (i, n) reads the i-th of n parts.

    Raises:
        CorruptObject: an object is not what was sealed; `generals archive repair` may mend it.
    """
    runs = list(plan.runs)
    if plan.order == "shuffled":
        Random(seed).shuffle(runs)
    for log, run in runs[share[0] :: share[1]]:
        end = inf if plan.ends is None else plan.ends[log]
        entries: Iterable[Entry] = (
            e for held in run for e in read_object(store, held) if e.offset < end and plan.wanted.entry(e)
        )
        if plan.order == "log":
            entries = _in_log_order(entries, sum(held.rows for held in run))
        for entry in entries:
            yield log, entry


def read_entries(
    store: ObjectStore,
    topic: str | None = None,
    *,
    wanted: Wanted = ALL,
    order: Order = "log",
    seed: int = 0,
    until: Sequence[Position] | None = None,
) -> Iterator[tuple[LogPartition, Entry]]:
    """Make a plan and read it: see `make_plan` and `read_plan`."""
    yield from read_plan(store, make_plan(store, topic, wanted=wanted, order=order, until=until), seed=seed)


def read(
    store: ObjectStore,
    topic: str | None = None,
    *,
    batch_size: int = 256,
    wanted: Wanted = ALL,
    order: Order = "log",
    seed: int = 0,
    until: Sequence[Position] | None = None,
) -> Iterator[Batch]:
    """The archive as flat batches, as `ExperienceStream` gives them: full ones, and what is left at the end.

    until: as in `make_plan`.
    """
    entries = read_entries(store, topic, wanted=wanted, order=order, seed=seed, until=until)
    return flat_batches((entry.batch for _, entry in entries), batch_size)


def flat_batches(records: Iterable[ExperienceBatch], batch_size: int) -> Iterator[Batch]:
    """Batches of `batch_size` experiences of boards of one shape; smaller ones of each shape at the end."""
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}, must be at least 1")
    pending: OrderedDict[tuple[Any, ...], _Filling] = OrderedDict()
    for record in records:
        filling = pending.setdefault(shape_key(record), _Filling())
        filling.add(record)
        while filling.count >= batch_size:
            yield filling.take(batch_size)
    for filling in pending.values():
        if filling.count:
            yield filling.take(filling.count)


def read_object(store: ObjectStore, held: Held) -> Iterator[Entry]:
    """The entries of one object, checked against its seal."""
    form = format_of(held.key)
    if form is None:
        raise CorruptObject(f"{held.key} is of no known format")
    try:
        data = store.get(held.key)
    except NotFound as error:
        raise CorruptObject(f"{held.key} is not there; {ADVICE}") from error
    if sha256(data).hexdigest() != held.sha256:
        raise CorruptObject(f"{held.key} is not what was sealed; {ADVICE}")
    yield from form.read(data)


class _Filling:
    """Steps of one shape that wait for a batch to fill."""

    def __init__(self) -> None:
        self.count = 0
        self._segments: list[Segment] = []

    def add(self, record: ExperienceBatch) -> None:
        self._segments.append(Segment(record, np.arange(record.steps)))
        self.count += record.steps

    def take(self, limit: int) -> Batch:
        taken: list[Segment] = []
        left = limit
        while left:
            segment = self._segments[0]
            if len(segment.steps) <= left:
                taken.append(self._segments.pop(0))
            else:
                taken.append(Segment(segment.record, segment.steps[:left]))
                self._segments[0] = Segment(segment.record, segment.steps[left:])
            left -= len(taken[-1].steps)
        self.count -= limit
        return Batch(taken)


def _runs(chain: Chain, wanted: Wanted) -> Iterator[list[Held]]:
    """Objects grouped so that the groups follow each other in the log: those whose offsets overlap stand together."""
    sealed = chain.sealed
    end = sealed[-1].claim.end if sealed else 0
    run: list[Held] = []
    last = -1
    for held in chain.held():
        if held.first_offset >= end or not wanted.hour(held.hour):
            continue
        if run and held.first_offset > last:
            yield run
            run = []
        run.append(held)
        last = max(last, held.last_offset)
    if run:
        yield run


def _in_log_order(entries: Iterable[Entry], rows: int) -> Iterator[Entry]:
    if rows <= PACK_ABOVE_ROWS:
        yield from sorted(entries, key=lambda entry: entry.offset)
        return
    packed = sorted((entry.offset, entry.timestamp_ms, encode_batch(entry.batch)) for entry in entries)
    for offset, timestamp_ms, record in packed:
        yield Entry(decode_batch(record), offset, timestamp_ms)
