"""The trainer's reading thread on a real broker: how far it reads ahead, and what it says when it cannot read."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from generals_runtime.kafka import make_producer
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import encode_batch
from generals_schemas.records import ExperienceBatch, Source
from generals_trainer import feed as feed_module
from generals_trainer.feed import FETCH_RECORDS, Feed, FeedFailed

RECORDS, READ_AHEAD = 600, 100


@pytest.fixture
def feed(
    kafka: str,
    kafka_settings: KafkaSettings,
    topics_for_test: Any,
    small_batch: Callable[[int, Source], ExperienceBatch],
) -> Iterator[Feed]:
    """Of a topic with 600 small records in one partition."""
    producer = make_producer(kafka_settings)
    for n in range(RECORDS):
        batch = small_batch(n, Source(topics_for_test.transitions, "A" * 22, 0, n, 0, 1))
        producer.produce(topics_for_test.experiences, encode_batch(batch), partition=0)
    assert producer.flush(30) == 0
    feed = Feed(
        bootstrap_servers=kafka, group="feed", topic=topics_for_test.experiences, start="earliest",
        read_ahead=READ_AHEAD, client_config={},
    )  # fmt: skip
    yield feed
    feed.close()


def records_read(feed: Feed) -> int:
    return RECORDS - feed.lag()[0]


def take(feed: Feed) -> ExperienceBatch:
    record = feed.take(10.0)
    assert record is not None
    return record.batch


def test_a_slow_trainer_holds_the_reading_back(feed: Feed) -> None:
    steps = 0
    for taken in range(1, 61):
        steps += take(feed).steps
        time.sleep(0.02)  # time enough to read more, were it allowed
        assert records_read(feed) - taken <= READ_AHEAD / (steps / taken) + FETCH_RECORDS


def test_everything_comes_in_the_order_of_the_log(feed: Feed) -> None:
    assert [take(feed).game_id for _ in range(RECORDS)] == [f"g{n}" for n in range(RECORDS)]
    assert feed.take(0.2) is None


def test_a_reader_without_room_goes_on_polling_record_by_record(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    take(feed)
    monkeypatch.setattr(feed_module, "KEEP_ALIVE_S", 0.05)
    before = records_read(feed)
    deadline = time.monotonic() + 30.0
    while (more := records_read(feed) - before) < 3:
        assert time.monotonic() < deadline, "nothing was polled any more"
        time.sleep(0.01)
    assert more < FETCH_RECORDS


def test_a_missing_topic_is_named(kafka: str) -> None:
    with pytest.raises(FeedFailed, match=r"topic absent: .*; `generals topics create` makes it"):
        Feed(bootstrap_servers=kafka, group="feed", topic="absent", start="earliest", read_ahead=100, client_config={})
