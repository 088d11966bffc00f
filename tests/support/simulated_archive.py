"""A log, an object store and writers in memory, for tests that crash them at every step."""

from collections.abc import Generator as Steps
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

from numpy.random import Generator
from synthetic_play import Game, play_chunk

from generals_runtime.objects import AlreadyExists, NotFound, ObjectInfo, StoreUnavailable
from generals_schemas.codec import encode_batch
from generals_schemas.records import ExperienceBatch, Source
from generals_writer.build import Built, LogRecord, Origin, build
from generals_writer.errors import LogExpired
from generals_writer.layout import LogPartition
from generals_writer.publisher import Published, Publisher

HOUR_MS = 3_600_000
R = TypeVar("R")
LOG = LogPartition("generals.experiences", 0)


class MemoryStore:
    """An ObjectStore. With `rng`, a share `unreliable` of all calls fails: half of those before, half after they did
    what was asked (the answer is lost)."""

    def __init__(self, rng: Generator | None = None, unreliable: float = 0.0) -> None:
        self.objects: dict[str, bytes] = {}
        self.url = "memory://"
        self._rng = rng
        self.unreliable = unreliable

    def put(self, key: str, data: bytes, *, if_absent: bool = True) -> None:
        lost = self._fails()
        if if_absent and key in self.objects:
            raise AlreadyExists(key)
        self.objects[key] = data
        if lost:
            raise StoreUnavailable(f"the answer to put {key} was lost")

    def get(self, key: str) -> bytes:
        self._fails()
        if key not in self.objects:
            raise NotFound(key)
        return self.objects[key]

    def head(self, key: str) -> ObjectInfo:
        return ObjectInfo(key, len(self.get(key)), 0)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        self._fails()
        for key in sorted(self.objects):
            if key.startswith(prefix):
                yield ObjectInfo(key, len(self.objects[key]), 0)

    def delete(self, key: str) -> None:
        self._fails()
        self.objects.pop(key, None)

    def _fails(self) -> bool:
        """Raises if the call is to fail before it does anything; true if its answer is to be lost."""
        if self._rng is None or self._rng.random() >= self.unreliable:
            return False
        if self._rng.random() < 0.5:
            raise StoreUnavailable("the store is away")
        return True


class MemoryLog:
    """One partition's records."""

    def __init__(self, records: Sequence[LogRecord], first: int = 0) -> None:
        self.records = list(records)
        self.first = first

    @property
    def end(self) -> int:
        return self.records[-1].offset + 1

    def first_offset(self, log: LogPartition) -> int:
        return self.first

    def read(self, log: LogPartition, first: int, end: int) -> Sequence[LogRecord]:
        if first < self.first:
            raise LogExpired(f"the log begins at {self.first}, not at {first}")
        return [record for record in self.records if first <= record.offset < end]


def made_up_log(rng: Generator, *, chunks: int, hours: int = 3) -> tuple[MemoryLog, list[ExperienceBatch]]:
    """A partition as collectors that crash leave it: unbroken runs that go back, late records, rejected chunks, a few
    offsets left out (transaction markers). With it, each batch that a reader must see, once, in order."""
    games = [Game(rng, f"g-{n}", *map(int, rng.integers(4, 7, 2))) for n in range(3)]
    groups: list[list[ExperienceBatch]] = []
    for offset in range(chunks):
        source = Source("generals.transitions", "source-id", 0, offset, 0, 2)
        if rng.random() < 0.1:
            rejected = Source(source.topic, source.topic_id, 0, offset, 0, 1)
            groups.append([ExperienceBatch.rejection(reason="checksum", source=rejected)])
        else:
            game = games[int(rng.integers(len(games)))]
            groups.append(play_chunk(game, int(rng.integers(1, 4)), source=source))
    records: list[LogRecord] = []
    for start, end in pairwise([0, *sorted(map(int, rng.integers(1, chunks, 3))), chunks]):
        again = max(0, start - int(rng.integers(0, 4)))
        for group in groups[again:end]:
            for batch in group:
                offset = (records[-1].offset + 1 if records else 0) + int(rng.random() < 0.05)
                late = int(rng.integers(hours)) if rng.random() < 0.2 else 0
                time = 1_750_000_000_000 + offset * HOUR_MS // 40 - late * HOUR_MS
                records.append(LogRecord(offset, time, encode_batch(batch)))
    return MemoryLog(records), [batch for group in groups for batch in group if batch.rejected is None]


def origin(writer: str = "w", topic_id: str = "topic-id") -> Origin:
    return Origin(LOG, topic_id, writer, "1")


def run(steps: Steps[str, None, R]) -> R:
    """What the steps return in the end."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: R = done.value
            return result


def life(store: MemoryStore, log: MemoryLog, rng: Generator, writer: str) -> Steps[str, None, None]:
    """A writer as the service runs it, with cuts of its own."""
    publisher = Publisher(store, log, origin(writer))
    while True:
        try:
            cursor = yield from publisher.settle()
            while cursor.offset < log.end:
                end = min(log.end, cursor.offset + int(rng.integers(1, 12)))
                built = build(
                    log.read(LOG, cursor.offset, end),
                    before=cursor,
                    end=end,
                    origin=origin(writer),
                    format_name="parquet",
                )
                published = yield from insist(publisher, built, rng)
                cursor = published.cursor
            return
        except StoreUnavailable:
            yield "wait"


def insist(publisher: Publisher, built: Built, rng: Generator) -> Steps[str, None, Published]:
    while True:
        try:
            return (yield from publisher.publish(built))
        except StoreUnavailable:
            if rng.random() < 0.5:
                raise
            yield "try again"
