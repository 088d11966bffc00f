"""Questions to a broker that is away, coming back, or right about what it does not have."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
from confluent_kafka import Consumer, TopicPartition

from generals_runtime.broker import EmbeddedBroker
from generals_runtime.kafka import (
    KafkaUnavailable,
    OrderedProducer,
    TopicMissing,
    committed_offsets,
    ensure_topics,
    log_bounds,
    make_consumer,
    partitions_of,
)
from generals_runtime.settings import KafkaSettings
from generals_schemas.topics import TOPICS


@contextmanager
def asking(kafka: KafkaSettings) -> Iterator[Consumer]:
    with closing(make_consumer(kafka, group_id="asking")) as consumer:
        yield consumer


def write(kafka: KafkaSettings, topic: str, *partitions: int) -> None:
    """A record into each."""
    with OrderedProducer(kafka) as producer:
        for number in partitions:
            producer.send(topic, number, b"key", b"value")
        producer.flush()


def test_a_topic_is_known_by_its_partitions_and_a_log_by_its_bounds(
    kafka_settings: KafkaSettings, make_topic: Callable[..., str]
) -> None:
    topic = make_topic(partitions=3)
    write(kafka_settings, topic, *[1] * 5)
    with asking(kafka_settings) as consumer:
        assert partitions_of(consumer, topic) == [0, 1, 2]
        assert [log_bounds(consumer, topic, number) for number in range(3)] == [(0, 0), (0, 5), (0, 0)]


def test_a_missing_topic_is_named_with_what_makes_it(kafka_settings: KafkaSettings) -> None:
    with (
        asking(kafka_settings) as consumer,
        pytest.raises(TopicMissing, match="topic absent does not exist; `generals topics create`"),
    ):
        partitions_of(consumer, "absent")


def test_a_group_is_known_by_what_it_has_committed(
    kafka_settings: KafkaSettings, make_topic: Callable[..., str]
) -> None:
    topic = make_topic(partitions=3)
    write(kafka_settings, topic, 0, 1, 2)
    with asking(kafka_settings) as consumer:
        consumer.commit(offsets=[TopicPartition(topic, 2, 1)], asynchronous=False)
        assert committed_offsets(consumer, topic, [0, 2]) == {0: None, 2: 1}
        assert committed_offsets(consumer, topic, []) == {}


def test_what_is_committed_is_asked_for_until_the_broker_is_back(own_broker: EmbeddedBroker) -> None:
    kafka = KafkaSettings(bootstrap_servers=own_broker.bootstrap_servers)
    ensure_topics(kafka, [TOPICS.games])
    with asking(kafka) as consumer:
        consumer.commit(offsets=[TopicPartition(TOPICS.games.name, 0, 0)], asynchronous=False)
        own_broker.kill()
        back = threading.Timer(14.0, own_broker.start)  # longer than one request is waited for
        back.start()
        assert committed_offsets(consumer, TOPICS.games.name, [0]) == {0: 0}
        back.join()


def test_a_broker_that_stays_away_is_named_with_what_was_asked() -> None:
    with (
        asking(KafkaSettings(bootstrap_servers="127.0.0.1:9")) as consumer,
        pytest.raises(KafkaUnavailable, match=r"cannot learn the offsets of lost\[0\]: "),
    ):
        log_bounds(consumer, "lost", 0, within_s=0.5)


def test_a_question_waits_for_a_broker_that_comes_back(own_broker: EmbeddedBroker) -> None:
    kafka = KafkaSettings(bootstrap_servers=own_broker.bootstrap_servers)
    ensure_topics(kafka, [TOPICS.games])
    with asking(kafka) as consumer:
        assert log_bounds(consumer, TOPICS.games.name, 0) == (0, 0)
        own_broker.kill()
        back = threading.Timer(3.0, own_broker.start)
        back.start()
        assert log_bounds(consumer, TOPICS.games.name, 0) == (0, 0)
        back.join()
