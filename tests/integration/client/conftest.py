"""Write experiences to a fresh topic, read them by `ExperienceStream`."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from generals_client import ExperienceStream
from generals_runtime.kafka import make_producer
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import encode_batch
from generals_schemas.records import ExperienceBatch


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture
def produce(kafka_settings: KafkaSettings, topics_for_test: Any) -> Callable[..., None]:
    """Write batches (or bytes) to the experiences topic, each to its source's partition (bytes to 0)."""

    def write(batches: Iterable[ExperienceBatch | bytes], timestamp_ms: int = 0) -> None:
        producer = make_producer(kafka_settings)
        for batch in batches:
            value = batch if isinstance(batch, bytes) else encode_batch(batch)
            partition = 0 if isinstance(batch, bytes) else batch.source.partition
            while True:
                try:
                    producer.produce(topics_for_test.experiences, value, partition=partition, timestamp=timestamp_ms)
                except BufferError:
                    producer.poll(0.1)
                else:
                    break
        assert producer.flush(30) == 0

    return write


@pytest.fixture
def stream(kafka: str, topics_for_test: Any) -> Callable[..., ExperienceStream]:
    def make(group: str = "reader", **options: Any) -> ExperienceStream:
        return ExperienceStream(bootstrap_servers=kafka, group=group, topic=topics_for_test.experiences, **options)

    return make
