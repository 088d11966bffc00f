"""One raw record in, the records to send out: batches, or a dead letter and a marker. No Kafka yet, and no clock.

Every source record makes at least one record in the experiences topic, so that the source offsets a reader sees have no
holes. An unknown schema is not bad data: it goes through as UnknownSchema and stops the collector.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from generals_collector.tensorise import Recipe, experiences
from generals_schemas.codec import decode_chunk, encode_batch
from generals_schemas.errors import BadRecord
from generals_schemas.records import ExperienceBatch, Source

Headers = Sequence[tuple[str, bytes | None]]
MAX_DETAIL = 500
MAX_CARRIED_BYTES = 16 * 1024
"""Of a key with headers, which go on with everything that is made of a record."""

MAX_DEAD_LETTER_BYTES = 1_900_000
"""Below what the topic takes. Only a compressed record of a foreign producer can be larger."""


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A record of the transitions topic as it came. hole: there is none at the offset, and this stands for it."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    hole: bool = False

    @classmethod
    def holes(cls, topic: str, partition: int, offsets: Iterable[int], timestamp_ms: int) -> list["RawRecord"]:
        return [cls(topic, partition, offset, timestamp_ms, None, None, hole=True) for offset in offsets]

    @property
    def carried_bytes(self) -> int:
        """Of the key and the headers."""
        return len(self.key or b"") + sum([len(name) + len(value or b"") for name, value in self.headers])


class DeadLetter(NamedTuple):
    """What goes to the dead-letter topic."""

    key: bytes | None
    value: bytes | None
    headers: Headers


class Played(NamedTuple):
    """What metrics want to know of a batch. The batch itself is let go as soon as it is encoded: a group of them is no
    longer in the processor's cache, and thirty times as large as what is sent."""

    policy: str
    tiles: int
    actions: NDArray[np.int32]
    rewards: NDArray[np.float32]
    raw_bytes: int


@dataclass(frozen=True, slots=True)
class Converted:
    """What one source record becomes.

    values: records for the experiences topic, in order.  played: what is in them.
    rejected: why it goes to the dead-letter topic too, if it does.
    """

    source: RawRecord
    values: tuple[bytes, ...]
    played: tuple[Played, ...] = ()
    rejected: BadRecord | None = None

    @property
    def experiences(self) -> int:
        return sum(len(one.actions) for one in self.played)

    @property
    def carried(self) -> tuple[bytes | None, Headers]:
        """Key and headers for what is made of the record: its own, or none if they are too large to carry along."""
        raw = self.source
        return (raw.key, raw.headers) if raw.carried_bytes <= MAX_CARRIED_BYTES else (None, ())

    @property
    def dead_letter(self) -> DeadLetter:
        """The record as it came, unless it is too large: then its coordinates tell where it still lies."""
        raw, told = self.source, self._dead_letter_headers()
        size = raw.carried_bytes + len(raw.value or b"")
        if size > MAX_DEAD_LETTER_BYTES:
            return DeadLetter(None, None, [*told, ("left_out_bytes", str(size).encode())])
        return DeadLetter(raw.key, raw.value, [*told, *raw.headers])

    def _dead_letter_headers(self) -> list[tuple[str, bytes | None]]:
        """The coordinates and the reason."""
        if self.rejected is None:
            return []
        ours = {
            "reason": self.rejected.reason,
            "detail": self.rejected.detail[:MAX_DETAIL],
            "source_topic": self.source.topic,
            "source_partition": str(self.source.partition),
            "source_offset": str(self.source.offset),
            "source_timestamp_ms": str(self.source.timestamp_ms),
        }
        return [(name, text.encode()) for name, text in ours.items()]


@dataclass(slots=True)
class Converter:
    """Converts records by a recipe that may be replaced between two records.

    topic_id: of the source topic; another id is another topic, whatever its name.
    """

    recipe: Recipe
    topic_id: str
    max_record_bytes: int = 1_000_000

    def __call__(self, raw: RawRecord) -> Converted:
        """Raises:
        UnknownSchema: the record is of a schema that this program does not have.
        """
        how = self.recipe
        source = Source(raw.topic, self.topic_id, raw.partition, raw.offset, 0, 1)
        try:
            if raw.hole:
                raise BadRecord("no_record", "the offset is a transaction's mark")
            if raw.value is None:
                raise BadRecord("empty", "the record has no value")
            batches = experiences(decode_chunk(raw.value), source, how)
            values = tuple(encode_batch(batch) for batch in batches)
            self._check_sizes(raw, values)
        except BadRecord as error:
            marker = ExperienceBatch.rejection(reason=error.reason, source=source, config_version=how.version)
            return Converted(raw, (encode_batch(marker),), rejected=error)
        return Converted(raw, values, tuple(map(_played, batches)))

    def _check_sizes(self, raw: RawRecord, values: tuple[bytes, ...]) -> None:
        if raw.carried_bytes > MAX_CARRIED_BYTES:
            has = f"key and headers have {raw.carried_bytes:,} bytes"
            raise BadRecord("too_large", f"{has}; the limit is {MAX_CARRIED_BYTES:,}")
        largest = max(map(len, values))
        if largest > self.max_record_bytes:
            limit = f"the limit is {self.max_record_bytes:,}; play shorter chunks"
            raise BadRecord("too_large", f"a batch of {largest:,} bytes comes out of it, {limit}")


def _played(batch: ExperienceBatch) -> Played:
    size = batch.armies.nbytes + batch.bits.nbytes
    return Played(batch.policy.name, batch.width * batch.height, batch.actions, batch.rewards, size)
