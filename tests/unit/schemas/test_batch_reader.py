"""The batch reader says what fastavro says, of sound records and of damaged ones."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from generals_schemas.batch_reader import read_batch
from generals_schemas.codec import encode_batch
from generals_schemas.errors import BadRecord
from generals_schemas.framing import CHECKSUM_BYTES, HEADER_BYTES, schema
from generals_schemas.golden.samples import batch
from generals_schemas.records import ExperienceBatch, PolicyRef, Source

SCHEMA = schema("experience_batch")
MUTATIONS = 20_000


def records() -> list[bytes]:
    one = batch()
    return [
        encode_batch(one),
        encode_batch(replace(one, policy=PolicyRef("spieler-ü", 2**31 - 1), reward_params={"clip": 0.5, "win": 2.0})),
        encode_batch(replace(one, source=Source("t", "id", 3, 2**62, 7, 12), armies=one.armies.astype(np.uint32))),
        encode_batch(replace(one, game_id="", end="truncated", log_probs=None)),
        encode_batch(ExperienceBatch.rejection(reason="checksum", source=one.source)),
    ]


def by_fastavro(record: bytes) -> dict[str, Any]:
    fields = SCHEMA.read(record)
    return {
        **fields,
        "policy": PolicyRef(**fields["policy"]),
        "planes": tuple(fields["planes"]),
        "scalars": tuple(fields["scalars"]),
    }


def outcome(read: Callable[[bytes], dict[str, Any]], record: bytes) -> dict[str, Any] | str:
    try:
        return read(record)
    except BadRecord as refusal:
        return refusal.reason


@pytest.mark.parametrize("record", records())
def test_it_reads_what_fastavro_reads(record: bytes) -> None:
    assert read_batch(record) == by_fastavro(record)
    assert list(read_batch(record)) == list(by_fastavro(record))


def test_a_damaged_record_whose_checksum_is_right_again_is_read_or_refused_as_by_fastavro(seed: int) -> None:
    rng = np.random.default_rng(seed)
    originals = records()
    refused = 0
    for _ in range(MUTATIONS):
        body = bytearray(originals[rng.integers(len(originals))][:-CHECKSUM_BYTES])
        fields_end = len(body) - len(batch().actions) if rng.random() < 0.1 else min(len(body), 300)
        for _ in range(rng.integers(1, 4)):
            body[rng.integers(HEADER_BYTES, fields_end)] = rng.integers(256)
        if rng.random() < 0.2:
            del body[rng.integers(HEADER_BYTES, len(body)) :]
        record = bytes(body) + struct.pack("<I", zlib.crc32(body))
        expected, found = outcome(by_fastavro, record), outcome(read_batch, record)
        refused += isinstance(expected, str)
        assert repr(found) == repr(expected)  # a parameter may be no number, which does not equal itself
    assert MUTATIONS / 10 < refused < MUTATIONS
