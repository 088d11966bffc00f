"""The queue on disk: records are appended, handed on in order, and forgotten once Kafka has them.

What survives what: an appended record is with the operating system before `append` returns, so the death of the process
costs none. fsync comes every second, with every new file and at the end, so a power cut can cost the last second; what
is lost then is a tail, no game goes on after it. Room is taken back file by file, after `progress.json` has been
replaced: it says up to which record each partition is settled, and where in the log the next can lie at the earliest.

Unusual: on a full disk no file can be removed before one has been written. So the next `progress.json` has its room
from the start, as `progress.spare`. If even that is not enough, files stay until there is room.
"""

import errno
import fcntl
import json
import os
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

import structlog

from generals_engine.spill_frames import Record, Spot, frame, record_body
from generals_engine.spill_segments import (
    SUFFIX,
    Header,
    Reader,
    Segment,
    SpillDamaged,
    create,
    records,
    replace_file,
    reserve,
    scan,
    write_all,
)
from generals_runtime.errors import OperatorError

_log = structlog.get_logger("generals_engine.spill")
_FULL = (errno.ENOSPC, errno.EDQUOT)
SYNC_EVERY_S = 1.0
SPARE, SPARE_BYTES = "progress.spare", 64 << 10
"""Bytes for about a thousand partitions."""


class SpillInUse(OperatorError):
    """Another process holds the folder."""


class SpillFull(Exception):
    """No room: the limit is reached, or the disk is full. Nothing was written."""


class SpillLog:
    """One spill folder. `ends` are the partitions' ends now, `ids` the topics' ids; one process at a time.

    While `recovering`, nothing is handed on or forgotten: which of the old records the log has is not known yet.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int,
        ends: Mapping[Spot, int],
        ids: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self._max_bytes = folder, max_bytes
        self._segment_bytes = min(16 << 20, max_bytes // 8)
        self._ids, self._clock = dict(ids), clock
        self.ends = dict(ends)
        self._lock = _lock(folder)
        self.settled, self._known, self._next, self._gone = _read_progress(folder / "progress.json")
        reserve(folder / SPARE, SPARE_BYTES)
        self._cut: set[int] = set()
        self._segments, self.damaged_at = self._open()
        self._end = self._segments[-1].end if self._segments else self._gone
        self._next = max(self._next, self._end)
        self.recovering = bool(self._segments)
        self.bytes = sum(segment.size for segment in self._segments)
        self.waiting = sum(segment.count for segment in self._segments)
        self._active: int | None = None
        self._synced_at = clock()
        self._peeked: tuple[int, Record] | None = None
        self._reader: Reader | None = None
        self._position = 0  # number of the next record to read
        self._passed = 0  # records below it were handed on unread

    @property
    def unsettled(self) -> int:
        """Records that Kafka has not acknowledged."""
        return sum(segment.unsettled for segment in self._segments)

    def has_room(self, record: Record) -> bool:
        return self.bytes + record.size <= self._max_bytes

    def append(self, record: Record) -> int:
        """Write one record; its number. Raises SpillFull."""
        content = frame(record_body(record))
        try:
            descriptor, segment = self._room(len(content))
        except OSError as error:
            raise _failure(self.folder, error) from error
        try:
            write_all(descriptor, content)
        except OSError as error:
            os.ftruncate(descriptor, segment.size)
            raise _failure(self.folder, error) from error
        segment.size += len(content)
        segment.count += 1
        segment.unsettled += 1
        self.bytes += len(content)
        self.waiting += 1
        self._next = self._end = segment.end
        return segment.end - 1

    def peek(self) -> tuple[int, Record] | None:
        """The oldest record not handed on, with its number; None if all are, or while recovering."""
        if self.recovering:
            return None
        while self._peeked is None and self.waiting:
            number, record = self._read()
            if number < self._passed:
                continue
            if number in self._cut or number <= self.settled.get(record.spot, -1):
                self.waiting -= 1
            else:
                self._peeked = number, record
        return self._peeked

    def pass_by(self, number: int) -> None:
        """The newest record is with Kafka's client already, like all before it."""
        self._passed = number + 1
        self.waiting -= 1

    def advance(self) -> None:
        """What `peek` showed has been handed on."""
        self._peeked = None
        self.waiting -= 1

    def acknowledge(self, spot: Spot, number: int | None, offset: int) -> None:
        """Kafka has a record of `spot` at `offset`; its number here, or None if it never was on disk."""
        self.ends[spot] = max(self.ends.get(spot, 0), offset + 1)
        if number is not None:
            self.settle(spot, number)

    def settle(self, spot: Spot, number: int) -> None:
        """A record and all before it in its partition are in the log."""
        self.settled[spot] = max(self.settled.get(spot, -1), number)
        self._segment_of(number).unsettled -= 1

    def cut(self, number: int) -> None:
        """A record will never be sent."""
        self._cut.add(number)
        self._segment_of(number).unsettled -= 1

    def old_records(self) -> Iterator[tuple[int, Record]]:
        """What a former process left here, also what is settled already."""
        for segment in list(self._segments):
            yield from records(segment)

    def old_starts(self) -> dict[Spot, int]:
        """For each partition, where in the log its unsettled old records can lie at the earliest."""
        starts: dict[Spot, int] = {}
        for segment in self._segments:
            for spot, offset in segment.header.starts.items():
                starts.setdefault(spot, offset)
        return {spot: max(offset, self._known.get(spot, 0)) for spot, offset in starts.items()}

    def old_ids(self) -> set[tuple[str, str]]:
        """(topic, its id) as the old files name them."""
        return {named for segment in self._segments for named in segment.header.ids.items()}

    def collect(self) -> None:
        """Forget files whose records are all settled; on a disk too full to note that, another time."""
        if self.recovering or not self._segments or self._segments[0].unsettled:
            return
        handed_on = self._handed_on
        gone = list(takewhile(lambda segment: not segment.unsettled and segment.end <= handed_on, self._segments))
        if gone and self._note(gone[-1].end):
            self._forget(gone)

    def sync(self, *, now: bool = False) -> None:
        """fsync, once a second. Raises SpillFull; then nothing is known to be lost, and it can be tried again."""
        if self._active is not None and (now or self._clock() - self._synced_at >= SYNC_EVERY_S):
            try:
                os.fsync(self._active)
            except OSError as error:
                raise _failure(self.folder, error) from error
            self._synced_at = self._clock()

    def close(self) -> None:
        """Raises SpillFull if the last second's records may not outlive a power cut; closed it is all the same."""
        self.collect()
        try:
            self.sync(now=True)
        finally:
            self._close_segment()
            self._stop_reading()
            os.close(self._lock)

    @property
    def _handed_on(self) -> int:
        """All records below this number have been handed on."""
        if self._peeked is not None:
            return self._peeked[0]
        return max(self._position, self._passed) if self.waiting else self._end

    def _open(self) -> tuple[list[Segment], int | None]:
        """The files there are, and the number from which on something before is missing."""
        found: list[Segment] = []
        damaged_at: int | None = None
        end, unread = self._gone, False
        paths = sorted(self.folder.glob(f"*{SUFFIX}"))
        for path in paths:
            segment = scan(path)
            last = path == paths[-1]
            if segment is None:
                _log.warning("a spill file without a whole header is left out", file=str(path), removed=last)
                unread = True
                if last:
                    path.unlink()
                continue
            if (unread or segment.header.follows != end) and segment.first >= self._gone and damaged_at is None:
                damaged_at = segment.first
            if last:
                _cut_torn_tail(segment)
                if not segment.count:
                    path.unlink()
                    break
            found.append(segment)
            end = segment.end
        return found, damaged_at

    def _room(self, size: int) -> tuple[int, Segment]:
        """The file to append to: a new one for the first record and when the last is full."""
        if self._active is not None and self._segments[-1].size + size > self._segment_bytes:
            self._end_segment()
        if self._active is None:
            segment = create(self.folder, Header(self._next, self._end, self.ends, self._ids))
            self._active = os.open(segment.path, os.O_WRONLY | os.O_APPEND)
            self._segments.append(segment)
            self.bytes += segment.size
        return self._active, self._segments[-1]

    def _end_segment(self) -> None:
        self.sync(now=True)
        self._close_segment()

    def _close_segment(self) -> None:
        if self._active is not None:
            os.close(self._active)
            self._active = None

    def _segment_of(self, number: int) -> Segment:
        return self._segments[bisect_right(self._segments, number, key=lambda segment: segment.first) - 1]

    def _read(self) -> tuple[int, Record]:
        """The next record; asked only when there is one."""
        while True:
            if self._reader is None:
                at = bisect_right(self._segments, self._position, key=lambda segment: segment.end)
                self._reader = Reader(self._segments[at])
            record = self._reader.read()
            self._position = self._reader.next
            if record is not None:
                return self._position - 1, record
            self._stop_reading()

    def _stop_reading(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _note(self, gone: int) -> bool:
        """Write down that all below `gone` is settled: a file still there after a crash is then known to be. Before
        anything is changed here: without room for it all stays as it is."""
        try:
            _write_progress(self.folder, self.settled, self.ends, self._next, gone)
        except OSError as error:
            if isinstance(reason := _failure(self.folder, error), SpillFull):
                return False
            raise reason from error
        return True

    def _forget(self, gone: list[Segment]) -> None:
        if self._segments[-1] is gone[-1]:
            self._close_segment()
        if self._reader is not None and self._reader.segment in gone:
            self._stop_reading()
        self._gone = gone[-1].end
        self._position = max(self._position, self._gone)
        self._known = dict(self.ends)
        for segment in gone:
            segment.path.unlink()
            self.bytes -= segment.size
        del self._segments[: len(gone)]
        self._cut = {number for number in self._cut if number >= self._gone}
        reserve(self.folder / SPARE, SPARE_BYTES)


def _lock(folder: Path) -> int:
    """The kernel lets go of it when the process dies, however it dies."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise SpillDamaged(f"engine.spill_dir: {folder} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise SpillInUse(
            f"engine.spill_dir: {folder} is in use by process {holder}; give each engine a folder of its own"
        ) from None
    with suppress(OSError):  # a full disk: the lock is the lock's, not its content's, which names the holder
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
    return descriptor


def _cut_torn_tail(segment: Segment) -> None:
    torn = segment.path.stat().st_size - segment.size
    if torn:
        _log.warning("the end of a spill file is not whole; it is cut off", file=str(segment.path), bytes=torn)
        os.truncate(segment.path, segment.size)


def _failure(folder: Path, error: OSError) -> Exception:
    if error.errno in _FULL:
        return SpillFull(error.strerror)
    return SpillDamaged(
        f"engine.spill_dir: {folder} cannot be written to: {error.strerror}; mend the disk, then start the engine "
        "again with the same folder"
    )


def _write_progress(
    folder: Path, settled: Mapping[Spot, int], ends: Mapping[Spot, int], following: int, gone: int
) -> None:
    fields = {
        "next": following,
        "gone": gone,
        "spots": [[*spot, settled.get(spot, -1), offset] for spot, offset in ends.items()],
    }
    replace_file(folder / "progress.json", json.dumps(fields, separators=(",", ":")).encode(), folder / SPARE)


def _read_progress(path: Path) -> tuple[dict[Spot, int], dict[Spot, int], int, int]:
    """(last settled number of each partition, where its next can lie, next number, first number not forgotten)."""
    try:
        fields = json.loads(path.read_bytes())
        spots = fields["spots"]
        settled = {(topic, partition): number for topic, partition, number, _ in spots}
        known = {(topic, partition): offset for topic, partition, _, offset in spots}
        return settled, known, int(fields["next"]), int(fields["gone"])
    except FileNotFoundError:
        return {}, {}, 0, 0
    except (ValueError, KeyError, TypeError) as error:
        raise SpillDamaged(
            f"{path} cannot be read ({error}); without it records could be sent twice: move the folder away to give up "
            "what waits in it"
        ) from error
