"""Questions to Kafka whose answers a real broker gives too seldom for a test."""

from typing import cast

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from generals_runtime.kafka import log_bounds


class ConsumerWithOldLeaders:
    """As librdkafka at times is after a leader has moved: it learns nothing until the topic is listed."""

    def __init__(self) -> None:
        self.listed: list[str] = []

    def get_watermark_offsets(self, spot: TopicPartition, timeout: float) -> tuple[int, int]:
        if not self.listed:
            raise KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION))
        return 3, 5

    def list_topics(self, topic: str, timeout: float) -> None:
        self.listed.append(topic)


class ConsumerOfAnOldLeader(ConsumerWithOldLeaders):
    """Its broker stood still while another led the partition, and answers with the end of before."""

    def get_watermark_offsets(self, spot: TopicPartition, timeout: float) -> tuple[int, int]:
        return (3, 5) if self.listed else (1, 2)


def test_a_leader_that_has_moved_is_looked_for_anew() -> None:
    consumer = ConsumerWithOldLeaders()
    assert log_bounds(cast("Consumer", consumer), "experiences", 2, within_s=5.0) == (3, 5)
    assert consumer.listed == ["experiences"]


def test_an_end_before_what_was_reached_is_not_believed_at_once() -> None:
    consumer = ConsumerOfAnOldLeader()
    assert log_bounds(cast("Consumer", consumer), "experiences", 2, reached=5) == (3, 5)


def test_an_end_before_what_was_reached_is_believed_if_it_stays() -> None:
    consumer = ConsumerOfAnOldLeader()
    assert log_bounds(cast("Consumer", consumer), "experiences", 2, reached=6, within_s=0.5) == (3, 5)
