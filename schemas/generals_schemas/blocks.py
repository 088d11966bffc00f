"""The arrays of a record: little-endian, row-major, one after another, as one zstd frame.

Arrays stand in the order of falling item size, so that each is aligned in the decompressed block and kernels can
read it where it lies. zstd level 1: higher levels cost time and save little on boards that hardly change. Where numba
is installed, `zstd_rows` writes the frames: faster, and usually smaller.
"""

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from generals_schemas.errors import BadRecord

LEVEL = 1
MAX_BLOCK_BYTES = 16 * 1024 * 1024
"""Larger blocks are refused before anything is allocated for them."""

ArraySpec = tuple[str, str, tuple[int, ...]]
"""Name, numpy dtype, shape."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each array lies in a decompressed block: name, dtype, first byte, shape."""

    size: int
    arrays: tuple[tuple[str, np.dtype[Any], int, tuple[int, ...]], ...]


def layout(specs: Sequence[ArraySpec]) -> Layout:
    """The arrays one after another. Callers keep it: making one takes longer than using it."""
    arrays = []
    start = 0
    for name, dtype, shape in specs:
        item = np.dtype(dtype)
        arrays.append((name, item, start, shape))
        start += item.itemsize * math.prod(shape)
    return Layout(start, tuple(arrays))


_local = threading.local()


def _compressor() -> zstandard.ZstdCompressor:
    if not hasattr(_local, "compressor"):
        _local.compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=False, write_content_size=True)
    found: zstandard.ZstdCompressor = _local.compressor
    return found


def _decompressor() -> zstandard.ZstdDecompressor:
    if not hasattr(_local, "decompressor"):
        _local.decompressor = zstandard.ZstdDecompressor()
    found: zstandard.ZstdDecompressor = _local.decompressor
    return found


def checked(name: str, array: NDArray[Any], dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The array, C-contiguous.

    Raises:
        ValueError: it is of another dtype or shape.
    """
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(f"{name} is {array.dtype} {array.shape}, must be {dtype} {shape}")
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def pack(arrays: Sequence[NDArray[Any]], kinds: Sequence[int]) -> bytes:
    """Compress the arrays, in this order. They must be C-contiguous and little-endian.

    `kinds`: what each holds, see `zstd_tables`. It changes what the block takes, not what it holds.

    Raises:
        BadRecord: nobody would unpack so much.
    """
    size = sum([array.nbytes for array in arrays])
    if size > MAX_BLOCK_BYTES:
        raise BadRecord("too_large", f"arrays of {size:,} bytes exceed the limit of {MAX_BLOCK_BYTES:,}")
    return _writer()(arrays, kinds)


@cache
def _writer() -> Callable[[Sequence[NDArray[Any]], Sequence[int]], bytes]:
    """The row writer where numba is installed, else zstd's own. Readers cannot tell, and need neither."""
    if find_spec("numba") is None:
        return lambda arrays, _: pack_by_search(arrays)
    from generals_schemas.zstd_rows import pack_rows  # compiles: only who writes shall wait for it

    return pack_rows


def pack_by_search(arrays: Sequence[NDArray[Any]]) -> bytes:
    """As `pack`, by zstd itself."""
    return _compressor().compress(b"".join([array.data if array.size else b"" for array in arrays]))


def unpack(block: bytes, wanted: Layout) -> dict[str, NDArray[Any]]:
    """Decompress a block into read-only views, one for each array of the layout.

    Raises:
        BadRecord: the block is not of the size that the layout says, or is no zstd frame.
    """
    expected = wanted.size
    if expected > MAX_BLOCK_BYTES:
        raise BadRecord("shape", f"arrays of {expected} bytes exceed the limit of {MAX_BLOCK_BYTES}")
    try:
        content = zstandard.get_frame_parameters(block).content_size
        if content != expected:
            raise BadRecord("shape", f"the arrays hold {content} bytes, the fields say {expected}")
        data = _decompressor().decompress(block, max_output_size=expected) if expected else b""
    except zstandard.ZstdError as error:
        raise BadRecord("malformed", f"the arrays are no zstd frame: {error}") from error
    if len(data) != expected:
        raise BadRecord("shape", f"the arrays hold {len(data)} bytes, the fields say {expected}")
    return {name: np.ndarray(shape, dtype, data, start) for name, dtype, start, shape in wanted.arrays}
