"""Positions of a stream never pass a record that was not handed on, whatever was in between."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from experience_keys import Keys, expected, keys, two_partitions
from synthetic_play import play

from generals_client import Position
from generals_client.reader import RecordReader
from generals_schemas.codec import encode_batch
from generals_schemas.errors import BadRecord
from generals_schemas.records import ExperienceBatch


def through_json(positions: list[Position]) -> list[Position]:
    return [Position.from_json(position.to_json()) for position in positions]


def test_positions_of_whole_records_stand_behind_the_one_handed_on_not_behind_what_was_fetched(
    rng: Any, produce: Any, stream: Any
) -> None:
    records = two_partitions(rng)
    produce(records)
    with stream("first") as reader:
        source = reader.records()
        before = [next(source).batch for _ in range(3)]
        saved = reader.positions()
    with stream("second", start=saved) as reader:
        after = [record.batch for record in reader.records()]
    assert Counter(expected(before + after)) == Counter(expected(records))


def test_records_fetched_and_not_handed_on_come_from_the_next_iterator(rng: Any, produce: Any, stream: Any) -> None:
    records = two_partitions(rng)
    produce(records)
    with stream() as reader:
        first = [next(reader.records()).batch for _ in range(3)]
        rest = [record.batch for record in reader.records()]
    assert Counter(expected(first + rest)) == Counter(expected(records))


def test_stopping_and_going_on_again_and_again_loses_and_doubles_nothing(rng: Any, produce: Any, stream: Any) -> None:
    """Boards of many sizes, so that records are handed on out of order; repeats in the log that only marks tell."""
    records = two_partitions(rng, side=(6, 9))
    produce(records[:18] + records[4:18] + records[18:] + records[20:30])
    found: Keys = []
    saved: list[Position] | str = "earliest"
    stops = 0
    for hop in range(12):
        with stream(f"hop-{hop}", start=saved, batch_size=37, max_wait_s=60) as reader:
            source = iter(reader)
            found += keys([batch for _, batch in zip(range(int(rng.integers(1, 4))), source, strict=False)])
            stops += not reader.at_end
            saved = through_json(reader.positions())
    with stream("last", start=saved) as reader:
        found += keys(reader)
    assert Counter(found) == Counter(expected(records))
    assert stops >= len(expected(records)) // (3 * 37), "no hop hands on more than three batches"


def test_a_position_restored_and_saved_again_keeps_its_mark_and_all_that_was_handed_on(
    rng: Any, produce: Any, stream: Any
) -> None:
    small, large = (list(play(rng, games=1, chunks=4, ticks=10, side=side)) for side in ((5, 6), (9, 10)))
    log = renumbered([small[0], *large[:3]])
    produce(log + log)
    with stream("one", batch_size=15, max_wait_s=60) as reader:
        before = keys([next(iter(reader))])
        first = through_json(reader.positions())
    assert first[0].offset == 0, "the small board waits"
    with stream("two", batch_size=15, max_wait_s=60, start=first) as reader:
        assert through_json(reader.positions()) in ([], first)
        before += keys([next(iter(reader))])
        second = through_json(reader.positions())
    with stream("three", start=second) as reader:
        after = keys(reader)
    assert Counter(before + after) == Counter(expected(log))


def renumbered(records: list[ExperienceBatch]) -> list[ExperienceBatch]:
    """As if each were a chunk of its own, one after another."""
    return [replace(r, source=replace(r.source, offset=n, index=0, count=1)) for n, r in enumerate(records)]


def test_a_commit_holds_what_was_handed_on_behind_a_thousand_records_that_wait(
    rng: Any, produce: Any, stream: Any
) -> None:
    rare = list(play(rng, games=1, chunks=1, ticks=3, side=(5, 6)))[:1]
    usual = list(play(rng, games=1, chunks=750, ticks=4, side=(4, 5)))
    log = renumbered(rare + usual)
    produce(log)
    with stream("mine", batch_size=4, max_wait_s=600, follow=True) as reader:
        source = iter(reader)
        before = keys(next(source) for _ in range(len(usual)))
        (position,) = [p for p in reader.positions() if p.partition == 0]
        assert (position.offset, len(position.handed)) == (0, len(usual))
        assert reader.commit()
    with stream("mine") as reader:
        assert keys(reader) == expected(rare)
    assert Counter(before) == Counter(expected(usual))


def test_a_board_that_stays_rare_does_not_hold_the_position_back_for_ever(rng: Any, produce: Any, stream: Any) -> None:
    rare = list(play(rng, games=1, chunks=1, ticks=3, side=(5, 6)))[:1]
    usual = list(play(rng, games=1, chunks=1100, ticks=1, side=(4, 5)))
    produce(renumbered(rare + usual))
    with stream(batch_size=5, max_wait_s=600, follow=True) as reader:
        source = iter(reader)
        sizes = {(batch.width, len(batch)) for _, batch in zip(range(440), source, strict=False)}
    assert (5, 3) in sizes, "handed on though not full, since 2,048 records stood behind it"


def test_positions_are_still_there_after_closing(rng: Any, produce: Any, stream: Any) -> None:
    records = two_partitions(rng)
    produce(records)
    with stream("first", batch_size=50) as reader:
        before = keys([next(iter(reader))])
        open_still = reader.positions()
    reader.close()
    assert reader.positions() == open_still
    with stream("second", start=reader.positions()) as reader:
        assert Counter(before + keys(reader)) == Counter(expected(records))


def test_an_unreadable_record_is_named_and_positions_stand_before_it(rng: Any, produce: Any, stream: Any) -> None:
    good = list(play(rng, games=1, chunks=2, ticks=5))
    broken = bytearray(encode_batch(good[2]))
    broken[40] ^= 1
    produce([*good[:2], bytes(broken), good[3]])
    with stream("first") as reader:
        read: list[ExperienceBatch] = []
        with pytest.raises(BadRecord, match="CRC-32") as caught:
            read.extend(record.batch for record in reader.records())
        assert "offset 2 of" in caught.value.__notes__[0]
        assert expected(read) == expected(good[:2])
        (position,) = [p for p in reader.positions() if p.partition == 0]
        assert position.offset == 2
    behind = replace(position, offset=3)
    with stream("second", start=[behind]) as reader:
        assert keys(reader) == expected(good[3:])
        assert reader.stats.lost_chunks == 1, "half of a chunk"


def test_shares_read_each_partition_once_and_keep_the_groups_positions(
    kafka: str, topics_for_test: Any, rng: Any, produce: Any
) -> None:
    records = two_partitions(rng)
    produce(records)
    topic = topics_for_test.experiences

    def share(which: int, of: int) -> RecordReader:
        return RecordReader(bootstrap_servers=kafka, group="shares", topic=topic, share=(which, of))

    found = []
    with share(0, 2) as first, share(1, 2) as second:
        assert (first.assignment, second.assignment) == ((0,), (1,))
        for reader in (first, second):
            while not reader.at_end:
                found += [delivered.batch for delivered in reader.poll(1.0)]
            assert reader.commit()
    assert Counter(expected(found)) == Counter(expected(records))
    with share(0, 1) as successor:
        assert successor.assignment == (0, 1)
        assert successor.at_end, "it goes on where the shares had come to"
        assert [position.mark for position in successor.positions()] != [None, None]
