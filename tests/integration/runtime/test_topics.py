"""Topics on the real Kafka: made once, never changed, told apart from their namesakes."""

import time
from dataclasses import replace

import pytest
import structlog.testing

from generals_runtime.kafka import KafkaUnavailable, OrderedProducer, TopicMissing, ensure_topics, make_admin, topic_ids
from generals_runtime.settings import KafkaSettings
from generals_schemas.topics import TOPICS


def test_topics_are_created_once_with_their_settings(kafka_settings: KafkaSettings) -> None:
    topics = TOPICS.with_prefix("once.").with_partitions(3)
    assert sorted(ensure_topics(kafka_settings, topics)) == sorted(spec.name for spec in topics)
    assert ensure_topics(kafka_settings, topics) == []
    made = make_admin(kafka_settings).list_topics(timeout=10).topics
    assert {spec.name: len(made[spec.name].partitions) for spec in topics} == {
        spec.name: spec.partitions for spec in topics
    }


def test_another_number_of_partitions_is_reported_with_both_and_left_alone(kafka_settings: KafkaSettings) -> None:
    spec = replace(TOPICS.games, name="differing", partitions=1)
    ensure_topics(kafka_settings, [spec])
    with structlog.testing.capture_logs() as events:
        assert ensure_topics(kafka_settings, [replace(spec, partitions=5)]) == []
    [event] = events
    assert (event["log_level"], event["topic"], event["partitions"], event["asked"]) == ("warning", "differing", 1, 5)
    assert len(make_admin(kafka_settings).list_topics(timeout=10).topics["differing"].partitions) == 1


def test_a_topic_made_again_has_another_id(kafka_settings: KafkaSettings) -> None:
    spec = replace(TOPICS.games, name="reborn", partitions=1)
    admin = make_admin(kafka_settings)
    ensure_topics(kafka_settings, [spec])
    first = topic_ids(admin, ["reborn"])
    assert topic_ids(admin, ["reborn"]) == first
    admin.delete_topics(["reborn"], operation_timeout=10)["reborn"].result(10)
    ensure_topics(kafka_settings, [spec])
    assert topic_ids(admin, ["reborn"]) != first


def test_a_missing_topic_is_named_with_what_makes_it(kafka_settings: KafkaSettings) -> None:
    with pytest.raises(TopicMissing, match="topic absent does not exist; `generals topics create`"):
        topic_ids(make_admin(kafka_settings), ["absent"])


def test_a_broker_that_is_not_there_is_one_clear_error() -> None:
    with pytest.raises(KafkaUnavailable, match=r"Kafka at 127\.0\.0\.1:9 \(PLAINTEXT\) did not answer in 0\.3 s"):
        ensure_topics(KafkaSettings(bootstrap_servers="127.0.0.1:9"), TOPICS, timeout_s=0.3)


def test_a_record_stamped_by_a_clock_that_is_days_ahead_is_taken(kafka_settings: KafkaSettings) -> None:
    spec = replace(TOPICS.games, name="ahead", partitions=1)
    ensure_topics(kafka_settings, [spec])
    in_a_week = round((time.time() + 7 * 86_400) * 1000)
    with OrderedProducer(kafka_settings) as producer:
        producer.send(spec.name, 0, b"game", b"summary", timestamp_ms=in_a_week)
        producer.flush()
