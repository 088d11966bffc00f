"""What a reader asks Kafka about a topic, asked again for a while.

A broker that has just come back answers before it knows its leaders and its groups: an error then is not a verdict.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from generals_runtime.kafka_clients import REFUSALS, KafkaUnavailable
from generals_runtime.kafka_topics import TopicMissing

PATIENCE_S = 60.0
OLD_END_S = 3.0
"""A broker that stood still learns within about a second, when it goes on, that it leads a partition no more."""
_ANSWER_S = 10.0
_AGAIN_S = 0.2
R = TypeVar("R")


def partitions_of(consumer: Consumer, topic: str, *, within_s: float = PATIENCE_S) -> list[int]:
    """The numbers of a topic's partitions, ascending.

    Raises:
        TopicMissing: there is no such topic.
        KafkaUnavailable: as `patiently`.
    """

    def ask(timeout_s: float) -> list[int]:
        found = consumer.list_topics(topic, timeout=timeout_s).topics[topic]
        if found.error is not None:
            if found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise TopicMissing(topic)
            raise KafkaException(found.error)
        return sorted(found.partitions)

    return patiently(ask, f"the partitions of {topic}", within_s=within_s)


def log_bounds(
    consumer: Consumer, topic: str, partition: int, *, reached: int = 0, within_s: float = PATIENCE_S
) -> tuple[int, int]:
    """The oldest offset that a partition holds, and the one that its next record will have.

    reached: an offset that the log is known to have reached. An end before it may be the answer of a broker that led
    the partition before: only if it stays for some seconds the log was cut.

    Of a partition that does not exist, too, it is asked until time is up: right after a broker came back librdkafka
    calls partitions unknown that are there.

    Raises:
        KafkaUnavailable: as `patiently`.
    """
    spot = TopicPartition(topic, partition)
    believed_at = time.monotonic() + min(OLD_END_S, within_s / 2)

    def ask(timeout_s: float) -> tuple[int, int] | None:
        until = time.monotonic() + timeout_s
        found = None
        try:
            low, high = consumer.get_watermark_offsets(spot, timeout=timeout_s)
            if high >= reached or time.monotonic() >= believed_at:
                found = low, high
        finally:
            if found is None:
                # Otherwise librdkafka may ask the broker that led the partition before, again and again.
                with suppress(KafkaException):  # the first error says more
                    consumer.list_topics(topic, timeout=max(0.1, until - time.monotonic()))
        return found

    return patiently(ask, f"the offsets of {topic}[{partition}]", within_s=within_s)


def committed_offsets(
    consumer: Consumer, topic: str, partitions: Sequence[int], *, within_s: float = PATIENCE_S
) -> dict[int, int | None]:
    """What the consumer's group has committed of each of `partitions`; None where nothing.

    Not asked of an AdminClient: its answer never comes if the broker goes away meanwhile, whatever the timeout.

    Raises:
        KafkaUnavailable: as `patiently`.
    """
    if not partitions:
        return {}
    asked = [TopicPartition(topic, number) for number in partitions]

    def ask(timeout_s: float) -> dict[int, int | None]:
        found = answered(consumer.committed(asked, timeout=timeout_s))
        return {one.partition: one.offset if one.offset >= 0 else None for one in found}

    return patiently(ask, f"what has been committed of {topic}", within_s=within_s)


def answered(found: list[TopicPartition]) -> list[TopicPartition]:
    """An answer about several partitions. Raises KafkaException if it is an error for one of them."""
    for one in found:
        if one.error is not None:
            raise KafkaException(one.error)
    return found


def patiently(ask: Callable[[float], R | None], what: str, *, within_s: float = PATIENCE_S) -> R:
    """The answer to `ask`, which is given a timeout in seconds; asked again while it fails or says None.

    Raises:
        KafkaUnavailable: no answer in time, or a refusal; it names `what`.
    """
    deadline = time.monotonic() + within_s
    while True:
        reason = f"no answer within {within_s:g} s"
        try:
            answer = ask(min(_ANSWER_S, max(0.1, deadline - time.monotonic())))
            if answer is not None:
                return answer
        except KafkaException as error:
            code, reason = error.args[0].code(), error.args[0].str()
            if code in REFUSALS:
                raise KafkaUnavailable(f"cannot learn {what}: {reason}") from None
        if time.monotonic() > deadline:
            raise KafkaUnavailable(f"cannot learn {what}: {reason}")
        time.sleep(_AGAIN_S)
