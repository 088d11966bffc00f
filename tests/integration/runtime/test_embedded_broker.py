"""The embedded broker against the real Kafka: its data outlives it, it does not outlive us."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest
from confluent_kafka import TopicPartition

from generals_runtime.broker import BrokerError, EmbeddedBroker
from generals_runtime.kafka import OrderedProducer, ensure_topics, make_consumer, topic_ids
from generals_runtime.kafka_clients import make_admin
from generals_runtime.settings import KafkaSettings
from generals_schemas.topics import TOPICS


def _values(settings: KafkaSettings, topic: str, count: int) -> list[bytes | None]:
    consumer = make_consumer(settings, group_id="reader")
    consumer.assign([TopicPartition(topic, 0, 0)])
    messages = consumer.consume(count, timeout=20)
    consumer.close()
    return [message.value() for message in messages]


def test_records_and_topic_ids_survive_an_orderly_restart_and_a_kill(own_broker: EmbeddedBroker) -> None:
    settings = KafkaSettings(bootstrap_servers=own_broker.bootstrap_servers)
    spec = TOPICS.dead_letter
    ensure_topics(settings, [spec])
    with OrderedProducer(settings) as producer:
        producer.send(spec.name, 0, None, b"before")
        assert producer.flush(10) == 0
    before = topic_ids(make_admin(settings), [spec.name])

    first_pid = own_broker.pid
    own_broker.restart()
    assert own_broker.pid != first_pid
    own_broker.kill()
    assert not own_broker.running
    own_broker.start()

    assert topic_ids(make_admin(settings), [spec.name]) == before
    assert _values(settings, spec.name, 1) == [b"before"]


def test_the_broker_dies_with_a_parent_killed_by_sigkill(tmp_path: Path) -> None:
    program = textwrap.dedent(
        f"""
        import sys, pathlib
        from generals_runtime.broker import EmbeddedBroker
        broker = EmbeddedBroker(pathlib.Path({str(tmp_path / "kafka")!r})).start()
        print(broker.pid, flush=True)
        sys.stdin.read()
        """
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        broker = psutil.Process(int(parent.stdout.readline()))
        assert broker.name() == "java"
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait(10)
        gone, alive = psutil.wait_procs([broker], timeout=10)
    assert gone
    assert not alive


def test_a_setting_kafka_refuses_is_an_error_with_the_logs_last_words(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path / "kafka", settings={"num.io.threads": "many"})
    with pytest.raises(BrokerError, match=r"num\.io\.threads"):
        broker.start()
    assert not broker.running
