"""Which of Kafka's errors pass by themselves, and which settings of its client the reader depends on."""

import logging
import math
import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError

from generals_client.errors import PositionLost, StreamError, TopicMissing

log = logging.getLogger(__name__)

ERROR_EVERY_S = 30.0

OVERTAKEN = frozenset((KafkaError.REBALANCE_IN_PROGRESS, KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID))
"""Another member has or is about to have the partition."""

PASSING = frozenset(
    (
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._WAIT_COORD,
        KafkaError._RESOLVE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError._TIMED_OUT_QUEUE,
    )
)
"""The broker is away or not ready yet, or no longer or not yet the leader."""

UNKNOWN = frozenset((KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION))
"""The topic or the partition is not there, or the broker does not know it yet."""

_OURS = ("group.id", "enable.auto.commit", "enable.auto.offset.store", "enable.partition.eof", "auto.offset.reset")
_EAGER = ("range", "roundrobin")


def check_config(config: Mapping[str, Any]) -> None:
    """Raises ValueError if settings of Kafka's client would undo what the reader promises."""
    for key in _OURS:
        if key in config:
            raise ValueError(f"client_config sets {key}: the reader sets it itself, and depends on it")
    strategies = str(config.get("partition.assignment.strategy", "range"))
    if config.get("group.protocol", "classic") != "classic" or not set(strategies.split(",")) <= set(_EAGER):
        raise ValueError(
            "client_config asks for incremental rebalances: leave group.protocol at 'classic' and "
            f"partition.assignment.strategy at one of {', '.join(_EAGER)}"
        )


def passes(error: KafkaError) -> bool:
    """Whether a consumer goes on by itself after an error; `retriable()` alone is never set on those of a consumer."""
    code = error.code()
    known = code in PASSING or code in OVERTAKEN or code == KafkaError._MAX_POLL_EXCEEDED
    return not error.fatal() and (known or error.retriable())


def raise_for(error: KafkaError, topic: str) -> None:
    """Raise what a consumer's error means to a reader; say so and go on if it passes."""
    code = error.code()
    if code in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
        raise PositionLost(f"{topic}: {error.str()}; records between the position and the log's start are gone")
    if code in UNKNOWN:
        raise TopicMissing(f"topic {topic}: {error.str()}; `generals topics create` makes the topics")
    if not passes(error):
        raise StreamError(f"{topic}: {error.str()}")
    log.warning("the consumer goes on after an error", extra={"error": error.str()})


class ErrorLog:
    """Logs each kind of a client's errors at most twice a minute."""

    def __init__(self) -> None:
        self._last: dict[int, float] = {}

    def __call__(self, error: KafkaError) -> None:
        now = time.monotonic()
        if now - self._last.get(error.code(), -math.inf) >= ERROR_EVERY_S:
            self._last[error.code()] = now
            log.warning("Kafka client: %s", error.str())
