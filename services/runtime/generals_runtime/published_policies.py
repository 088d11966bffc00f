"""Published policies as their readers see them: pointers on the policies topic, artefacts in an object store.

A pointer stands under `name@version` and, the newest, under `name`. An artefact is used only if its SHA-256 is the
pointer's.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

import structlog
from confluent_kafka import Consumer, TopicPartition

from generals_runtime.errors import OperatorError
from generals_runtime.kafka_clients import make_consumer
from generals_runtime.kafka_questions import log_bounds, partitions_of
from generals_runtime.objects import open_store
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import decode_policy
from generals_schemas.errors import BadRecord
from generals_schemas.records import PolicyPointer

READ_WITHIN_S = 30.0

_log = structlog.get_logger("generals_runtime.policies")


class PolicyError(OperatorError):
    """A published policy that cannot be used; the message says which and why."""


@dataclass(frozen=True, slots=True)
class PolicyDirectory:
    """All pointers of the policies topic, in the log's order."""

    pointers: tuple[PolicyPointer, ...]

    def versions(self, name: str) -> tuple[PolicyPointer, ...]:
        """All versions of a policy, oldest first."""
        found = {pointer.version: pointer for pointer in self.pointers if pointer.name == name}
        return tuple(found[version] for version in sorted(found))

    def newest(self, name: str) -> PolicyPointer | None:
        versions = self.versions(name)
        return versions[-1] if versions else None

    def find(self, name: str, version: int | None = None) -> PolicyPointer:
        """One version, the newest if None.

        Raises:
            PolicyError: it was never published.
        """
        for pointer in reversed(self.versions(name)):
            if version in (None, pointer.version):
                return pointer
        known = ", ".join(sorted({pointer.name for pointer in self.pointers})) or "none"
        wanted = name if version is None else f"{name}@{version}"
        raise PolicyError(f"policy {wanted} was never published; published are: {known}")


class PolicyLog:
    """Follows the policies topic from its beginning. One thread's."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._topic = kafka.topics().policies.name
        self._consumer: Consumer = make_consumer(kafka, group_id="generals-policies", client_id="policies")
        self._ends: dict[int, int] = {}
        places = []
        for number in partitions_of(self._consumer, self._topic):
            low, high = log_bounds(self._consumer, self._topic, number)
            places.append(TopicPartition(self._topic, number, low))
            if high > low:
                self._ends[number] = high
        self._consumer.assign(places)

    @property
    def at_end(self) -> bool:
        """Whether all there was when this was made has been read."""
        # A compacted log has holes: what counts is where the consumer stands, not the last record's offset.
        for place in self._consumer.position([TopicPartition(self._topic, number) for number in self._ends]):
            if place.offset >= self._ends[place.partition]:
                del self._ends[place.partition]
        return not self._ends

    def poll(self, timeout_s: float) -> Iterator[PolicyPointer]:
        """New pointers, in the log's order. A record that is none of ours is logged and passed over.

        Raises:
            PolicyError: the broker reports an error.
        """
        for message in self._consumer.consume(500, timeout_s):
            if message.error() is not None:
                raise PolicyError(f"{self._topic}: {message.error()}")
            value = message.value()
            if value:  # none: a deletion
                try:
                    yield decode_policy(value)
                except BadRecord as error:
                    _log.error(
                        "a record of the policies topic is no policy",
                        topic=self._topic,
                        partition=message.partition(),
                        offset=message.offset(),
                        reason=str(error),
                    )

    def close(self) -> None:
        self._consumer.close()


def read_policies(kafka: KafkaSettings) -> PolicyDirectory:
    """Read the policies topic from its beginning to its present end.

    Raises:
        PolicyError: the broker does not deliver.
    """
    log = PolicyLog(kafka)
    try:
        pointers: list[PolicyPointer] = []
        deadline = time.monotonic() + READ_WITHIN_S
        while not log.at_end:
            pointers.extend(log.poll(0.2))
            if time.monotonic() > deadline:
                raise PolicyError(f"the policies topic could not be read to its end in {READ_WITHIN_S:g} s")
        return PolicyDirectory(tuple(pointers))
    finally:
        log.close()


def fetch_policy(pointer: PolicyPointer) -> bytes:
    """The artefact, its checksum verified.

    Raises:
        PolicyError: the checksum is wrong.
        StoreError: the object store does not give it.
    """
    url, key = split_object_url(pointer.url)
    artefact = open_store(url).get(key)
    found = hashlib.sha256(artefact).hexdigest()
    if found != pointer.sha256:
        raise PolicyError(
            f"policy {pointer.name}@{pointer.version} at {pointer.url} has SHA-256 {found}, published was "
            f"{pointer.sha256}: refused"
        )
    return artefact


def object_url(store: str, key: str) -> str:
    """An object's URL: the key behind the store's path, before its query."""
    path, mark, query = store.partition("?")
    return f"{path.rstrip('/')}/{key}{mark}{query}"


def split_object_url(url: str) -> tuple[str, str]:
    """The URL of the store that holds an object, and the object's key in it."""
    path, mark, query = url.partition("?")
    folder, _, key = path.rpartition("/")
    return f"{folder}{mark}{query}", key
