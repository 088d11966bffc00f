"""How a record lies in a spill file: length, CRC-32, body. A frame is whole, or it is not there.

    frame = u32 length of the body, u32 zlib.crc32 of the body, body            (little-endian)
    body  = i64 timestamp in ms, u32 partition, u32 index, u16 and u16 lengths, topic, key, value

A body of no bytes is refused: after a power cut a file may end in zeros, and the CRC-32 of nothing is 0.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import BinaryIO

from generals_runtime.kafka import Headers

_HEAD = struct.Struct("<II")
_BODY = struct.Struct("<qIIHH")
MOST_BYTES = 64 * 1024 * 1024
"""A longer frame is no frame: a damaged length must not be read as gigabytes."""

Spot = tuple[str, int]
"""A topic's name and a partition of it."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record for Kafka. index: how many records of the same game came before it.

    headers: not written to disk; a record that is read from there has none.
    """

    topic: str
    partition: int
    key: bytes
    value: bytes
    timestamp_ms: int
    index: int = 0
    headers: Headers | None = None

    @property
    def spot(self) -> Spot:
        return self.topic, self.partition

    @property
    def size(self) -> int:
        """Bytes that count against limits; those of the frame."""
        return _HEAD.size + _BODY.size + len(self.topic) + len(self.key) + len(self.value)


def frame(body: bytes) -> bytes:
    return _HEAD.pack(len(body), zlib.crc32(body)) + body


def record_body(record: Record) -> bytes:
    topic = record.topic.encode()
    head = _BODY.pack(record.timestamp_ms, record.partition, record.index, len(topic), len(record.key))
    return b"".join((head, topic, record.key, record.value))


def record_of(body: bytes) -> Record:
    timestamp_ms, partition, index, topic_bytes, key_bytes = _BODY.unpack_from(body)
    key_at = _BODY.size + topic_bytes
    value_at = key_at + key_bytes
    topic = body[_BODY.size : key_at].decode()
    return Record(topic, partition, body[key_at:value_at], body[value_at:], timestamp_ms, index)


def bodies(file: BinaryIO) -> Iterator[bytes]:
    """The bodies of the whole frames from where `file` stands; ends before the first that is not whole."""
    while True:
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return
        length, checksum = _HEAD.unpack(head)
        if not 0 < length <= MOST_BYTES:
            return
        body = file.read(length)
        if len(body) < length or zlib.crc32(body) != checksum:
            return
        yield body


def framed_bytes(body: bytes) -> int:
    return _HEAD.size + len(body)


def digest(key: bytes, value: bytes) -> int:
    """64 bits that tell records of one partition apart: a value holds its game's id and the chunk's number."""
    return int.from_bytes(blake2b(value, digest_size=8, key=key[:64]).digest(), "little")
