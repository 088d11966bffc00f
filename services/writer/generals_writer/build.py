"""From the records of a segment to its claim and its objects: a function of the records and the cursor, nothing else.

Unusual: the first pass reads the records' fields only, to drop repeats, to find the hours and to sort; arrays are
decompressed a block at a time while an object is written. So a segment costs about its compressed size twice, whatever
the number of hours in it. The objects are made before the claim, which then promises nothing that cannot be kept.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from generals_client.errors import SourceChanged
from generals_client.positions import Deduplicator
from generals_schemas.batch_fields import batch_fields, fields_source
from generals_schemas.errors import BadRecord
from generals_schemas.records import Source
from generals_writer.claims import Claim, Counts, Cursor, Planned
from generals_writer.errors import ClaimConflict
from generals_writer.formats import Format, get_format
from generals_writer.formats.entries import PackedEntry, UnreadableEntry
from generals_writer.layout import LogPartition, hour_of, object_key

MAX_REASONS = 32


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A record of the experiences topic as it lies in the log."""

    offset: int
    timestamp_ms: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Origin:
    """What a claim says of where it is from, apart from the records."""

    log: LogPartition
    topic_id: str
    writer: str = ""
    writer_version: str = ""


@dataclass(frozen=True, slots=True)
class Built:
    """A claim not yet made and the objects it promises, ready to be stored."""

    claim: Claim
    objects: tuple[tuple[Planned, bytes], ...]

    @property
    def size_bytes(self) -> int:
        return sum(len(data) for _, data in self.objects)


def build(
    records: Sequence[LogRecord], *, before: Cursor, end: int, origin: Origin, format_name: str, created_ms: int = 0
) -> Built:
    """The segment of all records in [before.offset, end).

    Raises:
        UnknownSchema: a record of another schema: the archive is deployed before its producers.
        ClaimConflict: a batch was made from another transitions topic than those before it.
    """
    form = get_format(format_name)
    unreadable: dict[int, BadRecord] = {}
    while True:  # a batch whose arrays turn out wrong is left out, and the cut is made anew without it
        reading = _Reading(before, origin.log, unreadable)
        for record in records:
            reading.add(record)
        claim = Claim(
            topic=origin.log.topic,
            topic_id=origin.topic_id,
            partition=origin.log.number,
            format=format_name,
            before=before,
            after=Cursor(end, reading.dedup.mark, reading.dedup.source_id),
            counts=reading.counts(),
            objects=_plan(origin.log, before.offset, reading.hours, form),
            rejected_reasons=_few(reading.reasons),
            writer=origin.writer,
            writer_version=origin.writer_version,
            created_ms=created_ms,
        )
        try:
            return Built(claim, tuple(_objects(claim, reading.hours, form)))
        except UnreadableEntry as error:
            unreadable[error.offset] = error.reason


def _objects(claim: Claim, hours: Mapping[int, list[PackedEntry]], form: Format) -> Iterator[tuple[Planned, bytes]]:
    for planned in claim.objects:
        yield planned, form.write(hours[planned.hour], object_metadata(claim, planned))


def object_metadata(claim: Claim, planned: Planned) -> dict[str, object]:
    """What an object says about itself: a function of the cut, so that whoever makes it makes the same."""
    mark = claim.before.mark
    return {
        "segment": {
            "topic": claim.topic,
            "topic_id": claim.topic_id,
            "partition": claim.partition,
            "first": claim.first,
            "end": claim.end,
            "mark_before": [mark.offset, mark.index, mark.count] if mark else None,
        },
        "hour": planned.hour,
        "rows": planned.rows,
        "batches": planned.batches,
        "version": claim.version,
    }


class _Reading:
    """One pass over a segment's records."""

    def __init__(self, before: Cursor, log: LogPartition, unreadable: Mapping[int, BadRecord]) -> None:
        self._log = log
        self._known_unreadable = unreadable
        self.dedup = Deduplicator(log.number, before.mark, before.source_id)
        self.hours: dict[int, list[PackedEntry]] = {}
        self.reasons: Counter[str] = Counter()
        self.records = self.rejected = self.unreadable = 0

    def add(self, record: LogRecord) -> None:
        self.records += 1
        try:
            fields = batch_fields(record.value)
            if record.offset in self._known_unreadable:
                raise self._known_unreadable[record.offset]
        except BadRecord as error:
            self.unreadable += 1
            self.reasons[f"unreadable: {error.reason}"] += 1
            return
        if not self._is_new(fields_source(fields), record.offset):
            return
        if fields["rejected"] is not None:
            self.rejected += 1
            self.reasons[fields["rejected"]] += 1
            return
        entry = PackedEntry(fields, record.offset, record.timestamp_ms)
        self.hours.setdefault(hour_of(record.timestamp_ms), []).append(entry)

    def _is_new(self, source: Source, offset: int) -> bool:
        try:
            return self.dedup.accept(source)
        except SourceChanged as error:
            raise ClaimConflict(
                f"{self._log.topic} partition {self._log.number}, offset {offset}: this record was made from topic "
                f"{source.topic} with id {source.topic_id}, the records before it from id {self.dedup.source_id}: "
                f"{source.topic} was deleted and created anew, so repeats can no longer be recognised. Delete "
                f"{self._log.topic} too, or take another kafka.topic_prefix, and give the writer an empty destination."
            ) from error

    def counts(self) -> Counts:
        entries = [entry for hour in self.hours.values() for entry in hour]
        return Counts(
            records=self.records,
            batches=len(entries),
            rows=sum(entry.steps for entry in entries),
            repeats=self.dedup.repeats,
            rejected=self.rejected,
            unreadable=self.unreadable,
            lost=self.dedup.lost,
        )


def _plan(log: LogPartition, first: int, hours: Mapping[int, list[PackedEntry]], form: Format) -> tuple[Planned, ...]:
    return tuple(
        Planned(
            key=object_key(log, first, hour, form.extension),
            hour=hour,
            rows=sum(entry.steps for entry in entries),
            batches=len(entries),
            first_offset=entries[0].offset,
            last_offset=entries[-1].offset,
        )
        for hour, entries in sorted(hours.items())
    )


def _few(reasons: Counter[str]) -> dict[str, int]:
    """The most frequent reasons; a poisoned topic must not make claims grow without bound."""
    kept = dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:MAX_REASONS])
    rest = reasons.total() - sum(kept.values())
    return {**kept, "…": rest} if rest else kept
