"""Policies on the log: the artefact in the object store, then its pointer under `name@version`, then under `name`.

In that order, so that whoever sees a pointer finds the artefact, and whoever sees a newest version finds its own entry.
A version is published once: numbers go on from the highest ever published, whatever a checkpoint remembers.
"""

import hashlib
import json
import time
from collections.abc import Mapping
from contextlib import suppress

import structlog

from generals_runtime.kafka import OrderedProducer
from generals_runtime.objects import AlreadyExists, ObjectStore
from generals_runtime.published_policies import object_url, read_policies
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import encode_policy
from generals_schemas.records import PolicyPointer
from generals_trainer.samples import Layout

_log = structlog.get_logger("generals_trainer.policies")

ANNOUNCE_WITHIN_S = 5.0
"""Training waits no longer for Kafka. The producer keeps what is not acknowledged yet and goes on trying."""
CLOSE_WITHIN_S = 2.0


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
        newest = read_policies(kafka).newest(name)
        self.version = max(after, newest.version if newest else 0)
        self._topic = kafka.topics().policies.name
        self._producer = OrderedProducer(kafka, client_id="trainer-policies")
        self._store = store
        self._name = name

    def publish(self, artefact: bytes, metadata: Mapping[str, str]) -> PolicyPointer:
        """Store and announce the next version. While Kafka is away it is announced as soon as it is back.

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
        self.version = version
        if self._producer.flush(ANNOUNCE_WITHIN_S):
            _log.warning("Kafka has not acknowledged a policy yet", policy=self._name, version=version)
        else:
            _log.info("policy published", policy=self._name, version=version, sha256=pointer.sha256[:12])
        return pointer

    def close(self) -> None:
        """What Kafka does not acknowledge soon is dropped: the artefacts stay, the next versions will be announced."""
        if left := self._producer.close(CLOSE_WITHIN_S):
            _log.warning("pointers to policies were not acknowledged and are dropped", policy=self._name, records=left)
