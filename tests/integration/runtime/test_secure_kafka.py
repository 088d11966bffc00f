"""TLS and SASL end to end on the real Kafka, and what is said when one of them is wrong."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
from confluent_kafka import TopicPartition
from pydantic import SecretStr

from generals_runtime.kafka import KafkaUnavailable, OrderedProducer, connect, ensure_topics, make_consumer
from generals_schemas.topics import TOPICS


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as events:
        yield events


def test_records_pass_through_tls_and_scram(secure_kafka: Any) -> None:
    settings, spec = secure_kafka.settings, TOPICS.dead_letter
    ensure_topics(settings, [spec])
    with OrderedProducer(settings) as producer:
        producer.send(spec.name, 0, None, b"sealed")
        assert producer.flush(20) == 0
    consumer = make_consumer(settings, group_id="reader")
    consumer.assign([TopicPartition(spec.name, 0, 0)])
    [message] = consumer.consume(1, timeout=20)
    consumer.close()
    assert message.value() == b"sealed"


def test_a_wrong_password_is_one_clear_error_at_once_without_the_password(secure_kafka: Any, logged: list[Any]) -> None:
    wrong = secure_kafka.settings.model_copy(update={"sasl_password": SecretStr("open sesame")})
    started = time.monotonic()
    with pytest.raises(KafkaUnavailable, match=r"SASL_SSL\) refused us: .*[Aa]uthentication") as caught:
        connect(wrong, timeout_s=60)
    assert time.monotonic() - started < 30
    said = f"{caught.value} {logged}"
    assert "open sesame" not in said
    assert secure_kafka.password not in said


def test_an_unknown_authority_is_one_clear_error_at_once(secure_kafka: Any) -> None:
    wrong = secure_kafka.settings.model_copy(update={"ssl_ca_location": secure_kafka.strange_authority})
    with pytest.raises(KafkaUnavailable, match=r"refused us: .*certificate verify failed"):
        connect(wrong, timeout_s=60)


def test_a_certificate_file_that_is_missing_is_named(secure_kafka: Any) -> None:
    wrong = secure_kafka.settings.model_copy(update={"ssl_ca_location": Path("/nowhere/ca.pem")})
    with pytest.raises(KafkaUnavailable, match=r"/nowhere/ca\.pem"):
        connect(wrong, timeout_s=10)


def test_a_client_without_tls_gets_no_answer_and_no_data(secure_kafka: Any) -> None:
    plain = secure_kafka.settings.model_copy(update={"security_protocol": "PLAINTEXT"})
    with pytest.raises(KafkaUnavailable, match=r"\(PLAINTEXT\) did not answer in 2 s"):
        connect(plain, timeout_s=2)
