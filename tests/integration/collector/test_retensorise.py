"""The past once more: another reward from the raw topic, resumed, refused where it must be."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from collector_process import read_until
from confluent_kafka import Message
from foreign_producer import send_in_transactions
from numpy.random import default_rng
from random_chunks import random_chunk

from generals_client.positions import Deduplicator
from generals_collector.retensorise import Job, TargetRefused, run
from generals_collector.tensorise import recipe, tensorise
from generals_runtime.kafka import OrderedProducer
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import decode_batch, encode_chunk
from generals_schemas.records import ExperienceBatch, Source, TransitionChunk

TIME = 1_700_000_000_000
HOW = recipe(reward="outcome+potential", encoding="nine_planes_float16")


@pytest.fixture
def chunks(seed: int) -> list[TransitionChunk]:
    rng = default_rng(seed)
    return [random_chunk(rng, players=2, sides=(6, 5), ticks=4) for _ in range(300)]


def produce(kafka: KafkaSettings, topic: str, chunks: list[TransitionChunk]) -> None:
    with OrderedProducer(kafka) as producer:
        for i, chunk in enumerate(chunks):
            value = encode_chunk(chunk) if i % 50 != 7 else b"poison"
            producer.send(topic, i % 2, b"game", value, None, TIME + 1000 * i)
        producer.flush()


def accepted(kafka: KafkaSettings, topic: str) -> list[ExperienceBatch]:
    """What a reader makes of all that is in the topic now."""
    readers = {partition: Deduplicator(partition) for partition in range(2)}
    patience = iter(range(6))
    messages: list[Message] = read_until(kafka, topic, lambda _: next(patience, None) is None)
    batches = [decode_batch(message.value() or b"") for message in messages]
    found = [batch for batch in batches if readers[batch.source.partition].accept(batch.source)]
    assert sum(reader.lost for reader in readers.values()) == 0
    return found


def assert_made_of(found: list[ExperienceBatch], chunks: list[TransitionChunk], first: int = 0) -> None:
    by_source = {(b.source.partition, b.source.offset, b.source.index): b for b in found}
    for i in range(first, len(chunks)):
        if i % 50 == 7:
            assert by_source.pop((i % 2, i // 2, 0)).rejected == "truncated"
            continue
        for expected in tensorise(chunks[i], Source("", "", i % 2, i // 2, 0, 1), HOW):
            batch = by_source.pop((i % 2, i // 2, expected.source.index))
            np.testing.assert_array_equal(batch.rewards, expected.rewards)
            np.testing.assert_array_equal(batch.bits, expected.bits)
            assert (batch.reward, batch.encoding) == ("outcome+potential", "nine_planes_float16")
    assert not by_source


def test_a_job_that_is_stopped_goes_on_where_it_was(
    kafka_settings: KafkaSettings, topics_for_test: Any, chunks: list[TransitionChunk]
) -> None:
    source, target = topics_for_test.transitions, f"{topics_for_test.prefix}shaped"
    produce(kafka_settings, source, chunks)
    job = Job(kafka_settings, source, target, HOW)
    asked = iter([False, False, True])
    half = run(job, stop=lambda: next(asked))
    assert 0 < half.chunks < 300
    seen: list[int] = []
    rest = run(job, on_progress=lambda progress: seen.append(progress.left))
    assert seen[-1] == rest.left == 0
    assert 300 <= half.chunks + rest.chunks <= 302, "at most the last chunk of each partition is written again"
    assert_made_of(accepted(kafka_settings, target), chunks)
    again = run(job)
    assert again.chunks <= 2
    assert_made_of(accepted(kafka_settings, target), chunks)


def test_a_job_may_begin_at_an_offset_or_a_time(
    kafka_settings: KafkaSettings, topics_for_test: Any, chunks: list[TransitionChunk]
) -> None:
    source = topics_for_test.transitions
    produce(kafka_settings, source, chunks)
    by_offset, by_time = f"{topics_for_test.prefix}offset", f"{topics_for_test.prefix}time"
    assert run(Job(kafka_settings, source, by_offset, HOW, start=100)).chunks == 100
    assert_made_of(accepted(kafka_settings, by_offset), chunks, first=200)
    at = datetime.fromtimestamp((TIME + 1000 * 240) / 1000, UTC)
    assert run(Job(kafka_settings, source, by_time, HOW, start=at)).chunks == 60
    assert_made_of(accepted(kafka_settings, by_time), chunks, first=240)


def test_a_target_that_another_wrote_is_refused(
    kafka_settings: KafkaSettings, topics_for_test: Any, chunks: list[TransitionChunk], make_topic: Callable[..., str]
) -> None:
    topics = topics_for_test
    produce(kafka_settings, topics.transitions, chunks[:20])
    target = f"{topics.prefix}shaped"
    run(Job(kafka_settings, topics.transitions, target, HOW))
    with pytest.raises(TargetRefused, match=r"outcome\+potential .* did not write; name another topic"):
        run(Job(kafka_settings, topics.transitions, target, recipe()))
    foreign = make_topic(2)
    with OrderedProducer(kafka_settings) as producer:
        producer.send(foreign, 1, None, b"something else")
    with pytest.raises(TargetRefused, match="is no experience batch"):
        run(Job(kafka_settings, topics.transitions, foreign, HOW))
    with pytest.raises(TargetRefused, match="has 1 partitions"):
        run(Job(kafka_settings, topics.transitions, make_topic(1), HOW))
    with pytest.raises(TargetRefused, match="written by engines or collectors"):
        run(Job(kafka_settings, topics.transitions, topics.transitions, HOW))


def test_marks_of_transactions_are_no_loss_in_the_target_either(
    kafka: str, kafka_settings: KafkaSettings, topics_for_test: Any, seed: int
) -> None:
    topics = topics_for_test
    values = [encode_chunk(random_chunk(default_rng(seed), players=2, sides=(6, 5), ticks=4))] * 5
    send_in_transactions(kafka, topics.transitions, [values[:3], values[3:]])
    target = f"{topics.prefix}shaped"
    run(Job(kafka_settings, topics.transitions, target, HOW))
    found = accepted(kafka_settings, target)
    assert {batch.source.offset for batch in found} == set(range(7))
    assert {batch.source.offset for batch in found if batch.rejected == "no_record"} == {3, 6}
