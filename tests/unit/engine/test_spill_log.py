"""The queue on disk: framing, torn ends, order, the lock, its share of the disk, what is forgotten when."""

import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from full_disk import full_disk
from simulated_kafka import bury

from generals_engine.spill_frames import Record, bodies, digest, frame, record_body, record_of
from generals_engine.spill_log import SPARE, SPARE_BYTES, SpillFull, SpillInUse, SpillLog
from generals_engine.spill_segments import SpillDamaged, records, scan

SPOT = ("chunks", 3)
IDS = {"chunks": "an-id"}


def a_record(number: int, size: int = 100) -> Record:
    return Record(*SPOT, b"game-7", b"%06d" % number + b"v" * size, 1_700_000_000_000 + number, number)


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., SpillLog]:
    def make(max_bytes: int = 8000, ends: dict[tuple[str, int], int] | None = None) -> SpillLog:
        return SpillLog(tmp_path / "spill", max_bytes=max_bytes, ends=ends or {SPOT: 40}, ids=IDS)

    return make


def handed_on(log: SpillLog) -> list[tuple[int, Record]]:
    found = []
    while (following := log.peek()) is not None:
        found.append(following)
        log.advance()
    return found


def test_a_record_comes_back_as_it_was_framed() -> None:
    record = Record("t.generals.transitions", 11, b"run-0-1", bytes(range(256)), -1, 4_000_000_000)
    [body] = bodies(io.BytesIO(frame(record_body(record))))
    assert record_of(body) == record
    assert len(frame(record_body(record))) == record.size


def test_frames_end_before_the_first_that_is_not_whole() -> None:
    whole = [record_body(a_record(number)) for number in range(3)]
    content = b"".join(map(frame, whole))
    last = len(frame(whole[2]))
    for cut in range(1, last):
        assert list(bodies(io.BytesIO(content[:-cut]))) == whole[:2]
    for at in range(len(content) - last, len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 1
        assert list(bodies(io.BytesIO(damaged))) == whole[:2]


@pytest.mark.parametrize("tail", [b"\0" * 64, b"\xff" * 64, b"\x01"])
def test_zeros_and_garbage_behind_the_last_frame_are_no_records(tail: bytes) -> None:
    body = record_body(a_record(0))
    assert list(bodies(io.BytesIO(frame(body) + tail))) == [body]


def test_a_digest_tells_games_chunks_and_bytes_apart() -> None:
    seen = {digest(key, value) for key in (b"a", b"b", b"k" * 90) for value in (b"", b"1", b"2")}
    assert len(seen) == 9


def test_records_come_out_in_order_over_many_files(opened: Callable[..., SpillLog]) -> None:
    log = opened()
    given = [a_record(number) for number in range(40)]
    assert [log.append(record) for record in given] == list(range(40))
    assert len(list(log.folder.glob("*.spill"))) > 3
    assert handed_on(log) == list(enumerate(given))
    assert (log.waiting, log.unsettled) == (0, 40)
    log.close()


def test_reading_and_writing_take_turns_in_one_file(opened: Callable[..., SpillLog]) -> None:
    log = opened(max_bytes=1 << 20)
    for number in range(20):
        log.append(a_record(number))
        assert handed_on(log) == [(number, a_record(number))]
    log.close()


def test_files_go_once_all_that_was_in_them_is_settled_and_the_disk_is_free_again(
    opened: Callable[..., SpillLog],
) -> None:
    log = opened()
    for number in range(40):
        log.append(a_record(number))
    handed_on(log)
    for number in range(39):
        log.acknowledge(SPOT, number, 40 + number)
        log.collect()
    assert [path.name for path in log.folder.glob("*.spill")] == ["00000000000000000036.spill"]
    log.acknowledge(SPOT, 39, 79)
    log.collect()
    assert (log.bytes, log.unsettled, list(log.folder.glob("*.spill"))) == (0, 0, [])
    log.close()


def test_numbers_are_never_used_twice(opened: Callable[..., SpillLog]) -> None:
    log = opened()
    for number in range(5):
        log.append(a_record(number))
    handed_on(log)
    for number in range(5):
        log.acknowledge(SPOT, number, 40 + number)
    log.close()
    assert list(log.folder.glob("*.spill")) == []
    later = opened()
    assert not later.recovering
    assert later.append(a_record(5)) == 5
    later.close()


def test_a_successor_learns_where_in_the_log_old_records_can_lie(opened: Callable[..., SpillLog]) -> None:
    log = opened()
    log.acknowledge(SPOT, None, 49)
    for number in range(40):
        log.append(a_record(number))
    log.close()
    later = opened(ends={SPOT: 1000})
    assert later.recovering
    assert later.old_starts() == {SPOT: 50}
    assert [number for number, _ in later.old_records()] == list(range(40))
    assert later.peek() is None, "nothing is handed on before it is known what the log has"
    later.close()


def test_progress_shortens_what_a_successor_has_to_read(opened: Callable[..., SpillLog]) -> None:
    log = opened()
    for number in range(40):
        log.append(a_record(number))
    handed_on(log)
    for number in range(20):
        log.acknowledge(SPOT, number, 100 + number)
    log.close()
    later = opened(ends={SPOT: 1000})
    assert later.settled == {SPOT: 19}
    assert later.old_starts() == {SPOT: 120}
    later.close()


def test_a_torn_end_is_cut_off_and_what_follows_begins_a_new_file(opened: Callable[..., SpillLog]) -> None:
    log = opened(max_bytes=1 << 20)
    for number in range(3):
        log.append(a_record(number))
    log.close()
    [path] = log.folder.glob("*.spill")
    os.truncate(path, path.stat().st_size - 5)
    later = opened(max_bytes=1 << 20)
    assert [number for number, _ in later.old_records()] == [0, 1]
    assert later.append(a_record(9)) == 2
    later.close()
    last = opened(max_bytes=1 << 20)
    assert [record for _, record in last.old_records()] == [a_record(0), a_record(1), a_record(9)]
    assert last.damaged_at is None
    last.close()


def test_a_missing_file_is_noticed(opened: Callable[..., SpillLog]) -> None:
    log = opened()
    for number in range(40):
        log.append(a_record(number))
    log.close()
    files = sorted(log.folder.glob("*.spill"))
    files[1].unlink()
    third = scan(files[2])
    assert third is not None
    later = opened()
    assert later.damaged_at == third.first
    later.close()


def test_the_limit_is_kept_and_says_so_before_anything_is_written(opened: Callable[..., SpillLog]) -> None:
    log = opened(max_bytes=4000)
    number = 0
    while log.has_room(a_record(number)):
        log.append(a_record(number))
        number += 1
    assert number > 10
    on_disk = sum(path.stat().st_size for path in log.folder.glob("*.spill"))
    assert on_disk == log.bytes <= 4000 + 200  # the last file's header
    log.close()


def test_a_full_disk_leaves_no_half_record(opened: Callable[..., SpillLog], monkeypatch: pytest.MonkeyPatch) -> None:
    log = opened(max_bytes=1 << 20)
    log.append(a_record(0))
    real = os.write

    def half(descriptor: int, content: bytes) -> int:
        if len(content) < 50:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, content[: len(content) - 20])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(SpillFull, match="No space left"):
            log.append(a_record(1))
    log.append(a_record(2))
    assert [record for _, record in handed_on(log)] == [a_record(0), a_record(2)]
    [path] = log.folder.glob("*.spill")
    segment = scan(path)
    assert segment is not None
    assert [record for _, record in records(segment)] == [a_record(0), a_record(2)]
    assert path.stat().st_size == segment.size
    log.close()


def filled_and_settled(log: SpillLog, first: int = 0) -> None:
    for number in range(first, first + 40):
        log.append(a_record(number))
    handed_on(log)
    for number in range(first, first + 40):
        log.acknowledge(SPOT, number, 40 + number)


def test_room_is_taken_back_on_a_full_disk_again_and_again(opened: Callable[..., SpillLog]) -> None:
    log = opened()
    for first in (0, 41, 82):
        filled_and_settled(log, first)
        with full_disk():
            with pytest.raises(SpillFull, match="No space left"):
                log.append(a_record(first + 40))
            log.collect()
        assert (log.bytes, list(log.folder.glob("*.spill"))) == (0, [])
        log.append(a_record(first + 40))
        handed_on(log)
        log.acknowledge(SPOT, first + 40, first + 80)
        log.collect()
        assert (log.folder / SPARE).stat().st_size == SPARE_BYTES, "files that went have made room for the next time"
    with full_disk():
        log.close()
        later = opened()
    assert not later.recovering
    assert later.append(a_record(123)) == 123
    later.close()


def test_where_not_even_progress_can_be_written_nothing_changes_until_it_can(opened: Callable[..., SpillLog]) -> None:
    log = opened()
    filled_and_settled(log)
    files, room = sorted(log.folder.glob("*.spill")), log.bytes
    (log.folder / SPARE).unlink()
    with full_disk():
        log.collect()
        log.collect()
    assert (sorted(log.folder.glob("*.spill")), log.bytes) == (files, room)
    assert log.append(a_record(40)) == 40
    log.collect()
    assert len(list(log.folder.glob("*.spill"))) == 1
    assert handed_on(log) == [(40, a_record(40))]
    assert (log.unsettled, log.waiting) == (1, 0)
    log.close()


def test_a_death_while_progress_could_not_be_written_leaves_all_records_to_be_looked_up(
    opened: Callable[..., SpillLog],
) -> None:
    log = opened()
    filled_and_settled(log)
    (log.folder / SPARE).unlink()
    with full_disk():
        log.collect()
        bury(log.folder)
        later = opened(ends={SPOT: 80})
    assert (later.recovering, later.damaged_at) == (True, None)
    assert [number for number, _ in later.old_records()] == list(range(40))
    assert later.old_starts() == {SPOT: 40}
    later.close()


def test_a_disk_too_full_to_sync_is_full_and_not_the_end(
    opened: Callable[..., SpillLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = opened()
    log.append(a_record(0))

    def fails(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        with pytest.raises(SpillFull, match="No space left"):
            log.sync(now=True)
    log.sync(now=True)
    assert handed_on(log) == [(0, a_record(0))]
    log.close()


def test_two_engines_cannot_share_a_folder(opened: Callable[..., SpillLog]) -> None:
    log = opened()
    with pytest.raises(SpillInUse, match=f"in use by process {os.getpid()}; give each engine a folder of its own"):
        opened()
    log.close()
    opened().close()


def test_the_lock_goes_with_its_process_however_that_dies(opened: Callable[..., SpillLog], tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from generals_engine.spill_log import SpillLog\n"
        "SpillLog(pathlib.Path(sys.argv[1]), max_bytes=8000, ends={}, ids={})\n"
        "print('locked', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "spill")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(SpillInUse, match=f"process {holder.pid}"):
            opened()
        holder.kill()
        holder.wait()
        opened().close()


def test_unreadable_progress_stops_the_engine_instead_of_sending_twice(opened: Callable[..., SpillLog]) -> None:
    opened().close()
    log = opened()
    (log.folder / "progress.json").write_text("{")
    log.close()
    with pytest.raises(SpillDamaged, match=r"progress\.json cannot be read.*move the folder away"):
        opened()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpillDamaged, match=r"engine\.spill_dir: .*file/spill cannot be used"):
        SpillLog(tmp_path / "file" / "spill", max_bytes=8000, ends={}, ids={})
