"""A zstd writer for arrays whose rows hardly differ: any zstd reader reads what it writes.

zstd finds repetitions by hashing; here they are known. Row i + 1 of a board's array repeats row i but for a few bytes,
so the sequences are read off by comparing each byte with the one a row before. Entropy coding is zstd's own, with fixed
tables (`zstd_tables`) that each frame carries.

What does not repeat by rows (a board's first row but for its runs of one byte, the actions) is left as literals. Needs
numba; `blocks` does without.

Format: RFC 8878. One frame, single segment, content size in four bytes; for each array blocks of up to 128 KiB of
content, with literals (Huffman in four streams, or raw) and sequences (FSE). Tables are written into the first block
that uses them, and blocks behind it that use the same repeat them. A match names its offset if it is not that of the
match before, or its block's first.
"""

# mypy: disable-error-code="no-any-return"

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generals_schemas.jit import jit_kernel
from generals_schemas.unaligned import address_of, bytes_at, differing64, leading_zeros, load64, store64, trailing_zeros
from generals_schemas.zstd_tables import (
    HUFFMAN_BITS,
    HUFFMAN_CODES,
    HUFFMAN_TREE_BYTES,
    HUFFMAN_TREES,
    LITERAL_BASES,
    LITERAL_CODES,
    LITERAL_EXTRAS,
    LITERALS,
    MATCH_BASES,
    MATCH_CODES,
    MATCH_EXTRAS,
    MATCHES,
    OFFSETS,
    SEQUENCE_TABLES,
    STATES,
)

Bytes = NDArray[np.uint8]

BLOCK_BYTES = 128 * 1024
FRAME_HEADER_BYTES = 9
_MAGIC = 0xA0_FD_2F_B5_28
"""The four bytes of every frame, and one that says: a single segment, its size in four bytes."""

_EMPTY_FRAME = _MAGIC.to_bytes(5, "little") + bytes(4) + b"\x01\x00\x00"
LEAST_MATCH = 4
"""A sequence costs about two bytes, an equal byte among the literals less than half of one."""

_FEWEST_CODED = 64
"""Fewer literals are left raw: coding them takes more than it could save."""

_FEWEST_ALIKE = 24
"""Fewer equal bytes in a first row are left as literals."""

_TREE, _TABLES_WRITTEN = 0, 1
"""In `written`: 1 + the kind whose tree a reader has, and whether it has the sequences' tables."""

_ONE, _NONE = np.uint64(1), np.uint64(0)


def most_packed(size: int, arrays: int) -> int:
    """The room that a frame of so many arrays with `size` bytes in all may need while it is written."""
    return size + size // 8 + 512 * arrays + 4096


class _Scratch(threading.local):
    """What a thread needs while it writes; kept, because fresh memory costs more than the writing."""

    def __init__(self) -> None:
        self.out = np.empty(1 << 18, np.uint8)
        self.literals = np.empty(BLOCK_BYTES + 16, np.uint8)
        self.sequences = np.empty((BLOCK_BYTES // LEAST_MATCH + 1, 3), np.int32)
        self.written = np.zeros(2, np.int64)


_scratch = _Scratch()


def scratch() -> tuple[Bytes, NDArray[np.int32], NDArray[np.int64]]:
    """What `write_frame` needs besides its output, for this thread."""
    return _scratch.literals, _scratch.sequences, _scratch.written


def pack_rows(arrays: Sequence[NDArray[Any]], kinds: Sequence[int]) -> bytes:
    """The arrays, one after another, as a zstd frame. They must be C-contiguous; `kinds` are those of `zstd_tables`."""
    # By address: numba opens a tuple of arrays slowly, and numpy tells addresses slowly.
    pieces = [
        (_address(array), array.nbytes, array.nbytes // len(array), kind)  # a single row may have any stride
        for array, kind in zip(arrays, kinds, strict=True)
        if array.size
    ]
    if not pieces:
        return _EMPTY_FRAME
    size = sum([piece[1] for piece in pieces])
    most = most_packed(size, len(pieces))
    if _scratch.out.size < most:
        _scratch.out = np.empty(2 * most, np.uint8)
    out = _scratch.out
    written = write_frame(np.array(pieces, np.int64), size, out, *scratch())
    return out[:written].tobytes()


@jit_kernel
def _address(array: NDArray[Any]) -> int:
    return address_of(array)


@jit_kernel
def write_frame(
    pieces: NDArray[np.int64],
    size: int,
    out: Bytes,
    literals: Bytes,
    sequences: NDArray[np.int32],
    written: NDArray[np.int64],
) -> int:
    """Write a frame of arrays that hold `size` bytes to `out`; its length.

    pieces: `[n, 4]`, of each array address, bytes, stride and kind.
    """
    _put(out, 0, _MAGIC, 5)
    _put(out, 5, size, 4)
    written[:] = 0
    at = FRAME_HEADER_BYTES
    for i in range(pieces.shape[0]):
        data = bytes_at(pieces[i, 0], pieces[i, 1])
        last = i == pieces.shape[0] - 1
        at = write_array(data, pieces[i, 2], pieces[i, 3], last, out, at, literals, sequences, written)
    return at


@jit_kernel
def write_array(
    data: Bytes,
    stride: int,
    kind: int,
    last: bool,
    out: Bytes,
    at: int,
    literals: Bytes,
    sequences: NDArray[np.int32],
    written: NDArray[np.int64],
) -> int:
    """Write the blocks of an array with rows of `stride` bytes to `out`, from `at` on; where they end."""
    for start in range(0, data.size, BLOCK_BYTES):
        end = min(start + BLOCK_BYTES, data.size)
        tree, tables = written[_TREE], written[_TABLES_WRITTEN]
        count, kept = find_sequences(data, stride, start, end, literals, sequences)
        body = write_literals(literals, kept, kind, out, at + 3, written)
        body = write_sequences(sequences, count, out, body, written)
        header = (body - at - 3) << 3 | 4
        if body - at - 3 >= end - start:  # nothing gained: a raw block, which carries no tables
            written[_TREE], written[_TABLES_WRITTEN] = tree, tables
            _copy(data, start, end, out, at + 3)
            body = at + 3 + end - start
            header = (end - start) << 3
        if last and end == data.size:
            header |= 1
        _put(out, at, header, 3)
        at = body
    return at


@jit_kernel
def _copy(source: Bytes, start: int, stop: int, out: Bytes, at: int) -> None:
    for i in range(stop - start):
        out[at + i] = source[start + i]


@jit_kernel
def _put(out: Bytes, at: int, value: int, count: int) -> None:
    """A whole number in `count` bytes."""
    for i in range(count):
        out[at + i] = (value >> (8 * i)) & 0xFF


@jit_kernel
def find_sequences(
    data: Bytes, stride: int, start: int, end: int, literals: Bytes, sequences: NDArray[np.int32]
) -> tuple[int, int]:
    """Cut `data[start:end]` into sequences `(literals before, match length, offset value)`; how many, and literals.

    Offset value: 1 is "as before", otherwise the offset + 3. What follows the last sequence is literals too.
    """
    count, kept, anchor = 0, 0, start  # from `anchor` on, literals are not yet written
    if start == 0:
        count, kept, anchor = _find_runs(data, min(stride, end), literals, sequences)
    cursor = position = max(stride, start)  # from here on, all bytes before `position` repeat
    offset = stride + 3
    while position < end:
        if position + 64 <= end:
            difference = differing64(data, position, position - stride)
        else:
            difference = _tail_differing(data, position, end, stride)
        while difference != _NONE:
            found = position + trailing_zeros(difference)
            difference &= difference - _ONE
            if found - cursor >= LEAST_MATCH:
                kept = _keep(data, anchor, cursor, literals, kept)
                sequences[count, 0] = cursor - anchor
                sequences[count, 1] = found - cursor
                sequences[count, 2] = offset
                count += 1
                anchor, offset = found, 1
            cursor = found + 1
        position += 64
    if end - cursor >= LEAST_MATCH:
        kept = _keep(data, anchor, cursor, literals, kept)
        sequences[count, 0] = cursor - anchor
        sequences[count, 1] = end - cursor
        sequences[count, 2] = offset
        return count + 1, kept
    return count, _keep(data, anchor, end, literals, kept)


@jit_kernel
def _find_runs(data: Bytes, end: int, literals: Bytes, sequences: NDArray[np.int32]) -> tuple[int, int, int]:
    """The sequences of the first row, and where the last one ends: all but the first byte of a run repeat it."""
    count = kept = anchor = position = 0
    offset = 1 + 3
    while position < end:
        stop = position + 1
        while stop < end and data[stop] == data[position]:
            stop += 1
        if stop - position >= _FEWEST_ALIKE:
            kept = _keep(data, anchor, position + 1, literals, kept)
            sequences[count, 0] = position + 1 - anchor
            sequences[count, 1] = stop - position - 1
            sequences[count, 2] = offset
            count += 1
            anchor, offset = stop, 1
        position = stop
    return count, kept, anchor


@jit_kernel
def _tail_differing(data: Bytes, position: int, end: int, stride: int) -> np.uint64:
    """As `differing64`, of the last bytes of a block, fewer than 64."""
    difference = _NONE
    for i in range(end - position):
        if data[position + i] != data[position + i - stride]:
            difference |= _ONE << np.uint64(i)
    return difference


@jit_kernel
def _keep(data: Bytes, start: int, stop: int, literals: Bytes, kept: int) -> int:
    """Append literals, eight at a time: most often there are one or two, and what is too much is overwritten."""
    at = kept
    while start < stop and start + 8 <= data.size:
        store64(literals, at, load64(data, start))
        start += 8
        at += 8
    total = at + stop - start
    while start < stop:
        literals[at] = data[start]
        start += 1
        at += 1
    return total


@jit_kernel
def write_literals(literals: Bytes, count: int, kind: int, out: Bytes, at: int, written: NDArray[np.int64]) -> int:
    """The literals section; where it ends."""
    if count >= _FEWEST_CODED:
        end = _write_coded(literals, count, kind, out, at, written[_TREE] == 1 + kind)
        if end - at < count:
            written[_TREE] = 1 + kind
            return end
    header, size = (count << 3, 1) if count < 32 else (count << 4 | 4, 2) if count < 4096 else (count << 4 | 12, 3)
    _put(out, at, header, size)
    _copy(literals, 0, count, out, at + size)
    return at + size + count


@jit_kernel
def _write_coded(literals: Bytes, count: int, kind: int, out: Bytes, at: int, tree_known: bool) -> int:
    """Huffman-coded literals in four streams behind the tree, if it is not known, and a table of three stream sizes."""
    bits, size = (10, 3) if count < 1024 else (14, 4) if count < 16384 else (18, 5)
    tree = at + size
    jumps = tree
    if not tree_known:
        _copy(HUFFMAN_TREES[kind], 0, HUFFMAN_TREE_BYTES[kind], out, tree)
        jumps += HUFFMAN_TREE_BYTES[kind]
    end = jumps + 6
    share = (count + 3) // 4
    for stream in range(4):
        begun = end
        end = _write_stream(literals, stream * share, min(count, (stream + 1) * share), kind, out, begun)
        if stream < 3:
            _put(out, jumps + 2 * stream, end - begun, 2)
    if end - tree < count:
        how = 3 if tree_known else 2
        _put(out, at, how | (size - 2) << 2 | count << 4 | (end - tree) << (4 + bits), size)
    return end


@jit_kernel
def _write_stream(literals: Bytes, start: int, stop: int, kind: int, out: Bytes, at: int) -> int:
    """One Huffman stream: the last literal first, closed by a one bit."""
    word, filled = _NONE, 0
    for i in range(stop - 1, start - 1, -1):
        symbol = literals[i]
        word |= np.uint64(HUFFMAN_CODES[kind, symbol]) << np.uint64(filled)
        filled += HUFFMAN_BITS[kind, symbol]
        if filled >= 48:
            store64(out, at, word)
            at += filled >> 3
            word >>= np.uint64(filled & ~7)
            filled &= 7
    word |= _ONE << np.uint64(filled)
    store64(out, at, word)
    return at + (filled >> 3) + 1


@jit_kernel
def write_sequences(sequences: NDArray[np.int32], count: int, out: Bytes, at: int, written: NDArray[np.int64]) -> int:
    """The sequences section; where it ends."""
    if count < 128:
        _put(out, at, count, 1)
        at += 1
    elif count < 0x7F00:
        _put(out, at, ((count >> 8) + 128) | (count & 0xFF) << 8, 2)
        at += 2
    else:
        _put(out, at, 255 | (count - 0x7F00) << 8, 3)
        at += 3
    if count == 0:
        return at
    if written[_TABLES_WRITTEN]:
        out[at] = 0b11_11_11_00  # all three as before
        return _write_codes(sequences, count, out, at + 1)
    written[_TABLES_WRITTEN] = 1
    _copy(SEQUENCE_TABLES, 0, SEQUENCE_TABLES.size, out, at)
    return _write_codes(sequences, count, out, at + SEQUENCE_TABLES.size)


@jit_kernel
def _write_codes(sequences: NDArray[np.int32], count: int, out: Bytes, at: int) -> int:
    """The FSE stream: the last sequence first, states after it, closed by a one bit."""
    word, filled = _NONE, 0
    literal_state = offset_state = match_state = 0
    for i in range(count - 1, -1, -1):
        literal, literal_extra, literal_bits = _literal_code(sequences[i, 0])
        match, match_extra, match_bits = _match_code(sequences[i, 1] - 3)
        offset = _highest_bit(sequences[i, 2])
        if i == count - 1:
            literal_state = _first_state(LITERALS, literal)
            offset_state = _first_state(OFFSETS, offset)
            match_state = _first_state(MATCHES, match)
        else:
            offset_state, word, filled = _next_state(OFFSETS, offset_state, offset, word, filled)
            match_state, word, filled = _next_state(MATCHES, match_state, match, word, filled)
            literal_state, word, filled = _next_state(LITERALS, literal_state, literal, word, filled)
        word |= np.uint64(literal_extra) << np.uint64(filled)
        at, word, filled = _flush(out, at, word, filled + literal_bits)
        word |= np.uint64(match_extra) << np.uint64(filled)
        filled += match_bits
        word |= np.uint64(sequences[i, 2] - (1 << offset)) << np.uint64(filled)
        at, word, filled = _flush(out, at, word, filled + offset)
    for state, log in ((match_state, MATCHES[0]), (offset_state, OFFSETS[0]), (literal_state, LITERALS[0])):
        word |= np.uint64(state & ((1 << log) - 1)) << np.uint64(filled)
        filled += log
    word |= _ONE << np.uint64(filled)
    store64(out, at, word)
    return at + (filled >> 3) + 1


@jit_kernel
def _flush(out: Bytes, at: int, word: np.uint64, filled: int) -> tuple[int, np.uint64, int]:
    """Write the whole bytes of the bit buffer."""
    store64(out, at, word)
    return at + (filled >> 3), word >> np.uint64(filled & ~7), filled & 7


@jit_kernel
def _first_state(table: NDArray[np.int64], symbol: int) -> int:
    """The state that decodes to `symbol` and costs no bits: see `zstd_tables.encoding_table`."""
    delta_bits = table[1 + 2 * symbol]
    bits = (delta_bits + (1 << 15)) >> 16
    return table[STATES + (((bits << 16) - delta_bits) >> bits) + table[2 + 2 * symbol]]


@jit_kernel
def _next_state(
    table: NDArray[np.int64], state: int, symbol: int, word: np.uint64, filled: int
) -> tuple[int, np.uint64, int]:
    bits = (state + table[1 + 2 * symbol]) >> 16
    word |= np.uint64(state & ((1 << bits) - 1)) << np.uint64(filled)
    return table[STATES + (state >> bits) + table[2 + 2 * symbol]], word, filled + bits


@jit_kernel
def _highest_bit(value: int) -> int:
    return 63 - leading_zeros(np.uint64(value))


@jit_kernel
def _literal_code(length: int) -> tuple[int, int, int]:
    """Code, extra bits and their number of a count of literals."""
    code = LITERAL_CODES[length] if length < 64 else _highest_bit(length) + 19
    return code, length - LITERAL_BASES[code], LITERAL_EXTRAS[code]


@jit_kernel
def _match_code(length: int) -> tuple[int, int, int]:
    """The same of a match's length less three."""
    code = MATCH_CODES[length] if length < 128 else _highest_bit(length) + 36
    return code, length - MATCH_BASES[code], MATCH_EXTRAS[code]
