"""Every interleaving of writers at one archive, by running the real `Publisher` again and again.

Unusual: the protocol is a generator, and generators cannot be copied. So a walk is a list of choices, and each way that
was not taken is a walk of its own, from the beginning. A walk ends early where it comes to a state that was seen: the
store's objects and, of each writer, where its generators stand and what their variables hold.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import cache
from types import GeneratorType
from typing import Any, Protocol

import pytest
from simulated_archive import LOG, MemoryLog, MemoryStore, origin

from generals_runtime.objects import StoreUnavailable
from generals_schemas.batch_fields import batch_fields, fields_source
from generals_writer import publisher as publisher_module
from generals_writer.build import Built, LogRecord, Origin, build
from generals_writer.claims import Claim, Cursor, Seal
from generals_writer.formats import format_of
from generals_writer.publisher import Published, Publisher, Publishing, Settling

Life = Generator[str, None, None]


class Writer(Protocol):
    """What a writer's life needs of a publisher."""

    def settle(self) -> Settling: ...
    def publish(self, built: Built) -> Publishing: ...


class SeenBefore(Exception):
    """The walk came to a state that another has gone on from."""


class Choices:
    """The choices of one walk: the given ones first, then the first of each."""

    def __init__(self, given: tuple[int, ...]) -> None:
        self._given = given
        self.taken: list[int] = []
        self.options: list[int] = []

    @property
    def own_way(self) -> bool:
        """Whether the given choices are used up."""
        return len(self.taken) >= len(self._given)

    def of(self, options: int) -> int:
        """One of 0 … options - 1."""
        at = len(self.taken)
        choice = self._given[at] if at < len(self._given) else 0
        self.taken.append(choice)
        self.options.append(options)
        return choice

    def untried(self) -> list[tuple[int, ...]]:
        """All ways that branch off from this one behind the given choices."""
        ways = []
        for at in range(len(self._given), len(self.taken)):
            ways += [(*self.taken[:at], other) for other in range(1, self.options[at])]
        return ways


class FaultyStore(MemoryStore):
    """A store in which a put may fail before it does anything, or lose its answer, while faults are left."""

    def __init__(self, choices: Choices, faults: int) -> None:
        super().__init__()
        self._choices, self.faults = choices, faults

    def put(self, key: str, data: bytes, *, if_absent: bool = True) -> None:
        what = self._choices.of(3) if self.faults else 0
        self.faults -= bool(what)
        if what == 1:
            raise StoreUnavailable("refused")
        super().put(key, data, if_absent=if_absent)
        if what == 2:
            raise StoreUnavailable("the answer was lost")


@dataclass
class Group:
    """The consumer group's committed cursor: a hint for the real writer, all there is for one without claims."""

    committed: Cursor = field(default_factory=lambda: Cursor(0))


class Claimless:
    """A writer without the claim step: it stores objects straight, then commits, and goes on from the commit."""

    def __init__(self, publisher: Publisher, group: Group) -> None:
        self._publisher, self._group = publisher, group

    def settle(self) -> Settling:
        yield "read the commit"
        return self._group.committed

    def publish(self, built: Built) -> Publishing:
        published: Published = yield from self._publisher._complete(built, "new")
        yield "commit"
        self._group.committed = published.cursor
        return published


def cached_build(monkeypatch: pytest.MonkeyPatch) -> Callable[[MemoryLog, Cursor, int, Origin], Built]:
    """The real `build`, done once for each cut: it is a function, and walks ask for the same cuts over and over. So are
    the JSON of claims and seals."""

    @cache
    def made(records: tuple[LogRecord, ...], before: Cursor, end: int, of: Origin, form: str, at: int) -> Built:
        return build(records, before=before, end=end, origin=of, format_name=form, created_ms=at)

    def rebuilt(
        records: list[LogRecord], *, before: Cursor, end: int, origin: Origin, format_name: str, created_ms: int = 0
    ) -> Built:
        return made(tuple(records), before, end, origin, format_name, created_ms)

    monkeypatch.setattr(publisher_module, "build", rebuilt)
    for kind in (Claim, Seal):
        monkeypatch.setattr(kind, "to_bytes", _cached_by(kind.to_bytes, repr))
        monkeypatch.setattr(kind, "from_bytes", staticmethod(_cached_by(kind.from_bytes, lambda data: data)))
    return lambda log, before, end, of: made(tuple(log.read(LOG, before.offset, end)), before, end, of, "parquet", 0)


def _cached_by(function: Callable[..., Any], key: Callable[[Any], Any]) -> Callable[..., Any]:
    """A function of its last argument, done once for each."""
    known: dict[Any, Any] = {}

    def cached(*arguments: Any) -> Any:
        what = key(arguments[-1])
        if what not in known:
            known[what] = function(*arguments)
        return known[what]

    return cached


@dataclass
class World:
    """One walk's store, group and writers."""

    choices: Choices
    store: FaultyStore
    group: Group
    lives: list[Life]
    crashes: int

    def state(self) -> tuple[Any, ...]:
        objects = tuple(sorted((key, hash(data)) for key, data in self.store.objects.items()))
        lives = tuple(sorted(_standing(life) for life in self.lives))  # they are alike: who is who does not matter
        return objects, self.group.committed, lives, self.store.faults, self.crashes


def _standing(life: Any) -> tuple[Any, ...]:
    """Where a generator and those it waits for stand, and their variables."""
    frames = []
    while isinstance(life, GeneratorType):
        frame = life.gi_frame
        if frame is not None:
            held = tuple(sorted((name, hash(_key(value))) for name, value in frame.f_locals.items()))
            frames.append((frame.f_code.co_name, frame.f_lasti, held))
        life = life.gi_yieldfrom
    return tuple(frames)


def _key(value: Any) -> Any:
    """A variable by its value; machinery, which is the same for all of a writer's life, by its type."""
    if isinstance(value, list | tuple):
        return tuple(_key(item) for item in value)
    try:
        hash(value)
    except TypeError:
        return type(value).__name__
    by_identity = getattr(type(value), "__hash__", None) is getattr(object, "__hash__", None)
    return type(value).__name__ if by_identity else value


@dataclass(frozen=True)
class Setup:
    """What is walked through. cuts: how many records a segment may have. claims: false for the mutant.

    faults: of the store.  crashes: of writers; each is followed by a new life.
    """

    log: MemoryLog
    writers: int = 2
    cuts: tuple[int, ...] = (1, 2, 5)
    faults: int = 1
    crashes: int = 1
    claims: bool = True


@dataclass
class Found:
    """What all walks found: archives at the end, as (copies of each record that must be there)."""

    walks: int = 0
    states: int = 0
    lost: int = 0
    doubled: int = 0
    stuck: int = 0
    clean: int = 0


class Explorer:
    """Walks through everything that a setup allows."""

    def __init__(self, setup: Setup, cut: Callable[[MemoryLog, Cursor, int, Origin], Built]) -> None:
        self._setup, self._cut = setup, cut
        self._seen: set[Any] = set()
        self._verdicts: dict[Any, str] = {}
        self._expected = _expected(setup.log)

    def run(self) -> Found:
        found = Found()
        ways: list[tuple[int, ...]] = [()]
        while ways:
            choices = Choices(ways.pop())
            found.walks += 1
            try:
                verdict = self._walk(choices)
                setattr(found, verdict, getattr(found, verdict) + 1)
            except SeenBefore:
                pass
            ways += choices.untried()
        found.states = len(self._seen)
        return found

    def _walk(self, choices: Choices) -> str:
        setup = self._setup
        store, group = FaultyStore(choices, setup.faults), Group()
        world = World(choices, store, group, [], setup.crashes)
        for _ in range(setup.writers):
            world.lives.append(self._life(world))
        living = list(range(setup.writers))
        while living:
            self._prune(world)
            turn = living[choices.of(len(living))]
            if world.crashes and choices.of(2):
                world.crashes -= 1
                world.lives[turn].close()
                world.lives[turn] = self._life(world)
            else:
                try:
                    next(world.lives[turn])
                except StopIteration:
                    living.remove(turn)
                except Exception as error:  # what ends a writer: it refuses to go on, nothing more is archived
                    return self._ended_by(error)
        return self._verdict(store)

    def _prune(self, world: World) -> None:
        if not world.choices.own_way:
            return
        state = world.state()
        if state in self._seen:
            raise SeenBefore
        self._seen.add(state)

    def _ended_by(self, error: Exception) -> str:
        if self._setup.claims:
            raise error
        return "stuck"

    def _life(self, world: World) -> Life:
        of = origin()
        publisher = Publisher(world.store, self._setup.log, of)
        writer: Writer = publisher if self._setup.claims else Claimless(publisher, world.group)
        return self._live(world, writer, of)

    def _live(self, world: World, writer: Writer, of: Origin) -> Life:
        """As the service does: settle, then segment after segment; whatever fails is settled anew."""
        log = self._setup.log
        while True:
            try:
                cursor = yield from writer.settle()
                while cursor.offset < log.end:
                    size = self._setup.cuts[world.choices.of(len(self._setup.cuts))]
                    end = min(log.end, cursor.offset + size)
                    published = yield from writer.publish(self._cut(log, cursor, end, of))
                    cursor = published.cursor
                return
            except StoreUnavailable:
                yield "wait"

    def _verdict(self, store: MemoryStore) -> str:
        objects = tuple(sorted((key, data) for key, data in store.objects.items() if format_of(key)))
        if objects not in self._verdicts:
            rows = sorted(row for key, data in objects for row in _rows(key, data))
            missing = set(self._expected) - set(rows)
            doubled = len(rows) != len(set(rows))
            self._verdicts[objects] = "lost" if missing else "doubled" if doubled else "clean"
        return self._verdicts[objects]


@cache
def _rows(key: str, data: bytes) -> tuple[tuple[int, int], ...]:
    """The batches in an object, by (source offset, batch index)."""
    form = format_of(key)
    if form is None:
        raise ValueError(f"{key} is no object")
    return tuple((entry.batch.source.offset, entry.batch.source.index) for entry in form.read(data))


def _expected(log: MemoryLog) -> list[tuple[int, int]]:
    sources = [fields_source(batch_fields(record.value)) for record in log.records]
    return sorted({(source.offset, source.index) for source in sources})
