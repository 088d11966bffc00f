"""Segments while they grow: which records, and when they are full. Pure; the clock is handed in."""

from dataclasses import dataclass, field

from generals_writer.build import LogRecord
from generals_writer.claims import Cursor
from generals_writer.layout import hour_of
from generals_writer.settings import Rotation


@dataclass(slots=True)
class OpenSegment:
    """The records of one partition since its last claim.

    since_ms: the record time from which `record_seconds` are counted: the newest time before the segment, or its
    first record's if that is later. So late records never close a segment, and a clock that jumps back neither.
    """

    before: Cursor
    newest_ms: int = 0
    records: list[LogRecord] = field(default_factory=list)
    hours: set[int] = field(default_factory=set)
    size_bytes: int = 0
    since_ms: int = 0
    opened_at: float = 0.0
    last_at: float = 0.0

    @property
    def end(self) -> int:
        """The first offset behind what was fetched."""
        return self.records[-1].offset + 1 if self.records else self.before.offset

    def add(self, record: LogRecord, now: float) -> None:
        """Take a record. `now` is monotonic seconds."""
        if not self.records:
            self.opened_at = now
            self.since_ms = max(self.newest_ms, record.timestamp_ms)
        self.records.append(record)
        self.hours.add(hour_of(record.timestamp_ms))
        self.size_bytes += len(record.value)
        self.newest_ms = max(self.newest_ms, record.timestamp_ms)
        self.last_at = now

    def due(self, rotation: Rotation, now: float) -> str | None:
        """Why it should be closed now, if it should."""
        if not self.records:
            return None
        reached = {
            "records": len(self.records) >= rotation.records,
            "bytes": self.size_bytes >= rotation.bytes,
            "record_seconds": self.newest_ms - self.since_ms >= rotation.record_seconds * 1000,
            "idle_seconds": now - self.last_at >= rotation.idle_seconds,
            "open_seconds": now - self.opened_at >= rotation.open_seconds,
        }
        return next((name for name, yes in reached.items() if yes), None)

    def full(self, rotation: Rotation) -> list[LogRecord]:
        """The leading records that make a segment: as many as the limits allow, all if there are fewer."""
        size = 0
        newest = self.since_ms
        for count, record in enumerate(self.records, start=1):
            size += len(record.value)
            newest = max(newest, record.timestamp_ms)
            span = newest - self.since_ms
            if count >= rotation.records or size >= rotation.bytes or span >= rotation.record_seconds * 1000:
                return self.records[:count]
        return self.records

    def next(self, cursor: Cursor) -> "OpenSegment":
        """The one after it, which begins at `cursor` with what was already fetched from there on."""
        before = [record.timestamp_ms for record in self.records if record.offset < cursor.offset]
        following = OpenSegment(cursor, max([self.since_ms, *before]))
        for record in self.records:
            if record.offset >= cursor.offset:
                following.add(record, self.last_at)
        return following


def to_relieve(segments: dict[int, OpenSegment], buffer_bytes: int) -> int | None:
    """The partition whose segment to close because all together hold more than `buffer_bytes`: the largest."""
    if sum(segment.size_bytes for segment in segments.values()) <= buffer_bytes:
        return None
    return max(segments, key=lambda number: segments[number].size_bytes)
