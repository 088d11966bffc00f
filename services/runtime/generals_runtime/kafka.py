"""Everything a service needs of Kafka, under one name."""

from generals_runtime.kafka_clients import (
    BATCH_PRODUCER,
    KafkaUnavailable,
    make_admin,
    make_consumer,
    make_producer,
)
from generals_runtime.kafka_questions import answered, committed_offsets, log_bounds, partitions_of, patiently
from generals_runtime.kafka_topics import TopicMissing, connect, ensure_topics, topic_ids
from generals_runtime.ordered_producer import DeliveryFailed, Headers, OrderedProducer, QueueFull, RecordTooLarge

__all__ = [
    "BATCH_PRODUCER",
    "DeliveryFailed",
    "Headers",
    "KafkaUnavailable",
    "OrderedProducer",
    "QueueFull",
    "RecordTooLarge",
    "TopicMissing",
    "answered",
    "committed_offsets",
    "connect",
    "ensure_topics",
    "log_bounds",
    "make_admin",
    "make_consumer",
    "make_producer",
    "partitions_of",
    "patiently",
    "topic_ids",
]
