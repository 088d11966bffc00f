"""What the row writer writes, zstd's own reader reads, whatever the arrays hold."""

from typing import Any

import numpy as np
import pytest
import zstandard
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from generals_schemas.blocks import pack, pack_by_search
from generals_schemas.zstd_rows import BLOCK_BYTES, pack_rows
from generals_schemas.zstd_tables import HUFFMAN_BITS, HUFFMAN_CODES


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
        assert read(pack_rows(arrays), len(raw(arrays))) == raw(arrays)


@pytest.mark.parametrize("size", [1, 3, 7, 63, 64, 65, 255, 1023, 1024, 4095, 16_383, 16_384])
@pytest.mark.parametrize("most", [1, 4, 256])
def test_literals_of_every_header_size_come_back(size: int, most: int) -> None:
    data = default_rng(size).integers(0, most, (1, size)).astype(np.uint8)
    assert read(pack_rows([data]), size) == data.tobytes()


@pytest.mark.parametrize("rows", [1, 127, 128, 129, 40_000])
def test_sequences_of_every_count_come_back(rows: int) -> None:
    """One changed byte a row of eight: one sequence each."""
    data = np.zeros((rows + 1, 8), np.uint8)
    data[:, 3] = np.arange(rows + 1)
    assert read(pack_rows([data]), data.size) == data.tobytes()


def test_arrays_longer_than_a_block_come_back_and_repeat_across_the_border() -> None:
    data = np.tile(default_rng(1).integers(0, 256, 1000).astype(np.uint8), (3 * BLOCK_BYTES // 1000, 1))
    frame = pack_rows([data, data[:5]])
    assert read(frame, data.size + 5000) == raw([data, data[:5]])
    assert len(frame) < 5000


def test_noise_grows_by_headers_only() -> None:
    noise = default_rng(1).integers(0, 256, (50, 1000)).astype(np.uint8)
    assert len(pack_rows([noise])) <= noise.size + 16


def test_no_bytes_at_all_are_a_frame_too() -> None:
    empty = np.zeros((0, 5), np.uint8)
    assert read(pack_rows([empty]), 0) == b""
    one = np.ones((1, 5), np.uint8)
    assert read(pack_rows([empty, one, empty]), 5) == one.tobytes()


def test_read_only_arrays_are_packed_and_left_alone() -> None:
    array = np.arange(200, dtype=np.uint16).reshape(2, 100)
    array.setflags(write=False)
    assert read(pack_rows([array]), 400) == array.tobytes()


def test_the_huffman_code_is_complete_and_no_code_begins_another() -> None:
    assert sum(2.0 ** -int(bits) for bits in HUFFMAN_BITS) == 1.0
    codes = {format(int(code), f"0{int(bits)}b") for code, bits in zip(HUFFMAN_CODES, HUFFMAN_BITS, strict=True)}
    assert not any(one != other and one.startswith(other) for one in codes for other in codes)


def test_both_writers_pack_to_the_same_content() -> None:
    arrays = [some_array(default_rng(number)) for number in range(4)]
    assert read(pack(arrays), len(raw(arrays))) == read(pack_by_search(arrays), len(raw(arrays)))
