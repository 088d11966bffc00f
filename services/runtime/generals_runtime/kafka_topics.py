"""Topics: created once with the settings of topics.yaml, and known by the id that tells a topic from its namesake.

Unusual: an existing topic is never changed here. More partitions send keys elsewhere and fewer are impossible, so a
difference is reported with both numbers and left to a person.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined] # public, but no __all__ says so
from confluent_kafka.cimpl import NewTopic

from generals_runtime.errors import OperatorError
from generals_runtime.kafka_clients import KafkaUnavailable, LastError, make_admin
from generals_runtime.settings import KafkaSettings
from generals_schemas.topics import TopicSpec

if TYPE_CHECKING:
    from confluent_kafka.admin._metadata import ClusterMetadata, TopicMetadata

_log = structlog.get_logger("generals_runtime.kafka")
_POLL_S = 0.05
_CONNECT_STEP_S = 0.5


class TopicMissing(OperatorError):
    """A topic that must exist does not."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"topic {topic} does not exist; `generals topics create` makes it")


def ensure_topics(kafka: KafkaSettings, specs: Iterable[TopicSpec], *, timeout_s: float = 30.0) -> list[str]:
    """Create what is missing of `specs`, wait until each is served; the names created. May be repeated."""
    wanted = {spec.name: spec for spec in specs}
    admin = connect(kafka, timeout_s=timeout_s)
    existing = _metadata(admin, kafka, timeout_s).topics
    missing = [spec for name, spec in wanted.items() if name not in existing]
    for name in wanted.keys() & existing.keys():
        found = len(existing[name].partitions)
        if found != wanted[name].partitions:
            _log.warning(
                "topic has another number of partitions than asked for; it is left as it is",
                topic=name, partitions=found, asked=wanted[name].partitions,
            )  # fmt: skip
    created = _create(admin, kafka, missing, timeout_s)
    _wait_until_served(admin, kafka, set(wanted), timeout_s)
    return created


def connect(kafka: KafkaSettings, *, timeout_s: float = 30.0) -> AdminClient:
    """An admin client that has talked to Kafka; KafkaUnavailable with the reason if it cannot, at once if refused."""
    deadline = time.monotonic() + timeout_s
    at = f"Kafka at {kafka.bootstrap_servers} ({kafka.security_protocol})"
    last = LastError()
    admin = make_admin(kafka, overrides={"error_cb": last})
    while True:
        step_s = min(_CONNECT_STEP_S, max(0.05, deadline - time.monotonic()))
        try:
            admin.list_topics(timeout=step_s)
        except KafkaException as error:
            admin.poll(0)  # lets errors speak
            reason = last.reason or error.args[0].str()
            if last.refused:
                raise KafkaUnavailable(f"{at} refused us: {reason}") from None
            if time.monotonic() > deadline:
                raise KafkaUnavailable(f"{at} did not answer in {timeout_s:g} s: {reason}") from None
        else:
            return admin


def topic_ids(admin: AdminClient, names: Iterable[str], *, timeout_s: float = 15.0) -> dict[str, str]:
    """Each topic's id as Kafka's tools print it. A topic deleted and made again has another one."""
    asked = list(names)
    ids: dict[str, str] = {}
    for name, future in admin.describe_topics(TopicCollection(asked), request_timeout=timeout_s).items():
        try:
            ids[name] = str(future.result(timeout_s).topic_id)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise TopicMissing(name) from None
            raise KafkaUnavailable(f"cannot describe topic {name}: {error.args[0].str()}") from error
    return ids


def _metadata(admin: AdminClient, kafka: KafkaSettings, timeout_s: float) -> ClusterMetadata:
    try:
        return admin.list_topics(timeout=timeout_s)
    except KafkaException as error:
        raise KafkaUnavailable(
            f"Kafka at {kafka.bootstrap_servers} ({kafka.security_protocol}) did not answer in {timeout_s:g} s: "
            f"{error.args[0].str()}"
        ) from None


def _create(admin: AdminClient, kafka: KafkaSettings, specs: list[TopicSpec], timeout_s: float) -> list[str]:
    if not specs:
        return []
    replicas = kafka.replication_factor
    # Two in sync of three or more: an acknowledged record then survives the loss of a machine.
    extra = {"min.insync.replicas": "2"} if replicas >= 3 else {}
    new = [
        NewTopic(
            spec.name, num_partitions=spec.partitions, replication_factor=replicas, config={**extra, **spec.config}
        )
        for spec in specs
    ]
    created = []
    for name, future in admin.create_topics(new, operation_timeout=timeout_s, request_timeout=timeout_s).items():
        try:
            future.result(timeout_s + 5)
            created.append(name)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another process was faster
                raise KafkaUnavailable(f"cannot create topic {name}: {error.args[0].str()}") from error
    return created


def _wait_until_served(admin: AdminClient, kafka: KafkaSettings, names: set[str], timeout_s: float) -> None:
    """A created topic has leaders in the metadata before those know that they lead: they must have answered once."""
    deadline = time.monotonic() + timeout_s
    while True:
        topics = _metadata(admin, kafka, timeout_s).topics
        unserved = {name for name in names if name not in topics or not _is_served(admin, topics[name])}
        if not unserved:
            return
        if time.monotonic() > deadline:
            raise KafkaUnavailable(f"topics without a leader after {timeout_s:g} s: {', '.join(sorted(unserved))}")
        time.sleep(_POLL_S)


def _is_served(admin: AdminClient, topic: TopicMetadata) -> bool:
    """Whether the leader of each partition says where it ends."""
    if not topic.partitions or any(partition.leader < 0 for partition in topic.partitions.values()):
        return False
    end = OffsetSpec.latest()  # type: ignore[no-untyped-call] # the library leaves it without annotations
    asked = {TopicPartition(str(topic.topic), number): end for number in topic.partitions}
    try:
        for answer in admin.list_offsets(asked).values():
            answer.result()
    except KafkaException:
        return False
    return True
