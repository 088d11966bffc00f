"""The collector over TLS with a password: Faust has a client of its own, which must be told the same."""

import signal
from pathlib import Path
from typing import Any

from collector_process import CollectorProcess, read_until
from numpy.random import default_rng
from random_chunks import random_chunk

from generals_runtime.kafka import OrderedProducer, ensure_topics
from generals_schemas.codec import decode_batch, encode_chunk
from generals_schemas.topics import TOPICS


def test_chunks_become_batches_over_tls_and_scram(secure_kafka: Any, tmp_path: Path, seed: int) -> None:
    settings = secure_kafka.settings
    topics = TOPICS.with_prefix("sealed.").with_partitions(1)
    ensure_topics(settings, topics)
    chunk = random_chunk(default_rng(seed), players=2, sides=(6, 5))
    with OrderedProducer(settings) as producer:
        producer.send(topics.transitions.name, 0, b"game", encode_chunk(chunk))
    environment = {
        "GENERALS_KAFKA__SECURITY_PROTOCOL": settings.security_protocol,
        "GENERALS_KAFKA__SASL_MECHANISM": settings.sasl_mechanism,
        "GENERALS_KAFKA__SASL_USERNAME": settings.sasl_username,
        "GENERALS_KAFKA__SASL_PASSWORD": settings.sasl_password.get_secret_value(),
        "GENERALS_KAFKA__SSL_CA_LOCATION": str(settings.ssl_ca_location),
    }
    with CollectorProcess(settings.bootstrap_servers, "sealed.", tmp_path / "log", environment) as collector:
        (first, *_) = read_until(settings, topics.experiences.name, lambda found: len(found) > 0)
        collector.send(signal.SIGTERM)
        assert collector.wait() == 0, collector.text()
    assert decode_batch(first.value() or b"").game_id == chunk.game_id
    assert settings.sasl_password.get_secret_value() not in collector.text()
