"""What the collector keeps about offsets, rejections and progress."""

import pytest

from generals_collector.continuity import Continuity, Gap
from generals_collector.limits import RejectCounter, TooManyRejected
from generals_collector.progress import Beyond, Progress
from generals_collector.settings import RejectLimits


def gaps(continuity: Continuity, *offsets: int, partition: int = 0) -> list[Gap]:
    found = [continuity.check(partition, offset) for offset in offsets]
    return [gap for gap in found if gap is not None]


def test_offsets_in_a_row_are_no_gap_and_neither_is_a_rewind() -> None:
    continuity = Continuity()
    continuity.assigned({0: 100})
    assert gaps(continuity, 100, 101, 102, 95, 96, 97, 98, 99, 100, 101, 102, 103) == []


def test_a_jump_within_an_assignment_is_a_gap() -> None:
    continuity = Continuity()
    continuity.assigned({0: 100})
    assert gaps(continuity, 100, 101, 105) == [Gap(0, 102, 105)]
    assert Gap(0, 102, 105).records == 3


def test_a_log_that_starts_after_the_committed_offset_is_a_gap() -> None:
    continuity = Continuity()
    continuity.assigned({0: 100})
    assert gaps(continuity, 130) == [Gap(0, 100, 130)]


def test_what_another_collector_did_between_two_assignments_is_no_gap() -> None:
    continuity = Continuity()
    continuity.assigned({0: 100})
    assert gaps(continuity, 100, 101, 102) == []
    continuity.assigned({0: 500})
    assert gaps(continuity, 103, 104) == [], "still in flight from before"
    assert gaps(continuity, 500, 501, 503) == [Gap(0, 502, 503)]


def test_a_gap_long_after_a_partition_came_back_begins_behind_what_was_collected() -> None:
    continuity = Continuity()
    continuity.assigned({0: 100})
    assert gaps(continuity, 100, 101) == []
    continuity.assigned({0: 102})
    assert gaps(continuity, 102, 103, 104, 110) == [Gap(0, 105, 110)]


def test_partitions_are_watched_apart() -> None:
    continuity = Continuity()
    continuity.assigned({0: 0, 1: 0})
    assert gaps(continuity, 0, 1) == []
    assert gaps(continuity, 0, partition=1) == []
    assert gaps(continuity, 3) == [Gap(0, 2, 3)]
    assert gaps(continuity, 1, partition=1) == []


def test_so_many_rejections_in_a_row_stop_the_collector() -> None:
    counter = RejectCounter(RejectLimits(in_a_row=3, in_window=0))
    for _ in range(100):
        counter.note("checksum")
        counter.note("checksum")
        counter.note(None)
    counter.note("tiles")
    counter.note("tiles")
    with pytest.raises(TooManyRejected, match=r"3 chunks in a row were rejected, the last one for 'checksum'"):
        counter.note("checksum")


def test_so_many_rejections_in_a_window_stop_the_collector() -> None:
    counter = RejectCounter(RejectLimits(in_a_row=0, in_window=4, window=20))
    for _ in range(50):  # three in twenty are borne for ever
        for at in range(20):
            counter.note("shape" if at in (0, 7, 14) else None)
    counter.note("shape")
    with pytest.raises(TooManyRejected, match=r"4 of the last 20 chunks .* collector\.limits\.in_window \(4\)"):
        counter.note("shape")


def test_limits_of_zero_are_off() -> None:
    counter = RejectCounter(RejectLimits(in_a_row=0, in_window=0))
    for _ in range(5000):
        counter.note("checksum")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def lags(progress: Progress, ends: dict[int, int]) -> dict[int, int]:
    assert progress.look(lambda: ends) == []
    return dict(progress.lag)


def test_a_partition_with_lag_that_does_not_move_is_stalled() -> None:
    clock = Clock()
    progress = Progress(30, clock=clock)
    progress.assigned({0: 10, 1: 0})
    assert lags(progress, {0: 15, 1: 0}) == {0: 5, 1: 0}
    clock.now = 29
    progress.reached(0, 12)
    clock.now = 58
    assert lags(progress, {0: 15, 1: 0}) == {0: 3, 1: 0}
    assert progress.stalled() is None
    clock.now = 60
    assert progress.stalled() == "partition 0 has 3 records left and has not moved for 31 s"


def test_idle_time_at_the_end_of_the_log_does_not_count() -> None:
    clock = Clock()
    progress = Progress(30, clock=clock)
    progress.assigned({0: 10})
    for clock.now in range(0, 300, 10):
        lags(progress, {0: 10})
    lags(progress, {0: 11})
    clock.now += 29
    assert progress.stalled() is None


def test_time_without_a_broker_does_not_count() -> None:
    clock = Clock()
    progress = Progress(30, clock=clock)
    progress.assigned({0: 10})
    lags(progress, {0: 15})
    for clock.now in range(0, 300, 10):
        assert lags(progress, {}) == {0: 5}
        assert progress.stalled() is None
    clock.now += 31
    assert lags(progress, {0: 15}) == {0: 5}
    assert progress.stalled() is not None


def test_a_partition_that_was_taken_away_is_forgotten() -> None:
    clock = Clock()
    progress = Progress(30, clock=clock)
    progress.assigned({0: 0, 1: 0})
    lags(progress, {0: 5, 1: 5})
    progress.assigned({1: 5})
    progress.reached(0, 3)
    clock.now = 100
    assert lags(progress, {0: 5, 1: 5}) == {1: 0}
    assert progress.stalled() is None


def test_a_log_that_ends_before_what_is_collected_is_told_at_the_second_look() -> None:
    progress = Progress(30)
    progress.assigned({0: 10, 1: 10})
    assert progress.look(lambda: {0: 7, 1: 10}) == []
    assert progress.look(lambda: {0: 8, 1: 10}) == [Beyond(0, 10, 8)]
    assert progress.look(lambda: {0: 10, 1: 7}) == [], "each partition is seen twice for itself"
    assert progress.look(lambda: {0: 10, 1: 10}) == []
    assert progress.look(lambda: {0: 10, 1: 7}) == [], "twice in a row"


def test_what_is_acknowledged_while_the_answer_is_on_its_way_is_not_beyond_the_end() -> None:
    """With several brokers the answer waits for the slowest of them, and is as old as the fastest one's."""
    progress = Progress(30)
    progress.assigned({0: 10})

    ends = iter(range(10, 30, 2))

    def late_answer() -> dict[int, int]:
        end = next(ends)
        progress.reached(0, end + 2)  # acknowledged after the end was looked up
        return {0: end}

    for _ in range(10):
        assert progress.look(late_answer) == []
        assert progress.lag == {0: 0}
