"""How clients report errors, and what their configuration holds."""

import structlog.testing
from confluent_kafka import KafkaError

from generals_runtime.kafka_clients import CONSUMER_DEFAULTS, ErrorLog, client_configuration
from generals_runtime.settings import KafkaSettings


def test_each_kind_of_error_is_logged_at_once_and_then_only_counted() -> None:
    now = [0.0]
    log = ErrorLog("engine", every_s=30, clock=lambda: now[0])
    with structlog.testing.capture_logs() as events:
        for _ in range(5):
            log(KafkaError(KafkaError._TRANSPORT, "connection refused"))
        log(KafkaError(KafkaError._AUTHENTICATION, "wrong password"))
        now[0] = 31.0
        log(KafkaError(KafkaError._TRANSPORT, "connection refused"))
    assert [(event["error"], event["left_out"]) for event in events] == [
        ("_TRANSPORT", 0), ("_AUTHENTICATION", 0), ("_TRANSPORT", 4),
    ]  # fmt: skip


def test_overrides_win_over_defaults_and_the_connection_is_always_there() -> None:
    kafka = KafkaSettings(bootstrap_servers="k:1")
    config = client_configuration(kafka, CONSUMER_DEFAULTS, {"auto.offset.reset": "earliest"}, "me")
    assert config["bootstrap.servers"] == "k:1"
    assert config["client.id"] == "me"
    assert config["auto.offset.reset"] == "earliest"
    assert config["enable.auto.commit"] is False
