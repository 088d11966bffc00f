"""What is written is read again, and what is damaged is refused by name."""

import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest

from generals_schemas import blocks
from generals_schemas.codec import decode_batch, decode_chunk, encode_batch, encode_chunk
from generals_schemas.errors import BadRecord, SchemaError, UnknownSchema
from generals_schemas.framing import schema
from generals_schemas.golden.samples import batch, chunk
from generals_schemas.records import ExperienceBatch, TransitionChunk
from generals_schemas.topics import TOPICS


def sealed(body: bytes) -> bytes:
    return body + struct.pack("<I", zlib.crc32(body))


def assert_same(found: TransitionChunk | ExperienceBatch, wanted: TransitionChunk | ExperienceBatch) -> None:
    assert type(found) is type(wanted)
    for name in wanted.__slots__:
        mine, other = getattr(found, name), getattr(wanted, name)
        if isinstance(other, np.ndarray):
            assert mine.dtype == other.dtype
            np.testing.assert_array_equal(mine, other)
        elif name == "memory" and other is not None:
            np.testing.assert_array_equal(mine.tiles, other.tiles)
            np.testing.assert_array_equal(mine.armies, other.armies)
        else:
            assert mine == other, name


@pytest.mark.parametrize("armies", [np.uint16, np.uint32])
@pytest.mark.parametrize("optional", [True, False])
def test_a_chunk_comes_back_as_it_was(armies: type, optional: bool) -> None:
    written = chunk(armies=armies, memory=optional, log_probs=optional, final=optional)
    assert_same(decode_chunk(encode_chunk(written)), written)


@pytest.mark.parametrize("armies", [np.uint16, np.uint32])
@pytest.mark.parametrize("optional", [True, False])
def test_the_hand_written_chunk_is_what_fastavro_writes(armies: type, optional: bool) -> None:
    written = chunk(armies=armies, memory=optional, log_probs=optional, final=optional)
    written = replace(written, map_seed=2**63 - 1, game_id="spiel-ü-0-1", first_tick=70_000)
    record = encode_chunk(written)
    fields = schema("transition_chunk").read(record)
    fields.pop("checksum")
    assert schema("transition_chunk").write(fields) == record


@pytest.mark.parametrize("armies", [np.uint16, np.uint32])
@pytest.mark.parametrize("optional", [True, False])
def test_the_hand_written_batch_is_what_fastavro_writes(armies: type, optional: bool) -> None:
    written = replace(
        batch(), game_id="spiel-ü-0-1", first_tick=70_000, armies=batch().armies.astype(armies),
        end="truncated" if optional else "none", log_probs=batch().log_probs if optional else None,
        reward_params={"clip": 0.5, "win": 2.0} if optional else {},
    )  # fmt: skip
    marker = ExperienceBatch.rejection(reason="checksum", source=replace(batch().source, offset=2**40))
    for record in map(encode_batch, (written, marker)):
        fields = schema("experience_batch").read(record)
        fields.pop("checksum")
        assert schema("experience_batch").write(fields) == record


def test_a_batch_comes_back_as_it_was() -> None:
    assert_same(decode_batch(encode_batch(batch())), batch())


def test_a_rejected_marker_comes_back_with_its_reason() -> None:
    marker = ExperienceBatch.rejection(reason="checksum", source=replace(batch().source, index=0, count=1))
    assert_same(decode_batch(encode_batch(marker)), marker)


def test_every_single_flipped_bit_is_found() -> None:
    record = encode_chunk(chunk())
    for bit in range(8 * len(record)):
        damaged = bytearray(record)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SchemaError):
            decode_chunk(bytes(damaged))


def test_every_truncation_is_found() -> None:
    record = encode_chunk(chunk())
    for length in range(len(record)):
        with pytest.raises(BadRecord):
            decode_chunk(record[:length])


def test_a_record_of_another_schema_is_unknown_not_bad() -> None:
    with pytest.raises(UnknownSchema, match="deploy the consumers"):
        decode_chunk(encode_batch(batch()))


def test_bytes_behind_a_record_are_refused_even_with_a_right_checksum() -> None:
    with pytest.raises(BadRecord, match="malformed"):
        decode_chunk(sealed(encode_chunk(chunk()) + b"more"))


def test_a_header_that_claims_huge_arrays_is_refused_before_they_are_made() -> None:
    fields = schema("transition_chunk").read(encode_chunk(chunk()))
    for key, value in (("ticks", 2**31 - 1), ("width", 64), ("height", 65), ("ticks", 0), ("width", -4)):
        with pytest.raises(BadRecord, match="shape"):
            decode_chunk(schema("transition_chunk").write({**fields, key: value}))


def test_arrays_of_a_wrong_shape_or_dtype_cannot_be_written() -> None:
    with pytest.raises(ValueError, match=r"tiles is uint16 .* must be uint8"):
        encode_chunk(replace(chunk(), tiles=chunk().tiles.astype(np.uint16)))
    with pytest.raises(ValueError, match=r"actions is int32 \(2,\), must be int32 \(3,\)|rewards is"):
        encode_batch(replace(batch(), rewards=np.zeros(3, np.float32)))
    wide = replace(
        chunk(memory=False), width=65, height=1, tiles=np.zeros((4, 65), np.uint8), armies=np.zeros((4, 65), np.uint16)
    )
    with pytest.raises(ValueError, match="sides are 1 … 64"):
        encode_chunk(wide)


def test_the_contract_of_the_topics_is_complete() -> None:
    assert [spec.name for spec in TOPICS] == [
        "generals.transitions", "generals.experiences", "generals.games", "generals.policies", "generals.dead-letter",
    ]  # fmt: skip
    assert TOPICS.experiences.partitions >= TOPICS.transitions.partitions
    for spec in TOPICS:
        assert spec.purpose
        assert spec.producers
        assert spec.consumers
        assert spec.config["compression.type"] == "producer", "records are compressed already"
    assert TOPICS.with_partitions(3).experiences.partitions == 3
    assert TOPICS.with_prefix("a.").games.name == "a.generals.games"


def test_what_nobody_would_unpack_is_not_packed() -> None:
    largest = np.zeros(blocks.MAX_BLOCK_BYTES, np.uint8)
    packed = blocks.pack_by_search([largest])
    wanted = blocks.layout([("zeros", "u1", largest.shape)])
    np.testing.assert_array_equal(blocks.unpack(packed, wanted)["zeros"], largest)
    with pytest.raises(BadRecord, match="arrays of 16,777,217 bytes exceed the limit of 16,777,216"):
        blocks.pack([largest, np.zeros(1, np.uint8)], [0, 0])
