"""Where reading begins and ends when the log is not a plain run of records."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.cimpl import NewPartitions
from experience_keys import expected, keys, two_partitions
from synthetic_play import play

from generals_client import ExperienceStream, PositionLost
from generals_runtime.kafka import make_admin
from generals_schemas.codec import encode_batch
from generals_schemas.records import ExperienceBatch


def test_a_rejected_marker_at_the_end_is_passed_and_counted(rng: Any, produce: Any, stream: Any) -> None:
    records = list(play(rng, games=1, chunks=2, ticks=5))
    marker = ExperienceBatch.rejection(
        reason="checksum", source=replace(records[-1].source, offset=2, index=0, count=1), config_version="x"
    )
    produce([*records, marker])
    with stream("a") as reader:
        assert keys(reader) == expected(records)
        assert (reader.stats.rejected, reader.stats.lost_chunks) == (1, 0)
        assert [p.offset for p in reader.positions() if p.partition == 0] == [5]
    with stream("b") as reader:
        assert [record.batch.rejected for record in reader.records()] == [None] * 4 + ["checksum"]


def test_an_empty_topic_has_no_batches_and_ends(stream: Any) -> None:
    with stream() as reader:
        assert list(reader) == []
        assert reader.at_end


def test_offsets_that_hold_no_record_end_the_reading_too(
    rng: Any, kafka: str, stream: Any, topics_for_test: Any
) -> None:
    """A transaction's end takes an offset of its own, behind its last record."""
    records = list(play(rng, games=1, chunks=2, ticks=5))
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topics_for_test.prefix, "linger.ms": 0})
    producer.init_transactions(30)
    producer.begin_transaction()
    for record in records:
        producer.produce(topics_for_test.experiences, value=encode_batch(record), partition=0)
    producer.commit_transaction(30)
    with stream() as reader:
        assert keys(reader) == expected(records)
        assert [p.offset for p in reader.positions() if p.partition == 0] == [5]


def test_an_offset_and_a_time_win_over_what_the_group_committed(rng: Any, produce: Any, stream: Any) -> None:
    records = list(play(rng, games=1, chunks=4, ticks=10))
    produce(records[:4], timestamp_ms=1_000_000)
    produce(records[4:], timestamp_ms=2_000_000)
    with stream("mine") as reader:
        assert Counter(keys(reader)) == Counter(expected(records))
        reader.commit()
    with stream("mine") as reader:
        assert list(reader) == []
    with stream("mine", start=datetime.fromtimestamp(1500, UTC)) as reader:
        assert Counter(keys(reader)) == Counter(expected(records[4:]))
    with stream("mine", start={0: 6}) as reader:
        assert Counter(keys(reader)) == Counter(expected(records[6:]))


@pytest.mark.partitions(1)
def test_a_partition_made_later_is_read_from_its_beginning_even_by_who_started_at_the_latest(
    rng: Any, produce: Any, stream: Any, kafka_settings: Any, topics_for_test: Any
) -> None:
    produce(play(rng, games=1, chunks=1, ticks=3))
    later = list(play(rng, games=1, chunks=3, ticks=5, partition=1))
    with stream(start="latest", follow=True, client_config={"topic.metadata.refresh.interval.ms": 3000}) as reader:
        while reader.assignment != (0,):
            reader.poll_records()
        admin = make_admin(kafka_settings)
        for future in admin.create_partitions([NewPartitions(topics_for_test.experiences, 2)]).values():
            future.result(10)
        produce(later)
        found: list[ExperienceBatch] = []
        while len(found) < len(later):
            found += [record.batch for record in reader.poll_records()]
    assert expected(found) == expected(later)


@pytest.mark.partitions(1)
def test_a_partition_made_while_nobody_read_begins_at_its_end_for_the_latest_and_that_is_said(
    rng: Any, produce: Any, stream: Any, kafka_settings: Any, topics_for_test: Any, caplog: pytest.LogCaptureFixture
) -> None:
    produce(play(rng, games=1, chunks=1, ticks=3))
    with stream("late", start="latest") as reader:
        assert list(reader) == []
        reader.commit()
    assert "passed over" not in caplog.text
    admin = make_admin(kafka_settings)
    for future in admin.create_partitions([NewPartitions(topics_for_test.experiences, 2)]).values():
        future.result(10)
    produce(play(rng, games=1, chunks=3, ticks=5, partition=1))
    with stream("late", start="latest") as reader:
        assert list(reader) == []
    assert "what came while nobody of the group was reading is passed over" in caplog.text


def test_starts_that_cannot_be_are_named(rng: Any, kafka: str, stream: Any) -> None:
    with pytest.raises(PositionLost, match="has no partition 7: it has 2"):
        stream(start={7: 0})
    for start in ("yesterday", -3, True, 1.5):
        with pytest.raises(ValueError, match="start is"):
            stream(start=start)


def test_options_that_would_break_the_promises_are_refused(stream: Any) -> None:
    for key, value in {"enable.auto.commit": True, "auto.offset.reset": "latest", "group.id": "x"}.items():
        with pytest.raises(ValueError, match=f"client_config sets {key}"):
            stream(client_config={key: value})
    for config in ({"partition.assignment.strategy": "cooperative-sticky"}, {"group.protocol": "consumer"}):
        with pytest.raises(ValueError, match="incremental rebalances"):
            stream(client_config=config)
    with pytest.raises(ValueError, match=r"must be a collection of ids, \['run-0'\]"):
        stream(game_ids="run-0")
    for wrong in ({"batch_size": 0}, {"sample_fraction": 0}, {"n_step": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            stream(**wrong)


def test_filters_apply_to_whole_records_too(rng: Any, produce: Any, stream: Any) -> None:
    records = two_partitions(rng)
    produce(records)
    game = records[0].game_id
    with stream(game_ids=[game], players=[0]) as reader:
        found = [record.batch for record in reader.records()]
    assert expected(found) == expected(r for r in records if r.game_id == game and r.player == 0)


def test_positions_pass_what_filters_drop(rng: Any, produce: Any, stream: Any) -> None:
    records = two_partitions(rng)
    produce(records)
    wanted = [r for r in records if r.player == 1]
    options = {"players": [1], "sample_fraction": 0.5, "batch_size": 10}
    with stream("whole", **options) as reader:
        whole = keys(reader)
    with stream("first", **options) as reader:
        source = iter(reader)
        before = keys(next(source) for _ in range(4))
        saved = reader.positions()
    with stream("second", start=saved, **options) as reader:
        after = keys(reader)
    assert Counter(before + after) == Counter(whole)
    assert set(whole) < set(expected(wanted))


def test_a_reader_that_stands_still_holds_a_bounded_part_of_the_topic(
    rng: Any, produce: Any, stream: Callable[..., ExperienceStream]
) -> None:
    """78 MB of incompressible records, as much again unpacked; a queue of 4 MB and a poll of 16 MB are allowed."""
    (sample, _) = play(rng, games=1, chunks=1, ticks=40, side=(40, 41))
    records = []
    for offset in range(600):
        noise = rng.integers(0, 65535, sample.armies.shape, dtype="u2")
        source = replace(sample.source, offset=offset, index=0, count=1)
        records.append(encode_batch(replace(sample, armies=noise, source=source)))
    assert sum(map(len, records)) > 75e6
    produce(records)
    del records
    before = resident_bytes()
    with stream(batch_size=40, client_config={"queued.max.messages.kbytes": 4096, "fetch.wait.max.ms": 10}) as reader:
        steps, grown = 0, 0
        for batch in reader:
            if not steps:
                Event().wait(1.0)  # the caller is busy: fetching goes on until the queue is full
            steps += len(batch)
            grown = max(grown, resident_bytes() - before)
    assert steps == 600 * 40
    assert grown < 70e6


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
