"""When a segment is closed, and with how much in it."""

import pytest

from generals_writer.build import LogRecord
from generals_writer.claims import Cursor
from generals_writer.segments import OpenSegment, to_relieve
from generals_writer.settings import Rotation

NEVER = {"records": 10**9, "bytes": 10**9, "record_seconds": 10**9, "idle_seconds": 10**9, "open_seconds": 10**9}
T0 = 1_750_000_000_000


def rotation(**limits: float) -> Rotation:
    return Rotation.model_validate({**NEVER, **limits})


def segment(*times_s: float, size: int = 10, first: int = 0, newest_ms: int = 0) -> OpenSegment:
    found = OpenSegment(Cursor(first), newest_ms)
    for n, seconds in enumerate(times_s):
        found.add(LogRecord(first + n, T0 + int(seconds * 1000), b"x" * size), now=100.0 + n)
    return found


def test_an_empty_segment_is_never_due() -> None:
    assert OpenSegment(Cursor(5)).due(rotation(records=1, idle_seconds=1), now=10**9) is None


@pytest.mark.parametrize(
    ("limits", "now", "reason"),
    [
        ({"records": 3}, 102.0, "records"),
        ({"records": 4}, 102.0, None),
        ({"bytes": 30}, 102.0, "bytes"),
        ({"bytes": 31}, 102.0, None),
        ({"record_seconds": 20}, 102.0, "record_seconds"),
        ({"record_seconds": 21}, 102.0, None),
        ({"idle_seconds": 5}, 107.0, "idle_seconds"),
        ({"idle_seconds": 5}, 106.9, None),
        ({"open_seconds": 5}, 105.0, "open_seconds"),
        ({"open_seconds": 5}, 104.9, None),
    ],
)
def test_each_limit_closes_a_segment_and_one_below_does_not(
    limits: dict[str, float], now: float, reason: str | None
) -> None:
    assert segment(0, 10, 20).due(rotation(**limits), now) == reason


def test_late_records_do_not_close_a_segment() -> None:
    assert segment(0, -7200, 1, -90_000).due(rotation(record_seconds=60), 104.0) is None


def test_a_segment_that_begins_with_a_late_record_is_not_closed_by_the_next_that_is_in_time() -> None:
    assert segment(-7200, 1, newest_ms=T0).due(rotation(record_seconds=60), 104.0) is None


def test_a_segment_is_cut_where_its_limit_is_and_the_rest_begins_the_next() -> None:
    whole = segment(*range(10), first=50)
    full = whole.full(rotation(records=4))
    assert [record.offset for record in full] == [50, 51, 52, 53]
    rest = whole.next(Cursor(54))
    assert [record.offset for record in rest.records] == [54, 55, 56, 57, 58, 59]
    assert (rest.before, rest.end, rest.size_bytes) == (Cursor(54), 60, 60)


def test_records_that_a_rival_has_archived_are_dropped() -> None:
    after = segment(*range(10), first=50).next(Cursor(75))
    assert (after.records, after.end) == ([], 75)


def test_cutting_by_bytes_and_by_record_time_takes_the_record_that_reaches_the_limit() -> None:
    assert len(segment(0, 1, 2, 3).full(rotation(bytes=20))) == 2
    assert len(segment(0, 1, 2, 3).full(rotation(record_seconds=2))) == 3
    assert len(segment(0, 1, 2, 3).full(rotation())) == 4


def test_the_largest_segment_gives_way_when_all_together_hold_too_much() -> None:
    segments = {0: segment(0, size=10), 1: segment(0, 1, size=30), 2: segment(0, size=50)}
    assert to_relieve(segments, 120) is None
    assert to_relieve(segments, 119) == 1


def test_open_hours_are_those_of_the_records() -> None:
    assert len(segment(0, 1, 3600, 7200, 7201).hours) == 3
