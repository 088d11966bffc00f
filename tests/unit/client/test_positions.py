"""One mark a partition drops every repeat and sees every loss."""

import itertools
import random

import pytest

from generals_client.errors import SourceChanged
from generals_client.positions import Deduplicator, Mark, Position
from generals_schemas.records import Source


def batch(offset: int, index: int, count: int = 2, topic_id: str = "one") -> Source:
    return Source("generals.transitions", topic_id, 0, offset, index, count)


RUN = [batch(offset, index) for offset in range(4) for index in range(2)]


def test_runs_that_start_anywhere_at_or_below_the_mark_give_each_batch_once() -> None:
    for first_stop, second_start, second_stop in itertools.product(range(9), range(9), range(9)):
        if not second_start <= first_stop:
            continue
        log = RUN[:first_stop] + RUN[second_start:second_stop] + RUN
        dedup = Deduplicator(0)
        seen = [source for source in log if dedup.accept(source)]
        assert seen == RUN
        assert dedup.lost == 0
        assert dedup.repeats == len(log) - len(RUN)


def test_a_zombie_that_goes_on_writing_between_another_collectors_batches_adds_nothing() -> None:
    for cut in range(len(RUN)):
        mixed = [source for pair in zip(RUN[cut:], RUN, strict=False) for source in pair]
        log = RUN[:cut] + mixed + RUN
        dedup = Deduplicator(0)
        assert [source for source in log if dedup.accept(source)] == RUN
        assert dedup.lost == 0


@pytest.mark.parametrize("dropped", range(1, 7))
def test_a_batch_left_out_in_the_middle_is_a_loss(dropped: int) -> None:
    dedup = Deduplicator(0)
    for source in RUN[:dropped] + RUN[dropped + 1 :]:
        dedup.accept(source)
    assert dedup.lost == 1


def test_a_whole_chunk_left_out_is_one_loss_and_two_are_two() -> None:
    one, two = Deduplicator(0), Deduplicator(0)
    assert [one.accept(source) for source in (batch(0, 0, 1), batch(2, 0, 1))] == [True, True]
    assert [two.accept(source) for source in (batch(0, 0, 1), batch(3, 0, 1))] == [True, True]
    assert (one.lost, two.lost) == (1, 2)


def test_a_chunk_once_complete_is_not_opened_again_by_another_count() -> None:
    dedup = Deduplicator(0)
    assert dedup.accept(batch(5, 0, 1))
    assert not dedup.accept(batch(5, 1, 2))


def test_records_of_another_source_topic_are_an_error_that_names_both_ids() -> None:
    dedup = Deduplicator(3, Mark(7, 0, 1), "old")
    with pytest.raises(SourceChanged, match=r"partition 3.*old.*new"):
        dedup.accept(batch(8, 0, 1, topic_id="new"))


def test_a_position_survives_json_and_a_commits_metadata() -> None:
    position = Position("generals.experiences", 2, 40, Mark(17, 1, 2), "abc", {40: 7, 42: 64})
    assert Position.from_json(position.to_json()) == position
    assert Position.from_metadata("generals.experiences", 2, 40, position.to_metadata()) == position
    assert Position.from_metadata("generals.experiences", 2, 40, "somebody else's") == Position(
        "generals.experiences", 2, 40
    )


def test_a_commit_never_exceeds_what_a_broker_takes_and_gives_back_the_first_that_were_handed_on(seed: int) -> None:
    rng = random.Random(seed)
    offsets = sorted(rng.sample(range(10**12, 10**12 + 5000), 2048))
    usual = Position("t", 0, 10**12, Mark(10**12, 11, 12), "A" * 22, {o: rng.choice([64, 64, 64, 17]) for o in offsets})
    assert len(usual.to_metadata()) <= 4096
    assert Position.from_metadata("t", 0, 10**12, usual.to_metadata()) == usual
    wild = Position("t", 0, 0, None, "", {3 * n: rng.randrange(1, 10**6) for n in range(5000)})
    assert len(wild.to_metadata()) <= 4096
    kept = Position.from_metadata("t", 0, 0, wild.to_metadata()).handed
    assert 500 < len(kept) < 5000
    assert kept == {offset: wild.handed[offset] for offset in sorted(wild.handed)[: len(kept)]}


@pytest.mark.parametrize("handed", ['"AAAA"', '"!"', "7", '"eJwDAAAAAAE="', "{}"])
def test_metadata_that_only_looks_like_ours_is_no_mark(handed: str) -> None:
    metadata = f'{{"mark":[1,2,3],"source_id":"x","handed":{handed}}}'
    found = Position.from_metadata("t", 0, 9, metadata)
    assert found.offset == 9
    assert not found.handed


def test_of_two_positions_the_further_one_counts_with_all_that_either_handed_on_beyond_it() -> None:
    here = Position("t", 0, 10, Mark(4, 0, 1), "x", {10: 7, 12: 64, 13: 2})
    there = Position("t", 0, 12, Mark(6, 0, 1), "x", {12: 3, 13: 5, 14: 1})
    assert here.joined(there) == there.joined(here) == Position("t", 0, 12, Mark(6, 0, 1), "x", {12: 64, 13: 5, 14: 1})
