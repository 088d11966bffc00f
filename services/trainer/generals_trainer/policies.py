"""Policies on the log: the artefact in the object store, then its pointer under `name@version`, then under `name`.

In that order, so that whoever sees a pointer finds the artefact, and whoever sees a newest version finds its own entry.
A version is published once: numbers go on from the highest ever published, whatever a checkpoint remembers.
"""

import hashlib
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import structlog
from confluent_kafka import TopicPartition

from generals_runtime.kafka import OrderedProducer, make_consumer
from generals_runtime.objects import AlreadyExists, ObjectStore, open_store
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import decode_policy, encode_policy
from generals_schemas.records import PolicyPointer
from generals_trainer.samples import Layout

_log = structlog.get_logger("generals_trainer.policies")
READ_WITHIN_S = 30.0


class PolicyError(Exception):
    """A policy that cannot be used; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Directory:
    """All pointers of the policies topic."""

    pointers: tuple[PolicyPointer, ...]

    def versions(self, name: str) -> tuple[PolicyPointer, ...]:
        """All versions of a policy, oldest first."""
        found = {pointer.version: pointer for pointer in self.pointers if pointer.name == name}
        return tuple(found[version] for version in sorted(found))

    def newest(self, name: str) -> PolicyPointer | None:
        versions = self.versions(name)
        return versions[-1] if versions else None


def read_directory(kafka: KafkaSettings) -> Directory:
    """Read the policies topic from its beginning to its present end.

    Raises:
        PolicyError: the broker does not deliver.
    """
    topic = kafka.topics().policies.name
    consumer = make_consumer(kafka, group_id="generals-policies-directory", client_id="policies")
    try:
        partitions = consumer.list_topics(topic, timeout=15).topics[topic].partitions
        ends = {}
        for number in partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=15)
            if high > low:
                ends[number] = (low, high)
        consumer.assign([TopicPartition(topic, number, low) for number, (low, _) in ends.items()])
        pointers = []
        deadline = time.monotonic() + READ_WITHIN_S
        while ends:
            for message in consumer.consume(500, 0.2):
                if message.error() is not None:
                    raise PolicyError(f"{topic}: {message.error()}")
                if message.value():
                    pointers.append(decode_policy(message.value() or b""))
            # A compacted log has holes: what counts is the consumer's position, not the last record's offset.
            for place in consumer.position([TopicPartition(topic, number) for number in ends]):
                if place.offset >= ends[place.partition][1]:
                    del ends[place.partition]
            if time.monotonic() > deadline:
                raise PolicyError(f"{topic} could not be read to its end in {READ_WITHIN_S:g} s")
        return Directory(tuple(pointers))
    finally:
        consumer.close()


def fetch(pointer: PolicyPointer) -> bytes:
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


def layout_metadata(layout: Layout) -> dict[str, str]:
    """What an engine must know to feed a policy: the encoding and its parameters."""
    return {
        "encoding": layout.encoding,
        "encoding_params": json.dumps(dict(layout.encoding_params)),
        "planes": ",".join(layout.planes),
        "scalars": ",".join(layout.scalars),
    }


class Publisher:
    """Publishes versions of one policy, each once, ascending."""

    def __init__(self, kafka: KafkaSettings, store: ObjectStore, name: str, *, after: int = 0) -> None:
        """after: the version of the checkpoint that is gone on from."""
        newest = read_directory(kafka).newest(name)
        self.version = max(after, newest.version if newest else 0)
        self._topic = kafka.topics().policies.name
        self._producer = OrderedProducer(kafka, client_id="trainer-policies")
        self._store = store
        self._name = name

    def publish(self, artefact: bytes, metadata: Mapping[str, str]) -> PolicyPointer:
        """Store and announce the next version.

        Raises:
            DeliveryFailed: Kafka refused the pointer.
            StoreError: the object store refused the artefact.
        """
        version = self.version + 1
        sha256 = hashlib.sha256(artefact).hexdigest()
        key = f"{self._name}/{version:06d}-{sha256[:12]}.onnx"
        # Stored before a crash and never announced: the checksum in the name says that the bytes are the same.
        with suppress(AlreadyExists):
            self._store.put(key, artefact)
        pointer = PolicyPointer(
            name=self._name,
            version=version,
            url=object_url(self._store.url, key),
            sha256=sha256,
            created_ms=time.time_ns() // 1_000_000,
            metadata=dict(metadata),
        )
        record = encode_policy(pointer)
        self._producer.send(self._topic, None, f"{self._name}@{version}".encode(), record)
        self._producer.send(self._topic, None, self._name.encode(), record)
        self._producer.flush(30.0)
        self.version = version
        _log.info("policy published", policy=self._name, version=version, sha256=pointer.sha256[:12])
        return pointer

    def close(self) -> None:
        self._producer.close()


def object_url(store: str, key: str) -> str:
    """An object's URL: the key behind the store's path, before its query."""
    path, mark, query = store.partition("?")
    return f"{path.rstrip('/')}/{key}{mark}{query}"


def split_object_url(url: str) -> tuple[str, str]:
    """The URL of the store that holds an object, and the object's key in it."""
    path, mark, query = url.partition("?")
    folder, _, key = path.rpartition("/")
    return f"{folder}{mark}{query}", key
