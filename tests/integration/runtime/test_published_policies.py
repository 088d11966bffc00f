"""The policies topic on a real broker: read to its end, and followed while the broker goes away and comes back."""

import time

from generals_runtime.broker import EmbeddedBroker
from generals_runtime.kafka import OrderedProducer, ensure_topics
from generals_runtime.published_policies import PolicyLog, read_policies
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import encode_policy
from generals_schemas.records import PolicyPointer
from generals_schemas.topics import TOPICS


def announce(kafka: KafkaSettings, *versions: int) -> None:
    with OrderedProducer(kafka) as producer:
        for version in versions:
            pointer = PolicyPointer(
                name="dqn", version=version, url="policies/dqn", sha256="0" * 64, created_ms=version, metadata={}
            )
            producer.send(TOPICS.policies.name, 0, f"dqn@{version}".encode(), encode_policy(pointer))
        producer.flush()


def test_a_follower_outlives_its_broker(own_broker: EmbeddedBroker) -> None:
    kafka = KafkaSettings(bootstrap_servers=own_broker.bootstrap_servers)
    ensure_topics(kafka, [TOPICS.policies])
    announce(kafka, 1, 2)
    assert [pointer.version for pointer in read_policies(kafka).pointers] == [1, 2]
    log = PolicyLog(kafka)
    found: list[int] = []
    try:
        own_broker.kill()
        away_until = time.monotonic() + 2.0
        while time.monotonic() < away_until:
            found += [pointer.version for pointer in log.poll(0.2)]
        own_broker.start()
        announce(kafka, 3)
        deadline = time.monotonic() + 60.0
        while found[-1:] != [3] and time.monotonic() < deadline:
            found += [pointer.version for pointer in log.poll(0.2)]
    finally:
        log.close()
    assert found == [1, 2, 3]
