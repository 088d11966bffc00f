"""What a stream does when the group takes partitions away, and when the broker goes away."""

import threading
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from experience_keys import Keys, expected, keys, two_partitions
from synthetic_play import play

from generals_client import Batch, ExperienceStream
from generals_runtime.broker import EmbeddedBroker
from generals_runtime.kafka import ensure_topics, make_producer
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import encode_batch
from generals_schemas.records import ExperienceBatch
from generals_schemas.topics import TOPICS


def split(records: list[ExperienceBatch], partition: int) -> list[ExperienceBatch]:
    return [r for r in records if r.source.partition == partition]


def test_rows_that_wait_of_a_partition_taken_away_are_dropped_and_its_new_owner_hands_them_on(
    rng: Any, produce: Any, stream: Any
) -> None:
    """The first reads both partitions but hands on nothing until a batch is full; then it has lost one of them."""
    records = two_partitions(rng, side=(8, 9))
    produce(records)
    per_partition = len(expected(split(records, 0)))
    full = 2 * per_partition + 1
    batches: list[Batch] = []
    with stream("shared", follow=True, batch_size=full, max_wait_s=600) as first:
        thread = threading.Thread(target=lambda: batches.append(next(iter(first))))
        thread.start()
        while first.stats.records < len(records):
            thread.join(0.05)
        with stream("shared", follow=True) as second:
            found: list[ExperienceBatch] = []
            while len(found) < len(records) // 2:
                found += [record.batch for record in second.poll_records()]
            kept = 1 - second.assignment[0]
            more = [replace(r, source=replace(r.source, partition=kept)) for r in _more(rng, per_partition + 1)]
            last = max(r.source.offset for r in split(records, kept))
            produce(replace(r, source=replace(r.source, offset=last + 1 + n)) for n, r in enumerate(more))
            thread.join(30)
            assert Counter(expected(found)) == Counter(expected(split(records, 1 - kept)))
        (batch,) = batches
        assert Counter(keys([batch])) == Counter(expected(split(records, kept) + more))


def _more(rng: np.random.Generator, steps: int) -> list[ExperienceBatch]:
    """Records of one step each, on boards of the same size."""
    played = list(play(rng, games=1, chunks=steps, ticks=1, side=(8, 9)))[:steps]
    return [replace(r, game_id="more", source=replace(r.source, index=0, count=1)) for r in played]


def test_a_stream_that_stops_at_the_end_does_not_take_a_rebalance_for_the_end(
    rng: Any, produce: Any, stream: Any
) -> None:
    records = two_partitions(rng)
    produce(records)
    found: Keys = []
    with stream("shared") as first:
        while not first.assignment:
            found += expected(r.batch for r in first.poll_records(max_records=1))
        with stream("shared") as second:
            ends: set[int] = set()
            while ends != {0, 1}:
                for number, reader in enumerate((first, second)):
                    found += expected(r.batch for r in reader.poll_records(max_records=1))
                    if reader.at_end:
                        assert reader.assignment, "in the middle of a rebalance nothing has ended"
                        ends.add(number)
    assert set(found) == set(expected(records))


def test_positions_are_whole_while_a_rebalance_runs(rng: Any, produce: Any, stream: Any) -> None:
    records = two_partitions(rng)
    produce(records)
    with stream("shared", follow=True) as first:
        while first.stats.records < len(records):
            first.poll_records()
        before = first.positions()
        with stream("shared", follow=True) as second:
            while first.assignment == (0, 1):
                first.poll_records(0.05)
                second.poll_records(0.05)
            between = first.positions() if not first.assignment else before
        assert between == before


def test_a_reader_that_was_busy_for_too_long_goes_on_where_the_group_is(rng: Any, produce: Any, stream: Any) -> None:
    """Kafka takes the partitions of a member that does not poll for `max.poll.interval.ms`."""
    records = two_partitions(rng)
    early, late = [r for r in records if r.chunk < 2], [r for r in records if r.chunk == 2]
    produce(early)
    impatient = {"max.poll.interval.ms": 6000, "session.timeout.ms": 6000}
    with stream("shared", follow=True, client_config=impatient) as slow:
        found: list[ExperienceBatch] = []
        while len(found) < len(early):
            found += [r.batch for r in slow.poll_records()]
        assert slow.commit()
        with stream("shared", follow=True) as other:
            while other.assignment != (0, 1):
                assert other.poll_records() == []
            produce(late[: len(late) // 2])
            by_other: list[ExperienceBatch] = []
            while len(by_other) < len(late) // 2:
                by_other += [r.batch for r in other.poll_records()]
            assert other.commit()
        produce(late[len(late) // 2 :])
        while len(found) + len(by_other) < len(records):
            found += [r.batch for r in slow.poll_records()]
    assert Counter(expected(found + by_other)) == Counter(expected(records))
    assert slow.stats.lost_chunks == 0


@pytest.mark.timeout(120)
def test_a_broker_that_is_killed_and_comes_back_costs_nothing_but_time(rng: Any, own_broker: EmbeddedBroker) -> None:
    settings = KafkaSettings(bootstrap_servers=own_broker.bootstrap_servers)
    ensure_topics(settings, TOPICS.with_partitions(2))
    records = two_partitions(rng)
    early, late = [r for r in records if r.chunk == 0], [r for r in records if r.chunk > 0]

    def write(batches: list[ExperienceBatch]) -> None:
        producer = make_producer(settings)
        for batch in batches:
            producer.produce(TOPICS.experiences.name, encode_batch(batch), partition=batch.source.partition)
        assert producer.flush(30) == 0

    write(early)
    with ExperienceStream(
        bootstrap_servers=own_broker.bootstrap_servers,
        group="mine",
        follow=True,
        client_config={"session.timeout.ms": 6000, "reconnect.backoff.max.ms": 500},
    ) as reader:
        found: list[ExperienceBatch] = []
        while len(found) < len(early):
            found += [r.batch for r in reader.poll_records()]
        assert reader.commit()
        own_broker.kill()
        for _ in range(10):
            assert reader.poll_records() == []
        assert not reader.commit(), "it could not be done for now"
        own_broker.start()
        write(late)
        while len(found) < len(records):
            found += [r.batch for r in reader.poll_records()]
        assert expected(split(found, 0)) == expected(split(records, 0))
        assert expected(split(found, 1)) == expected(split(records, 1))
        while not reader.commit():
            reader.poll_records()
    with ExperienceStream(bootstrap_servers=own_broker.bootstrap_servers, group="mine") as reader:
        assert list(reader) == []


def test_a_slow_caller_gets_full_batches_of_every_shape(rng: Any, produce: Any, stream: Any) -> None:
    """Its own time does not count as waiting: boards of a rarer size are not handed on by ones and twos."""
    produce(list(play(rng, games=6, chunks=12, ticks=8, side=(5, 8))))
    sizes: list[int] = []
    pause = threading.Event()
    with stream(batch_size=32) as reader:
        for batch in reader:
            sizes.append(len(batch))
            pause.wait(0.05)
    assert sum(sizes) == 6 * 12 * 8 * 2
    assert sum(size < 32 for size in sizes) <= 9, "at most the rest of each of nine shapes, at the end"
