"""The files of a spill folder: a header, then records, named by the number of the first.

Unusual: a segment's header says for each partition from which offset on its records can lie in the log. They were not
acknowledged when the file was begun, so none lies before; after a crash the log is read from there.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generals_engine.spill_frames import Record, Spot, bodies, frame, framed_bytes, record_of
from generals_runtime.errors import OperatorError

SUFFIX = ".spill"
_MAGIC = b"GENSPIL1"


class SpillDamaged(OperatorError):
    """The spill folder cannot be used, or a file in it is not what was written; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Header:
    """first: number of the first record.  follows: number after the last one of the file before.

    starts: where in the log this file's records can lie at the earliest.  ids: the topics' ids.
    """

    first: int
    follows: int
    starts: Mapping[Spot, int]
    ids: Mapping[str, str]

    def to_bytes(self) -> bytes:
        fields = {
            "first": self.first,
            "follows": self.follows,
            "starts": [[topic, partition, offset] for (topic, partition), offset in self.starts.items()],
            "ids": dict(self.ids),
        }
        return _MAGIC + frame(json.dumps(fields, separators=(",", ":")).encode())

    @classmethod
    def from_body(cls, body: bytes) -> "Header":
        fields: dict[str, Any] = json.loads(body)
        starts = {(topic, partition): offset for topic, partition, offset in fields["starts"]}
        return cls(fields["first"], fields["follows"], starts, fields["ids"])


@dataclass(slots=True)
class Segment:
    """One file. count: whole records in it.  size: bytes up to the last of them.  unsettled: not yet in the log."""

    path: Path
    header: Header
    count: int
    size: int
    records_at: int
    unsettled: int = 0

    @property
    def first(self) -> int:
        return self.header.first

    @property
    def end(self) -> int:
        return self.header.first + self.count


def segment_path(folder: Path, first: int) -> Path:
    return folder / f"{first:020d}{SUFFIX}"


def scan(path: Path) -> Segment | None:
    """What is whole in a file; None if not even its header is."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            return None
        frames = bodies(file)
        body = next(frames, None)
        if body is None:
            return None
        header = Header.from_body(body)
        size = records_at = len(_MAGIC) + framed_bytes(body)
        count = 0
        for body in frames:
            count += 1
            size += framed_bytes(body)
    return Segment(path, header, count, size, records_at, unsettled=count)


def create(folder: Path, header: Header) -> Segment:
    """An empty file with its header, wholly there or not at all, also after a power cut."""
    path, content = segment_path(folder, header.first), header.to_bytes()
    replace_file(path, content, path.with_suffix(".tmp"))
    return Segment(path, header, 0, len(content), len(content))


def replace_file(path: Path, content: bytes, temporary: Path) -> None:
    """Replace a file in one step, synced. Where `temporary` exists its room is used, not more."""
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        write_all(descriptor, content)
        os.ftruncate(descriptor, len(content))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)
    sync_folder(path.parent)


def reserve(path: Path, size: int) -> None:
    """A file that takes up room for what will be written to it, if there is any."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            write_all(descriptor, bytes(size))
        finally:
            os.close(descriptor)


def write_all(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Reader:
    """Reads a segment's records one after the other, while others may still be appended to it."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self._file = segment.path.open("rb")
        self._file.seek(segment.records_at)
        self._bodies = bodies(self._file)
        self.next = segment.first

    def read(self) -> Record | None:
        """The next record; None at the end of what is whole."""
        if self.next >= self.segment.end:
            return None
        body = next(self._bodies, None)
        if body is None:
            raise SpillDamaged(f"{self.segment.path}: record {self.next} was whole and cannot be read any more")
        self.next += 1
        return record_of(body)

    def close(self) -> None:
        self._file.close()


def records(segment: Segment) -> Iterator[tuple[int, Record]]:
    """All records with their numbers."""
    reader = Reader(segment)
    try:
        while (record := reader.read()) is not None:
            yield reader.next - 1, record
    finally:
        reader.close()
