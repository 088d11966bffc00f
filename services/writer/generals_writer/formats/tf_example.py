"""`tf.train.Example` and TFRecord framing, as TensorFlow writes them, without TensorFlow.

A frame: length u8 little-endian, masked CRC-32C of those 8 bytes, the data, masked CRC-32C of the data.
An Example: message { Features features = 1 }, Features: map<string, Feature> feature = 1, Feature: one of
BytesList = 1, FloatList = 2, Int64List = 3, each with `repeated value = 1`, numbers packed.
"""

import struct
from collections.abc import Iterator
from typing import TypeAlias

import google_crc32c

Value: TypeAlias = bytes | float | int

_MASK_DELTA = 0xA282EAD8
_LENGTH_DELIMITED = 2


def masked_crc(data: bytes) -> int:
    """CRC-32C, rotated and shifted as TFRecord wants it."""
    crc: int = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def frame(data: bytes) -> bytes:
    """One record of a TFRecord file."""
    length = struct.pack("<Q", len(data))
    return b"".join((length, struct.pack("<I", masked_crc(length)), data, struct.pack("<I", masked_crc(data))))


def frames(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """Each record with the offset of its frame. Raises ValueError for a wrong checksum or a cut file."""
    at = 0
    while at < len(stream):
        header = stream[at : at + 12]
        if len(header) < 12 or struct.unpack_from("<I", header, 8)[0] != masked_crc(header[:8]):
            raise ValueError(f"the frame at byte {at} has no right length")
        (length,) = struct.unpack_from("<Q", header)
        data = stream[at + 12 : at + 12 + length]
        footer = stream[at + 12 + length : at + 16 + length]
        if len(footer) < 4 or struct.unpack("<I", footer)[0] != masked_crc(data):
            raise ValueError(f"the record at byte {at} has a wrong checksum")
        yield at, data
        at += 16 + length


def varint(number: int) -> bytes:
    """Base 128, low groups first; negative numbers as two's complement of 64 bits."""
    number &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def feature(name: str, value: Value) -> bytes:
    """One entry of the feature map."""
    if isinstance(value, bytes):
        listed = _field(1, _field(1, value))
    elif isinstance(value, float):
        listed = _field(2, _field(1, struct.pack("<f", value)))
    else:
        listed = _field(3, _field(1, varint(value)))
    return _field(1, _field(1, name.encode()) + _field(2, listed))


def example(features: bytes) -> bytes:
    """An Example of features already encoded and joined."""
    return _field(1, features)


def parse_example(data: bytes) -> dict[str, Value]:
    """The features of an Example; lists of one value each. Raises ValueError."""
    found: dict[str, Value] = {}
    for features in _fields(data, 1):
        for entry in _fields(features, 1):
            name = next(_fields(entry, 1)).decode()
            found[name] = _value(next(_fields(entry, 2)))
    return found


def _field(number: int, data: bytes) -> bytes:
    return bytes((number << 3 | _LENGTH_DELIMITED,)) + varint(len(data)) + data


def _value(data: bytes) -> Value:
    kind, listed = next(_all_fields(data))
    inner = next(_fields(listed, 1))
    if kind == 1:
        return inner
    if kind == 2:
        return float(struct.unpack("<f", inner)[0])
    number, _ = _varint(inner, 0)
    return number - (1 << 64) if number >> 63 else number


def _fields(data: bytes, number: int) -> Iterator[bytes]:
    return (content for found, content in _all_fields(data) if found == number)


def _all_fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        if tag & 7 != _LENGTH_DELIMITED:
            raise ValueError(f"wire type {tag & 7} is not one that an Example here has")
        length, at = _varint(data, at)
        if at + length > len(data):
            raise ValueError("a field is longer than its message")
        yield tag >> 3, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("a number is cut off")
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
