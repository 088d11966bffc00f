"""The chunk reader says what fastavro says, of sound records and of damaged ones."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from generals_schemas.chunk_reader import read_chunk
from generals_schemas.codec import encode_chunk
from generals_schemas.errors import BadRecord
from generals_schemas.framing import CHECKSUM_BYTES, HEADER_BYTES, schema
from generals_schemas.golden.samples import chunk
from generals_schemas.records import Outcome, PolicyRef

SCHEMA = schema("transition_chunk")
MUTATIONS = 20_000


def records() -> list[bytes]:
    return [
        encode_chunk(chunk()),
        encode_chunk(chunk(armies=np.uint32, memory=False, log_probs=False, final=False)),
        encode_chunk(replace(chunk(), policies=(PolicyRef("spieler-ü", 2**31 - 1), PolicyRef("")))),
        encode_chunk(replace(chunk(), map_seed=2**63 - 1, policy_seed=-(2**63), game_id="")),
        encode_chunk(replace(chunk(), outcome=Outcome((), "tick_limit"))),
        encode_chunk(replace(chunk(), outcome=Outcome((1, 0), "stalemate"))),
    ]


def by_fastavro(record: bytes) -> dict[str, Any]:
    fields = SCHEMA.read(record)
    outcome = fields["outcome"]
    return {
        **fields,
        "teams": tuple(fields["teams"]),
        "policies": tuple(PolicyRef(**policy) for policy in fields["policies"]),
        "outcome": Outcome(tuple(outcome["winners"]), outcome["reason"]) if outcome else None,
    }


def what_comes_of(read: Callable[[bytes], dict[str, Any]], record: bytes) -> dict[str, Any] | str:
    try:
        return read(record)
    except BadRecord as refusal:
        return refusal.reason


@pytest.mark.parametrize("record", records())
def test_it_reads_what_fastavro_reads(record: bytes) -> None:
    assert read_chunk(record) == by_fastavro(record)
    assert list(read_chunk(record)) == list(by_fastavro(record))


def test_a_damaged_record_whose_checksum_is_right_again_is_read_or_refused_as_by_fastavro(seed: int) -> None:
    rng = np.random.default_rng(seed)
    originals = records()
    refused = 0
    for _ in range(MUTATIONS):
        body = bytearray(originals[rng.integers(len(originals))][:-CHECKSUM_BYTES])
        for _ in range(rng.integers(1, 4)):
            body[rng.integers(HEADER_BYTES, min(len(body), 90))] = rng.integers(256)
        if rng.random() < 0.2:
            del body[rng.integers(HEADER_BYTES, len(body)) :]
        record = bytes(body) + struct.pack("<I", zlib.crc32(body))
        expected, found = what_comes_of(by_fastavro, record), what_comes_of(read_chunk, record)
        refused += isinstance(expected, str)
        assert found == expected
    assert MUTATIONS / 10 < refused < MUTATIONS
