"""Merged objects: the rows of several sealed ones of the same hour and partition, and what is left in their place."""

from collections.abc import Iterable, Sequence
from hashlib import sha256

from generals_writer.formats import Format
from generals_writer.formats.entries import Entry, packed
from generals_writer.generations import Held
from generals_writer.layout import LogPartition

VERSION = 1


def merge(
    entries: Iterable[Entry], *, key: str, hour: int, log: LogPartition, sources: Sequence[str], form: Format
) -> tuple[Held, bytes]:
    """One object of all entries; `sources` are the objects they were in. Held compressed: they may be an hour's."""
    rows = [packed(entry) for entry in entries]
    data = form.write(rows, merged_metadata(key, hour, log, sources))
    held = Held(
        key=key,
        hour=hour,
        rows=sum(entry.steps for entry in rows),
        batches=len(rows),
        first_offset=min(entry.offset for entry in rows),
        last_offset=max(entry.offset for entry in rows),
        bytes=len(data),
        sha256=sha256(data).hexdigest(),
    )
    return held, data


def merged_metadata(key: str, hour: int, log: LogPartition, sources: Sequence[str]) -> dict[str, object]:
    """What a merged object says about itself."""
    return {
        "merged": {"topic": log.topic, "partition": log.number, "sources": sorted(sources)},
        "hour": hour,
        "key": key,
        "version": VERSION,
    }


def tombstone(form: Format, replaced_by: str) -> bytes:
    """An object without rows that keeps a name taken and says where the rows are now."""
    return form.write([], {"replaced_by": replaced_by, "version": VERSION})
