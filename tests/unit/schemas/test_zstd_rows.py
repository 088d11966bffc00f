"""What the row writer writes, zstd's own reader reads, whatever the arrays hold."""

from typing import Any

import numpy as np
import pytest
import zstandard
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from generals_schemas.blocks import pack, pack_by_search
from generals_schemas.zstd_rows import BLOCK_BYTES, pack_rows
from generals_schemas.zstd_tables import ARMIES, GENERAL, HUFFMAN_BITS, HUFFMAN_CODES, NUMBERS, PLANES


def raw(arrays: list[NDArray[Any]]) -> bytes:
    return b"".join(array.tobytes() for array in arrays)


def read(frame: bytes, size: int) -> bytes:
    assert zstandard.get_frame_parameters(frame).content_size == size
    return zstandard.ZstdDecompressor().decompress(frame, max_output_size=max(size, 1))


def some_array(rng: Generator) -> NDArray[Any]:
    """Rows that hardly differ, or differ much, of any width and item size."""
    height, width = int(rng.integers(1, 90)), int(rng.integers(1, 900))
    kind = rng.choice([np.uint8, np.uint16, np.uint32, np.float32])
    row = np.where(rng.random(width) < rng.random(), rng.integers(0, 60, width), 0)
    rows = np.zeros((height, width), kind)
    for y in range(height):
        changed = rng.random(width) < rng.choice([0.0, 0.001, 0.01, 0.3])
        row = np.where(changed, rng.integers(0, rng.choice([3, 256, 65_536]), width), row)
        rows[y] = row.astype(kind)
    return rows


def test_any_arrays_come_back_as_they_were(seed: int) -> None:
    rng = default_rng(seed)
    for _ in range(150):
        arrays = [some_array(rng) for _ in range(rng.integers(1, 5))]
        kinds = rng.integers(0, len(HUFFMAN_BITS), len(arrays)).tolist()
        assert read(pack_rows(arrays, kinds), len(raw(arrays))) == raw(arrays)


@pytest.mark.parametrize("size", [1, 3, 7, 63, 64, 65, 255, 1023, 1024, 4095, 16_383, 16_384])
@pytest.mark.parametrize("most", [1, 4, 256])
@pytest.mark.parametrize("kind", [GENERAL, NUMBERS, ARMIES, PLANES])
def test_literals_of_every_header_size_come_back(size: int, most: int, kind: int) -> None:
    data = default_rng(size).integers(0, most, (1, size)).astype(np.uint8)
    assert read(pack_rows([data], [kind]), size) == data.tobytes()


def test_runs_of_one_byte_in_a_first_row_come_back_short(seed: int) -> None:
    rng = default_rng(seed)
    for _ in range(50):
        row = np.repeat(rng.integers(0, 256, 30), rng.integers(1, 90, 30)).astype(np.uint8)
        rows = np.tile(row, (5, 1))
        rows[2:, rng.integers(0, row.size, 3)] += 1
        frame = pack_rows([rows, rows], [GENERAL, ARMIES])
        assert read(frame, 2 * rows.size) == raw([rows, rows])
        assert len(frame) < rows[0].size + 500


@pytest.mark.parametrize("rows", [1, 127, 128, 129, 40_000])
def test_sequences_of_every_count_come_back(rows: int) -> None:
    """One changed byte a row of eight: one sequence each."""
    data = np.zeros((rows + 1, 8), np.uint8)
    data[:, 3] = np.arange(rows + 1)
    assert read(pack_rows([data], [GENERAL]), data.size) == data.tobytes()


def test_arrays_longer_than_a_block_come_back_and_repeat_across_the_border() -> None:
    data = np.tile(default_rng(1).integers(0, 256, 1000).astype(np.uint8), (3 * BLOCK_BYTES // 1000, 1))
    frame = pack_rows([data, data[:5]], [GENERAL, GENERAL])
    assert read(frame, data.size + 5000) == raw([data, data[:5]])
    assert len(frame) < 5000


def test_noise_grows_by_headers_only() -> None:
    noise = default_rng(1).integers(0, 256, (50, 1000)).astype(np.uint8)
    assert len(pack_rows([noise], [GENERAL])) <= noise.size + 16


def test_no_bytes_at_all_are_a_frame_too() -> None:
    empty = np.zeros((0, 5), np.uint8)
    assert read(pack_rows([empty], [GENERAL]), 0) == b""
    one = np.ones((1, 5), np.uint8)
    assert read(pack_rows([empty, one, empty], [GENERAL, GENERAL, GENERAL]), 5) == one.tobytes()


def test_read_only_arrays_are_packed_and_left_alone() -> None:
    array = np.arange(200, dtype=np.uint16).reshape(2, 100)
    array.setflags(write=False)
    assert read(pack_rows([array], [GENERAL]), 400) == array.tobytes()


def test_a_single_row_may_have_any_stride() -> None:
    """numpy calls one row contiguous whatever its stride: a broadcast one's is 0."""
    row = default_rng(1).integers(0, 256, 300).astype(np.uint8)
    for array in (np.broadcast_to(row, (1, 300)), np.broadcast_to(row[:1], (1, 1)), np.ones((9, 300), np.uint8)[::9]):
        assert array.flags.c_contiguous
        assert read(pack_rows([array, array], [GENERAL, GENERAL]), 2 * array.size) == raw([array, array])


@pytest.mark.parametrize("kind", [GENERAL, NUMBERS, ARMIES, PLANES])
def test_each_huffman_code_is_complete_and_no_code_begins_another(kind: int) -> None:
    assert sum(2.0 ** -int(bits) for bits in HUFFMAN_BITS[kind]) == 1.0
    lengths = zip(HUFFMAN_CODES[kind], HUFFMAN_BITS[kind], strict=True)
    codes = {format(int(code), f"0{int(bits)}b") for code, bits in lengths}
    assert not any(one != other and one.startswith(other) for one in codes for other in codes)


def test_both_writers_pack_to_the_same_content() -> None:
    arrays = [some_array(default_rng(number)) for number in range(4)]
    kinds = [GENERAL, NUMBERS, ARMIES, PLANES]
    assert read(pack(arrays, kinds), len(raw(arrays))) == read(pack_by_search(arrays), len(raw(arrays)))
