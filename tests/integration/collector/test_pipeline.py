"""The collector's pipeline on a real broker: order, a queue without room, and the end after a failure."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from collector_process import read_until
from numpy.random import default_rng
from random_chunks import random_chunk

from generals_collector.conversion import Converted, Converter, RawRecord
from generals_collector.pipeline import Destinations, Pipeline
from generals_collector.tensorise import recipe
from generals_runtime.kafka import DeliveryFailed, OrderedProducer
from generals_runtime.kafka_clients import BATCH_PRODUCER
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import decode_batch, encode_chunk


def groups_of(count: int, size: int, *, partition: int, seed: int) -> Iterator[list[RawRecord]]:
    rng = default_rng(seed)
    for first in range(0, count * size, size):
        yield [
            RawRecord("chunks", partition, offset, 1_750_000_000_000 + offset, b"game", encode_chunk(random_chunk(rng)))
            for offset in range(first, first + size)
        ]


def turned(pipeline: Pipeline, groups: int) -> list[list[Converted]]:
    done: list[list[Converted]] = []
    deadline = time.monotonic() + 30
    while len(done) < groups:
        assert time.monotonic() < deadline, f"{len(done)} of {groups} groups were delivered"
        done += pipeline.turn(0.1)
    return done


def test_what_has_no_room_waits_and_keeps_its_place(
    kafka_settings: KafkaSettings, make_topic: Callable[..., str], seed: int
) -> None:
    topic = make_topic(1)
    with OrderedProducer(kafka_settings, overrides={"queue.buffering.max.messages": 7, "linger.ms": 200}) as producer:
        pipeline = Pipeline(producer, Converter(recipe(), "id"), Destinations(topic, None))
        for group in groups_of(6, 10, partition=0, seed=seed):
            pipeline.submit(group)
            assert len(producer) <= 2 * 7, "a record counts twice while the report of its delivery waits"
        assert pipeline.under_way == 6, "submit does not wait for the broker"
        done = turned(pipeline, 6)
        assert pipeline.under_way == 0
    assert [one.source.offset for group in done for one in group] == list(range(60))
    sent = [value for group in done for one in group for value in one.values]
    found = read_until(kafka_settings, topic, lambda messages: len(messages) >= len(sent))
    assert [message.value() for message in found] == sent


@pytest.mark.parametrize("large", ["value", "key", "headers"])
def test_what_is_too_large_to_go_on_leaves_a_marker_and_where_it_lies(
    large: str, kafka_settings: KafkaSettings, make_topic: Callable[..., str], seed: int
) -> None:
    """A client that compresses can put ten times the limit of a record's size into one."""
    chunk = encode_chunk(random_chunk(default_rng(seed)))
    good = RawRecord("chunks", 0, 1, 1, b"game", chunk, [("from", b"afar")])
    much = bytes(3_000_000)
    bad = {
        "value": replace(good, offset=0, value=much),
        "key": replace(good, offset=0, key=much),
        "headers": replace(good, offset=0, headers=[("from", much)]),
    }
    topic, letters = make_topic(1), make_topic(1, {"max.message.bytes": "2097152"})
    with OrderedProducer(kafka_settings, overrides=BATCH_PRODUCER) as producer:
        pipeline = Pipeline(producer, Converter(recipe(), "id"), Destinations(topic, letters))
        pipeline.submit([bad[large], good])
        turned(pipeline, 1)
    marker, *batches = read_until(kafka_settings, topic, lambda messages: len(messages) > 1)
    rejected = decode_batch(marker.value() or b"").rejected
    assert rejected == ("not_framed" if large == "value" else "too_large")
    assert [batch.key() for batch in batches] == [b"game"] * len(batches)
    assert [batch.headers() for batch in batches] == [[("from", b"afar")]] * len(batches)
    (letter,) = read_until(kafka_settings, letters, lambda messages: len(messages) == 1)
    headers = dict(letter.headers() or [])
    assert (headers["source_topic"], headers["source_offset"]) == (b"chunks", b"0")
    assert int(headers["left_out_bytes"]) >= 3_000_000
    assert letter.value() is None


def test_nothing_is_delivered_behind_a_failure(
    kafka_settings: KafkaSettings, make_topic: Callable[..., str], seed: int
) -> None:
    topic = make_topic(1)
    good, bad, after = groups_of(3, 4, partition=0, seed=seed)
    wrong = [RawRecord(one.topic, 5, one.offset, one.timestamp_ms, one.key, one.value) for one in bad]  # no such one
    with OrderedProducer(kafka_settings) as producer:
        pipeline = Pipeline(producer, Converter(recipe(), "id"), Destinations(topic, None))
        pipeline.submit(good)
        assert len(turned(pipeline, 1)) == 1
        with pytest.raises(DeliveryFailed, match="partition"):
            pipeline.submit(wrong)
        with pytest.raises(DeliveryFailed):
            pipeline.submit(after)
        with pytest.raises(DeliveryFailed):
            pipeline.turn()
