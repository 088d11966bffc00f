"""What was handed on out of order, small enough for a commit: gaps and step counts as varints, zlib, base64.

Rows wait for others of their board's size, so of a thousand records behind the first one that waits, most may have been
handed on. As JSON that is 10 kB; a broker takes 4,096 bytes beside an offset.
"""

import base64
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

MAX_UNPACKED = 1 << 20


def pack_handed(first: int, handed: Mapping[int, int]) -> str:
    """Text for `handed` (offset → steps), offsets counted from `first`; empty for nothing."""
    raw = bytearray()
    before = first
    for offset, steps in sorted(handed.items()):
        _put(raw, offset - before)
        _put(raw, steps)
        before = offset
    return base64.b64encode(zlib.compress(bytes(raw), 9)).decode() if raw else ""


def unpack_handed(first: int, packed: Any) -> dict[int, int]:
    """The mapping back. Raises ValueError if the text is not one of `pack_handed`."""
    if not packed:
        return {}
    try:
        raw = zlib.decompressobj().decompress(base64.b64decode(packed, validate=True), MAX_UNPACKED)
    except zlib.error as error:
        raise ValueError(f"what was handed on cannot be unpacked: {error}") from error
    numbers = _numbers(raw)
    handed = {}
    offset = first
    for gap in numbers:
        offset += gap
        steps = next(numbers, None)
        if steps is None:
            raise ValueError("what was handed on ends in the middle of a pair")
        handed[offset] = steps
    return handed


def _put(raw: bytearray, number: int) -> None:
    if number < 0:
        raise ValueError("records before a position cannot have been handed on out of order")
    while number > 0x7F:
        raw.append(number & 0x7F | 0x80)
        number >>= 7
    raw.append(number)


def _numbers(raw: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in raw:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield number
            number = shift = 0
