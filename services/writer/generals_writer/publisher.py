"""Exactly once, for one partition at one destination: claim, objects, seal.

Unusual: the protocol is a generator that stops before each thing it does to the outside world. A service runs it
through; a test lets two of them take turns, and kills them at any step.

Why no crash, zombie or rival can lose or double a record:
- a claim is created only at the end of a claim that is sealed, and only one claim can have a name;
- who finds a claim without its seal finishes it, from the log, before going on after it;
- an object is a function of its claim, so whoever stores it first stores what all others would have stored;
- a position is taken from the last claim; what the consumer group committed is a hint for people who look at lag.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Literal, Protocol, TypeAlias

from generals_runtime.objects import AlreadyExists, NotFound, ObjectStore
from generals_schemas.codec import encode_batch
from generals_writer.build import Built, LogRecord, Origin, build
from generals_writer.claims import Beginning, Claim, Counts, Cursor, Planned, Seal, Stored
from generals_writer.errors import ClaimConflict, CorruptObject, LogExpired
from generals_writer.formats import format_of
from generals_writer.formats.entries import Entry
from generals_writer.layout import (
    LogPartition,
    beginning_key,
    claim_key,
    claims_folder,
    parse_claim_key,
    seal_key,
)

Outcome: TypeAlias = Literal["new", "resumed", "foreign"]


class Log(Protocol):
    """The records of the experiences topic."""

    def first_offset(self, log: LogPartition) -> int:
        """The oldest offset that the log still holds."""

    def read(self, log: LogPartition, first: int, end: int) -> Sequence[LogRecord]:
        """All records in [first, end). Raises LogExpired if some were deleted."""


@dataclass(frozen=True, slots=True)
class Published:
    """Where the archive ends now.

    outcome: `foreign` if another writer's claim lay there and was finished instead, `resumed` if a crash had left it.
    """

    cursor: Cursor
    outcome: Outcome
    claim: Claim
    stored: tuple[Stored, ...]


Settling: TypeAlias = Generator[str, None, Cursor]
Publishing: TypeAlias = Generator[str, None, Published]


class Publisher:
    """Settles and publishes the segments of one partition."""

    def __init__(self, store: ObjectStore, log: Log, origin: Origin) -> None:
        self._store = store
        self._log = log
        self._origin = origin
        self._of = origin.log

    def settle(self, resumed: Callable[[Published], None] = lambda _: None) -> Settling:
        """Finish what was begun; where to go on. To be run before the first `publish`, and after any failure.

        resumed: told of the segment that was finished here. Of one that was sealed before, it is not.

        Raises:
            ClaimConflict: the archive is of another topic of this name.
            LogExpired: a claim was begun and the log no longer holds its records.
        """
        yield "list claims"
        names = (parse_claim_key(info.key) for info in self._store.list(claims_folder(self._of)))
        last = max((name[1] for name in names if name is not None), default=None)
        if last is None:
            return (yield from self._begin())
        yield "read the last claim"
        claim = self._claim(last)
        yield "look for the seal"
        if self._seal(claim) is None:
            resumed((yield from self._from_log(claim, "resumed")))
        return claim.after

    def publish(self, built: Built) -> Publishing:
        """Make a segment part of the archive. May be run again after any failure."""
        yield "claim"
        try:
            self._store.put(claim_key(self._of, built.claim.first), built.claim.to_bytes())
        except AlreadyExists:
            yield "read the claim that is there"
            found = self._claim(built.claim.first)
            if found.cut != built.claim.cut:
                return (yield from self._foreign(found))
        return (yield from self._complete(built, "new"))

    def expired(self, before: Cursor, end: int, format_name: str) -> Built:
        """A claim over offsets that the log no longer holds, so that the chain stays whole and says what is missing."""
        built = build([], before=before, end=end, origin=self._origin, format_name=format_name)
        return replace(built, claim=replace(built.claim, counts=Counts(expired=end - before.offset)))

    def _begin(self) -> Settling:
        yield "find where the log begins"
        key = beginning_key(self._of)
        beginning = Beginning(self._of.topic, self._origin.topic_id, self._of.number, self._log.first_offset(self._of))
        yield "fix the beginning"
        try:
            self._store.put(key, beginning.to_bytes())
        except AlreadyExists:
            yield "read the beginning"
            beginning = Beginning.from_bytes(key, self._store.get(key))
            self._check_topic(key, beginning.topic_id)
        return Cursor(beginning.first)

    def _foreign(self, claim: Claim) -> Publishing:
        yield "look for the seal"
        seal = self._seal(claim)
        if seal is not None:
            return Published(claim.after, "foreign", claim, seal.objects)
        return (yield from self._from_log(claim, "foreign"))

    def _from_log(self, claim: Claim, outcome: Outcome) -> Publishing:
        """Finish a claim, whoever made it."""
        yield "read the log"
        try:
            built = rebuild(claim, self._log)
        except LogExpired as error:
            raise LogExpired(
                f"{claim_key(self._of, claim.first)}: its records were claimed, not all were stored, and the log has "
                "deleted some since, so what it promises cannot be made. What is sealed stays readable; go on with an "
                "empty destination"
            ) from error
        return (yield from self._complete(built, outcome))

    def _complete(self, built: Built, outcome: Outcome) -> Publishing:
        claim, stored = built.claim, []
        for planned, data in built.objects:
            yield f"store {planned.key}"
            stored.append(self._put(planned, data))
        seal = Seal(claim.topic, claim.partition, claim.first, claim.end, tuple(stored))
        yield "seal"
        # There may be one: another writer's, or our own whose answer was lost. All seals of a claim say the same.
        with suppress(AlreadyExists):
            self._store.put(seal_key(self._of, claim.first), seal.to_bytes())
        return Published(claim.after, outcome, claim, tuple(stored))

    def _put(self, planned: Planned, data: bytes) -> Stored:
        try:
            self._store.put(planned.key, data)
        except AlreadyExists:
            data = self._same_rows(planned, data, self._store.get(planned.key))
        return Stored(planned.key, planned.rows, len(data), sha256(data).hexdigest())

    def _same_rows(self, planned: Planned, ours: bytes, theirs: bytes) -> bytes:
        """Theirs, if it holds what ours does: the bytes may differ if another version of a library made them."""
        if ours == theirs:
            return theirs
        form = format_of(planned.key)
        try:
            if form is not None and _rows(form.read(ours)) == _rows(form.read(theirs)):
                return theirs
        except CorruptObject as error:
            raise CorruptObject(self._in_the_way(planned, str(error))) from error
        raise ClaimConflict(self._in_the_way(planned, "it holds other rows than the claim says"))

    def _in_the_way(self, planned: Planned, why: str) -> str:
        return (
            f"{planned.key} in {self._store.url} is in the way of a segment that is being archived: {why}. "
            "Nothing was overwritten. Move it out of the archive, then start the writer again."
        )

    def _claim(self, first: int) -> Claim:
        key = claim_key(self._of, first)
        claim = Claim.from_bytes(key, self._store.get(key))
        self._check_topic(key, claim.topic_id)
        return claim

    def _seal(self, claim: Claim) -> Seal | None:
        key = seal_key(self._of, claim.first)
        try:
            return Seal.from_bytes(key, self._store.get(key))
        except NotFound:
            return None

    def _check_topic(self, key: str, topic_id: str) -> None:
        if topic_id != self._origin.topic_id:
            raise ClaimConflict(
                f"{key} in {self._store.url} was written from topic {self._of.topic} with id {topic_id}, which now has "
                f"id {self._origin.topic_id}: it was deleted and created anew. Give the writer an empty destination."
            )


def rebuild(claim: Claim, log: Log) -> Built:
    """A claim's objects again, from the log.

    Raises:
        LogExpired: the log no longer holds the records.
        ClaimConflict: the log holds other records than the claim says.
    """
    origin = Origin(claim.log, claim.topic_id, claim.writer, claim.writer_version)
    if claim.counts.expired:
        return Built(claim, ())
    built = build(
        log.read(claim.log, claim.first, claim.end),
        before=claim.before,
        end=claim.end,
        origin=origin,
        format_name=claim.format,
        created_ms=claim.created_ms,
    )
    if built.claim != claim:
        said, found = asdict(claim), asdict(built.claim)
        differing = ", ".join(name for name in said if said[name] != found[name])
        raise ClaimConflict(
            f"the log of {claim.topic} partition {claim.partition}, offsets {claim.first} to {claim.end}, gives a "
            f"claim with other {differing} ({built.claim.counts}) than {claim.writer or 'an unknown writer'} of "
            f"version {claim.writer_version or 'unknown'} made ({claim.counts}): the log has been changed, or this "
            "version reads it otherwise. Let a writer of that version finish it, or give this one an empty destination"
        )
    return built


def _rows(entries: Iterable[Entry]) -> list[tuple[int, int, bytes]]:
    return [(entry.offset, entry.timestamp_ms, encode_batch(entry.batch)) for entry in entries]
