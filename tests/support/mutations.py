"""Records gone wrong in every way we could think of: bits, lengths, fields, arrays; the checksum wrong or right."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import zstandard
from numpy.random import Generator
from random_chunks import random_chunk

from generals_schemas.codec import encode_chunk
from generals_schemas.framing import CHECKSUM_BYTES, HEADER_BYTES, schema

NUMBERS = (-(2**31), -2, -1, 0, 1, 2, 3, 12, 13, 63, 64, 65, 255, 4096, 65_535, 65_536, 2**31 - 1)
SCHEMA = schema("transition_chunk")


def originals(rng: Generator) -> list[bytes]:
    """Small chunks of every kind, valid."""
    made = []
    for i in range(24):
        sides = (int(rng.integers(1, 7)), int(rng.integers(1, 7)))
        more = {"large": i % 6 == 5, "memory": i % 2 == 0, "log_probs": i % 3 == 0}
        chunk = random_chunk(rng, players=2 + i % 4, sides=sides, ticks=1 + i % 5, **more)
        made.append(encode_chunk(replace(chunk, game_id="g")))
    return made


def mutate(rng: Generator, record: bytes, other: bytes) -> bytes:
    """The record, spoilt. Half of what would have a wrong checksum gets a right one. The schema's name stays as it is:
    an unknown schema is no bad data."""
    how = MUTATIONS[int(rng.integers(len(MUTATIONS)))]
    spoilt = how(rng, record, other)
    if rng.random() < 0.5 and len(spoilt) > HEADER_BYTES + CHECKSUM_BYTES:
        spoilt = seal(record[:HEADER_BYTES] + spoilt[HEADER_BYTES:-CHECKSUM_BYTES])
    return spoilt


def seal(body: bytes) -> bytes:
    """With a right checksum behind it."""
    return body + struct.pack("<I", zlib.crc32(body))


def flip_bits(rng: Generator, record: bytes, _: bytes) -> bytes:
    spoilt = np.frombuffer(record, np.uint8).copy()
    for at in rng.integers(0, len(spoilt), int(rng.integers(1, 9))):
        spoilt[at] ^= 1 << int(rng.integers(8))
    return spoilt.tobytes()


def flip_bits_of_the_fields(rng: Generator, record: bytes, _: bytes) -> bytes:
    spoilt = np.frombuffer(record, np.uint8).copy()
    for at in rng.integers(HEADER_BYTES, min(len(spoilt), 120), int(rng.integers(1, 4))):
        spoilt[at] = int(rng.integers(256))
    return spoilt.tobytes()


def cut_off(rng: Generator, record: bytes, _: bytes) -> bytes:
    return record[: int(rng.integers(0, len(record)))]


def cut_out(rng: Generator, record: bytes, _: bytes) -> bytes:
    start, stop = sorted(rng.integers(0, len(record), 2).tolist())
    return record[:start] + record[stop:]


def insert(rng: Generator, record: bytes, _: bytes) -> bytes:
    at = int(rng.integers(len(record)))
    return record[:at] + rng.bytes(int(rng.integers(1, 40))) + record[at:]


def splice(rng: Generator, record: bytes, other: bytes) -> bytes:
    return record[: int(rng.integers(len(record)))] + other[int(rng.integers(len(other))) :]


def noise(rng: Generator, record: bytes, _: bytes) -> bytes:
    return rng.bytes(int(rng.integers(0, 2 * len(record))))


def change_a_field(rng: Generator, record: bytes, _: bytes) -> bytes:
    """Another number, or another of what is allowed; sizes no longer fit, or are enormous."""
    fields = SCHEMA.read(record)
    names = ("width", "height", "ticks", "first_tick", "chunk", "army_dtype", "has_log_probs", "has_memory", "teams",
             "policies", "outcome", "game_id", "map_seed")  # fmt: skip
    name = names[int(rng.integers(len(names)))]
    number = NUMBERS[int(rng.integers(len(NUMBERS)))]
    changes: dict[str, Callable[[], Any]] = {
        "army_dtype": lambda: "u4" if fields["army_dtype"] == "u2" else "u2",
        "has_log_probs": lambda: not fields["has_log_probs"],
        "has_memory": lambda: not fields["has_memory"],
        "teams": lambda: [int(team) for team in rng.integers(-2, 4, int(rng.integers(0, 20)))],
        "policies": lambda: fields["policies"][:-1] if rng.random() < 0.5 else fields["policies"] * 7,
        "outcome": lambda: {"winners": rng.integers(-1, 14, int(rng.integers(0, 5))).tolist(), "reason": "won"},
        "game_id": lambda: "" if rng.random() < 0.5 else "x" * 100_000,
    }
    fields[name] = changes.get(name, lambda: number)()
    fields.pop("checksum", None)
    return SCHEMA.write(fields)


def change_an_array(rng: Generator, record: bytes, _: bytes) -> bytes:
    """Other values in the arrays, compressed again: all sizes fit."""
    fields = SCHEMA.read(record)
    data = bytearray(zstandard.ZstdDecompressor().decompress(fields["arrays"]))
    for _ in range(int(rng.integers(1, 6))):
        data[int(rng.integers(len(data)))] = int(rng.integers(256))
    if rng.random() < 0.1:
        data = bytearray(rng.bytes(len(data)))
    fields.pop("checksum", None)
    return SCHEMA.write({**fields, "arrays": zstandard.ZstdCompressor().compress(bytes(data))})


def bomb(rng: Generator, record: bytes, _: bytes) -> bytes:
    """Arrays that are enormous once decompressed, or say that they are."""
    fields = SCHEMA.read(record)
    fields.pop("checksum", None)
    if rng.random() < 0.5:
        arrays = BOMB
        fields |= {"width": 64, "height": 64, "ticks": int(rng.integers(1, 2**31))}
    else:  # a frame that says it holds 2^62 bytes
        arrays = bytes.fromhex("28b52ffd") + b"\xe0" + struct.pack("<Q", 1 << 62) + rng.bytes(20)
    return SCHEMA.write({**fields, "arrays": arrays})


BOMB = zstandard.ZstdCompressor().compress(bytes(200_000_000))

MUTATIONS: tuple[Callable[[Generator, bytes, bytes], bytes], ...] = (
    flip_bits, flip_bits_of_the_fields, cut_off, cut_out, insert, splice, noise, change_a_field, change_a_field,
    change_an_array, change_an_array, change_an_array, bomb,
)  # fmt: skip
