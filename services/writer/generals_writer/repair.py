"""Making again from the log what is missing or corrupt in an archive.

Claims and seals are made again too: a lost claim from its neighbours, a seal from the objects. What the log no longer
holds cannot be repaired, and is named.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from hashlib import sha256
from itertools import chain as concatenated
from typing import Any

from generals_runtime.objects import NotFound, ObjectStore
from generals_writer.build import Origin, build
from generals_writer.catalog import Chain, Problem, Segment, read_chains
from generals_writer.claims import Beginning, Claim, Cursor, Planned, Seal, Stored
from generals_writer.errors import ArchiveError, LogExpired
from generals_writer.formats import require_format
from generals_writer.generations import Generation, Held, publish_generation
from generals_writer.layout import beginning_key, claim_key, parse_number, seal_key
from generals_writer.merged import merge
from generals_writer.publisher import Log, rebuild
from generals_writer.verify import look_at

Progress = Callable[[str], None]


@dataclass(slots=True)
class RepairReport:
    """repaired: names of what was made again.  failed: what could not be, and why."""

    repaired: list[str] = field(default_factory=list)
    failed: list[Problem] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not self.failed

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "clean": self.clean}


def repair(store: ObjectStore, log: Log, topic: str | None = None, *, progress: Progress | None = None) -> RepairReport:
    """Make again what is missing or corrupt. A segment begun and not sealed is finished, as any writer would.

    Raises:
        StoreError: the store cannot be read or written.
    """
    report = RepairReport()
    for chain in read_chains(store, topic):
        _ChainRepair(store, log, chain, report, progress or (lambda _: None)).run()
    return report


class _ChainRepair:
    """The repair of one partition. `_chain` is kept as the store is: what is mended next is mended on top of it."""

    def __init__(self, store: ObjectStore, log: Log, chain: Chain, report: RepairReport, progress: Progress) -> None:
        self._store = store
        self._log = log
        self._chain = chain
        self._report = report
        self._progress = progress

    def run(self) -> None:
        self._beginning()
        self._claims()
        for segment in self._chain.segments:
            if set(segment.stored()) != {planned.key for planned in segment.claim.objects} or segment.seal is None:
                self._try(seal_key(segment.claim.log, segment.claim.first), partial(self._finish, segment.claim))
        self._chain = next(c for c in read_chains(self._store, self._chain.log.topic) if c.log == self._chain.log)
        for held in self._chain.held():
            _, problem = look_at(self._store, held)
            if problem is not None:
                self._try(held.key, partial(self._object, held))

    def _try(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except ArchiveError as error:
            kind = "missing" if isinstance(error, LogExpired) else "corrupt"
            self._report.failed.append(Problem(kind, name, str(error)))
            return
        self._report.repaired.append(name)
        self._progress(name)

    def _beginning(self) -> None:
        segments = self._chain.segments
        if self._chain.beginning is not None or not segments:
            return
        claim = segments[0].claim
        key = beginning_key(claim.log)
        first = Beginning(claim.topic, claim.topic_id, claim.partition, claim.first)
        self._try(key, lambda: self._store.put(key, first.to_bytes(), if_absent=False))

    def _claims(self) -> None:
        """Lost claims, each from the cursor that the one before it ended with."""
        segments, made = self._chain.segments, []
        if not segments:
            return
        start = self._chain.beginning.first if self._chain.beginning else segments[0].claim.first
        cursor = Cursor(start)
        for segment in segments:
            while cursor.offset < segment.claim.first:
                claim = self._lost_claim(cursor, segment.claim)
                if claim is None:
                    break
                made.append(Segment(claim, None))
                cursor = claim.after
            cursor = segment.claim.after
        self._chain.segments = sorted([*segments, *made], key=lambda segment: segment.claim.first)

    def _lost_claim(self, before: Cursor, neighbour: Claim) -> Claim | None:
        log, key = neighbour.log, claim_key(neighbour.log, before.offset)
        end = min(self._starts(before.offset, neighbour.first))
        made: list[Claim] = []

        def work() -> None:
            claim = build(
                self._log.read(log, before.offset, end),
                before=before,
                end=end,
                origin=Origin(log, neighbour.topic_id, "repair"),
                format_name=neighbour.format,
            ).claim
            self._store.put(key, claim.to_bytes(), if_absent=False)
            made.append(claim)

        self._try(key, work)
        return made[0] if made else None

    def _starts(self, after: int, end: int) -> Iterator[int]:
        """Where segments between two offsets began, by their seals and by the names of objects that are there."""
        log = self._chain.log
        seals = (info.key for info in self._store.list(seal_key(log, 0).rpartition("/")[0] + "/"))
        objects = (info.key for info in self._store.list(f"topic={log.topic}/"))
        for key in concatenated(seals, objects):
            name = key.rpartition("/")[2].partition(".json")[0].removeprefix(f"{log.topic}-{log.number}-")
            first = parse_number(name.partition(".")[0])
            if first is not None and after < first < end:
                yield first
        yield end

    def _finish(self, claim: Claim) -> None:
        """Objects that are not there, and the seal. What was merged or pruned is sealed, and not stored again."""
        built = rebuild(claim, self._log)
        generation = self._chain.generation or Generation(claim.log)
        for planned, data in built.objects:
            if planned.key not in generation.replaced and planned.key not in generation.pruned:
                self._put_if_needed(planned.key, data)
        self._seal(claim, [_stored(planned, data) for planned, data in built.objects])

    def _put_if_needed(self, key: str, data: bytes) -> None:
        try:
            if self._store.get(key) != data:
                self._store.put(key, data, if_absent=False)
        except NotFound:
            self._store.put(key, data, if_absent=False)

    def _object(self, held: Held) -> None:
        generation = self._chain.generation
        if generation is not None and held.key in generation.merged:
            self._merged(generation, held)
            return
        segment = next(s for s in self._chain.segments if held.key in {o.key for o in s.claim.objects})
        built = rebuild(segment.claim, self._log)
        data = next(data for planned, data in built.objects if planned.key == held.key)
        self._store.put(held.key, data, if_absent=False)
        again = _stored(held, data)
        if again != segment.stored()[held.key]:  # another version of a library: the same rows in other bytes
            self._seal(segment.claim, [again if s.key == held.key else s for s in segment.stored().values()])

    def _merged(self, generation: Generation, held: Held) -> None:
        sources = [key for key, by in generation.replaced.items() if by == held.key]
        form = require_format(held.key)
        entries = [
            entry
            for segment in self._chain.segments
            if {o.key for o in segment.claim.objects} & set(sources)
            for planned, data in rebuild(segment.claim, self._log).objects
            if planned.key in sources
            for entry in form.read(data)
        ]
        again, data = merge(entries, key=held.key, hour=held.hour, log=self._chain.log, sources=sources, form=form)
        self._store.put(held.key, data, if_absent=False)
        if again != held:
            merged = {**generation.merged, held.key: again}
            after = replace(generation, number=generation.number + 1, merged=merged)
            publish_generation(self._store, after)
            self._chain.generation = after

    def _seal(self, claim: Claim, stored: Sequence[Stored]) -> None:
        seal = Seal(claim.topic, claim.partition, claim.first, claim.end, tuple(stored))
        self._store.put(seal_key(claim.log, claim.first), seal.to_bytes(), if_absent=False)
        self._chain.segments = [replace(s, seal=seal) if s.claim == claim else s for s in self._chain.segments]


def _stored(entry: Planned | Held, data: bytes) -> Stored:
    return Stored(entry.key, entry.rows, len(data), sha256(data).hexdigest())
