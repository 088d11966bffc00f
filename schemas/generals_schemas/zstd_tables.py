"""The fixed entropy tables of `zstd_rows`: how likely lengths, offsets and bytes are in games' boards.

Counted once over random and expander play; any others would be as correct, only longer. zstd's readers build their
tables from the description in each frame, so these may change at any time. Frozen into kernels: see
`generals_schemas.jit`.

Names as in RFC 8878: a code stands for a range of lengths, told apart by extra bits; FSE (finite state entropy) codes
the codes, Huffman the literals.
"""

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.int64]

LITERAL_EXTRAS = np.array([0] * 16 + [1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16])
MATCH_EXTRAS = np.array([0] * 32 + [1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16])


def _bases(extras: Table) -> Table:
    """The least length of each code; for matches less three."""
    return np.concatenate([[0], np.cumsum(1 << extras)[:-1]])


LITERAL_BASES, MATCH_BASES = _bases(LITERAL_EXTRAS), _bases(MATCH_EXTRAS)
LITERAL_CODES = np.searchsorted(LITERAL_BASES, np.arange(64), side="right") - 1
MATCH_CODES = np.searchsorted(MATCH_BASES, np.arange(128), side="right") - 1

# Shares of a code in a table of 2^log; -1: less than two.
_LITERAL_LOG, _MATCH_LOG, _OFFSET_LOG = 8, 7, 8
_LITERAL_SHARES = [-1, 167, -1, 46, 2, 7, 2, 2] + [-1] * 28
_MATCH_SHARES = (
    [-1, -1, 7, -1, 2] + [-1] * 27 + [2, 2, 13, -1, 3, 5, 3, -1, 4, 2, 5, 14, 12, 15] + [-1] * 7
)  # fmt: skip
_OFFSET_SHARES = [239] + [-1] * 17
"""Offset values up to a block's 128 KiB have 18 codes."""

STATES = 1 + 2 * 53
"""Where an encoding table's states begin."""


def encoding_table(shares: list[int], log: int) -> Table:
    """`[STATES + 2^log]`: the log; for each symbol what turns a state into bits, and into the next state; the states.

    As the reference encoder builds it: a state x of symbol s gives `(x + delta_bits[s]) >> 16` low bits, and goes on to
    `states[(x >> bits) + delta_state[s]]`.
    """
    size = 1 << log
    spread = _spread(shares, size)
    table = np.zeros(STATES + size, np.int64)
    table[0] = log
    starts = np.concatenate([[0], np.cumsum(np.abs(shares))])
    filled = starts[:-1].copy()
    for position, symbol in enumerate(spread):
        table[STATES + filled[symbol]] = size + position
        filled[symbol] += 1
    for symbol, share in enumerate(shares):
        count = abs(share)
        if count == 1:
            table[1 + 2 * symbol] = (log << 16) - size
            table[2 + 2 * symbol] = starts[symbol] - 1
        elif count > 1:
            most = log - int(count - 1).bit_length() + 1
            table[1 + 2 * symbol] = (most << 16) - (count << most)
            table[2 + 2 * symbol] = starts[symbol] - count
    return table


def _spread(shares: list[int], size: int) -> list[int]:
    """Which symbol each state decodes to: the rare ones at the end, the others strewn with a fixed step."""
    spread = [-1] * size
    high = size
    for symbol, share in enumerate(shares):
        if share == -1:
            high -= 1
            spread[high] = symbol
    position, step = 0, (size >> 1) + (size >> 3) + 3
    for symbol, share in enumerate(shares):
        for _ in range(max(share, 0)):
            spread[position] = symbol
            position = (position + step) & (size - 1)
            while position >= high:
                position = (position + step) & (size - 1)
    return spread


def describe(shares: list[int], log: int) -> bytes:
    """The table as a block carries it."""
    bits, filled = log - 5, 4
    remaining, threshold, width = (1 << log) + 1, 1 << log, log + 1
    symbol, after_zero = 0, False
    while remaining > 1:
        if after_zero:
            zeros = 0
            while shares[symbol] == 0:
                symbol, zeros = symbol + 1, zeros + 1
            while zeros >= 3:
                bits, filled, zeros = bits | 3 << filled, filled + 2, zeros - 3
            bits, filled = bits | zeros << filled, filled + 2
        share = shares[symbol]
        symbol += 1
        spare = 2 * threshold - 1 - remaining
        remaining -= abs(share)
        value = share + 1
        after_zero = share == 0
        if value >= threshold:
            value += spare
        bits |= value << filled
        filled += width - (value < spare)
        while remaining < threshold:
            width, threshold = width - 1, threshold >> 1
    return bits.to_bytes((filled + 7) // 8, "little")


LITERALS = encoding_table(_LITERAL_SHARES, _LITERAL_LOG)
OFFSETS = encoding_table(_OFFSET_SHARES, _OFFSET_LOG)
MATCHES = encoding_table(_MATCH_SHARES, _MATCH_LOG)

SEQUENCE_TABLES = np.frombuffer(
    bytes([0b10_10_10_00])
    + describe(_LITERAL_SHARES, _LITERAL_LOG)
    + describe(_OFFSET_SHARES, _OFFSET_LOG)
    + describe(_MATCH_SHARES, _MATCH_LOG),
    np.uint8,
).copy()
"""How the three tables are given, and the tables."""

HUFFMAN_TREE = np.frombuffer(
    bytes.fromhex(
        "3c10983649d218c0c0c0c0c0c0c0c0c0c0c0c000ccc0c0c0c020bdd4922fb5e4"
        "4b2d39aeaed8a92bd60406060606060646f4ffffffff6fad6d846c9902"
    ),
    np.uint8,
).copy()
"""The description of HUFFMAN_BITS, as zstd itself wrote it for bytes in exactly these shares."""

HUFFMAN_BITS = np.full(256, 11)
HUFFMAN_BITS[[127, 128, 255]] = 9
HUFFMAN_BITS[:75] = np.repeat([1, 3, 4, 5, 6, 7, 8, 9, 10], [1, 1, 1, 2, 1, 3, 8, 16, 42])
HUFFMAN_BITS[48] = 6  # a mountain's tile byte


def _canonical(bits: Table) -> Table:
    """The code of each byte: counted up from the longest codes to the shortest, in the order of the bytes."""
    codes = np.zeros(256, np.int64)
    code, longest = 0, int(bits.max())
    for length in range(longest, 0, -1):
        for byte in np.flatnonzero(bits == length):
            codes[byte] = code
            code += 1
        code >>= 1
    return codes


HUFFMAN_CODES = _canonical(HUFFMAN_BITS)
