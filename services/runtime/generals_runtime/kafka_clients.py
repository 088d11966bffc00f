"""Clients of Kafka with the settings this system needs, and rate-limited reports of their errors.

Unusual: librdkafka's own log is off, because a client without a broker writes many lines a second. Its errors come
through a callback instead, each kind at most once in half a minute with a count of what was left out.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, Producer
from confluent_kafka.admin import AdminClient

from generals_runtime import metrics
from generals_runtime.errors import OperatorError
from generals_runtime.settings import KafkaSettings

REPORT_EVERY_S = 30.0

PRODUCER_DEFAULTS: Mapping[str, Any] = {
    # Java's and aiokafka's hash, so that a key lies in the same partition whoever wrote it.
    "partitioner": "murmur2_random",
    "enable.idempotence": True,
    "acks": "all",
    # Records hold zstd blocks already, and Faust would have to undo it in its event loop.
    "compression.type": "none",
    # A chunk is about 6 kB: a full batch is over a hundred of them, and 20 ms is short beside the ticks in a chunk.
    "linger.ms": 20,
    "batch.size": 1_000_000,
    "queue.buffering.max.messages": 20_000,
    "queue.buffering.max.kbytes": 64 * 1024,
}

BATCH_PRODUCER: Mapping[str, Any] = {
    # Names, tables of codes and headers are the same in every experience batch: a twelfth of it. Level 3 finds a
    # hundredth more in a third more time.
    "compression.type": "zstd",
    "compression.level": 2,
    # A batch is about 5 kB. Longer than a chunk's linger: the broker's work is a request, not a byte.
    "linger.ms": 100,
    "message.max.bytes": 2_000_000,
}
"""What a producer of experience batches has besides."""

CONSUMER_DEFAULTS: Mapping[str, Any] = {
    # Positions are kept by us, together with marks; a commit is always explicit.
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    # An expired offset is never a silent skip: who wants earliest or latest says so.
    "auto.offset.reset": "error",
    "check.crcs": True,
    # The bound on what a slow consumer holds.
    "queued.max.messages.kbytes": 32 * 1024,
    "fetch.max.bytes": 16 * 1024 * 1024,
    "fetch.wait.max.ms": 100,
}

_COMMON = {
    "log_level": 0,
    "socket.keepalive.enable": True,
    # A broker that comes back is found within a second or two.
    "reconnect.backoff.ms": 100,
    "reconnect.backoff.max.ms": 2_000,
}

REFUSALS = (
    KafkaError._AUTHENTICATION,
    KafkaError._SSL,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
)


class KafkaUnavailable(OperatorError):
    """Kafka did not answer, or refused us; the message says which and where."""


class ErrorLog:
    """An `error_cb` that logs each kind of error at most once every `every_s`. Never raises."""

    def __init__(
        self, client_id: str, *, every_s: float = REPORT_EVERY_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = structlog.get_logger("generals_runtime.kafka").bind(client=client_id)
        self._every_s = every_s
        self._clock = clock
        self._last: dict[int, float] = {}
        self._left_out: dict[int, int] = {}

    def __call__(self, error: KafkaError) -> None:
        metrics.default().runtime.kafka_errors.labels(error.name()).inc()
        code, now = error.code(), self._clock()
        last = self._last.get(code)
        if last is not None and now - last < self._every_s:
            self._left_out[code] = self._left_out.get(code, 0) + 1
            return
        self._last[code] = now
        level = self._log.error if error.fatal() else self._log.warning
        level("kafka client error", error=error.name(), reason=error.str(), left_out=self._left_out.pop(code, 0))


class LastError:
    """An `error_cb` for who reports the outcome himself: it keeps the reason and logs nothing.

    `refused`: it is one that trying again does not mend (wrong credentials, an unknown authority).
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self.refused = False

    def __call__(self, error: KafkaError) -> None:
        if self.refused or error.code() == KafkaError._ALL_BROKERS_DOWN:  # that one follows those that say why
            return
        self.reason, self.refused = error.str(), error.code() in REFUSALS


def client_configuration(
    kafka: KafkaSettings, defaults: Mapping[str, Any], overrides: Mapping[str, Any] | None, client_id: str
) -> dict[str, Any]:
    """The whole configuration of one client: connection, our defaults, then `overrides`."""
    _check_files(kafka)
    named = {"client.id": client_id, "error_cb": ErrorLog(client_id)}
    return {**_COMMON, **kafka.client_config(), **defaults, **named, **(overrides or {})}


def _check_files(kafka: KafkaSettings) -> None:
    """librdkafka's own complaint about a missing certificate does not name the file."""
    for name in ("ssl_ca_location", "ssl_certificate_location", "ssl_key_location"):
        path = getattr(kafka, name)
        if path is not None and not os.access(path, os.R_OK):
            raise KafkaUnavailable(f"kafka.{name}: {path} cannot be read")


def make_producer(
    kafka: KafkaSettings, *, client_id: str = "generals", overrides: Mapping[str, Any] | None = None
) -> Producer:
    """An idempotent producer. For records whose order matters take OrderedProducer."""
    return Producer(client_configuration(kafka, PRODUCER_DEFAULTS, overrides, client_id))


def make_consumer(
    kafka: KafkaSettings,
    *,
    group_id: str,
    client_id: str = "generals",
    overrides: Mapping[str, Any] | None = None,
) -> Consumer:
    """A consumer that commits and stores nothing by itself and refuses to guess where to start."""
    return Consumer(client_configuration(kafka, {**CONSUMER_DEFAULTS, "group.id": group_id}, overrides, client_id))


def make_admin(
    kafka: KafkaSettings, *, client_id: str = "generals-admin", overrides: Mapping[str, Any] | None = None
) -> AdminClient:
    return AdminClient(client_configuration(kafka, {}, overrides, client_id))
