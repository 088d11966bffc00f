"""Avro's binary form, piece by piece, for records that are written too often for a general library.

Numbers are zigzag varints, strings and bytes stand behind their length, arrays and maps are one block behind its count
and a zero, enums and unions are the index of what follows. `None` fields write nothing behind their index.
"""

import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache

ZERO, ONE = b"\x00", b"\x02"
"""The numbers 0 and 1; also an empty array and the first and second branch of a union."""

FALSE, TRUE = b"\x00", b"\x01"


@lru_cache(maxsize=65_536)
def long(value: int) -> bytes:
    """A number as a zigzag varint, kept: most come again."""
    return seldom(value)


def seldom(value: int) -> bytes:
    """The same for a number that hardly comes again, such as a seed or an offset: to keep those would be a leak."""
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def text(value: str) -> bytes:
    """A string."""
    encoded = value.encode()
    return long(len(encoded)) + encoded


def array(items: Sequence[bytes]) -> bytes:
    """Items that are in their binary form already."""
    return long(len(items)) + b"".join(items) + ZERO if items else ZERO


def doubles(entries: Iterable[tuple[str, float]]) -> bytes:
    """A map of doubles."""
    return array([text(name) + struct.pack("<d", value) for name, value in entries])


def read_long(data: bytes, at: int) -> tuple[int, int]:
    """The number that stands at `at`, and where it ends.

    Raises:
        IndexError: the data ends within it.
        ValueError: it takes more than 64 bits.
    """
    byte = data[at]
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), at + 1
    value, shift = byte & 0x7F, 7
    while byte > 0x7F:
        at += 1
        byte = data[at]
        value |= (byte & 0x7F) << shift
        shift += 7
    if value >> 64:
        raise ValueError(f"a number of {value.bit_length()} bits")
    return (value >> 1) ^ -(value & 1), at + 1


def read_longs(data: bytes, at: int, count: int) -> tuple[list[int], int]:
    """The `count` numbers that stand one after another from `at` on, and where the last ends. Raises as `read_long`."""
    values = []
    for _ in range(count):
        byte = data[at]
        if byte < 0x80:  # most are below 64: a call for each would take longer than to read it
            values.append((byte >> 1) ^ -(byte & 1))
            at += 1
        else:
            value, at = read_long(data, at)
            values.append(value)
    return values, at


def read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """The bytes that stand at `at` behind their length, and where they end. Raises as `read_long`."""
    count, start = read_long(data, at)
    if not 0 <= count <= len(data) - start:
        raise IndexError(f"{count} bytes of {len(data) - start}")
    return data[start : start + count], start + count


def read_text(data: bytes, at: int) -> tuple[str, int]:
    """The string that stands at `at`, and where it ends. Raises as `read_bytes`, and ValueError if it is no UTF-8."""
    encoded, end = read_bytes(data, at)
    return encoded.decode(), end
