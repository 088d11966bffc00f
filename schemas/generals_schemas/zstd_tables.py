"""The fixed entropy tables of `zstd_rows`: how likely lengths, offsets and bytes are in games' boards.

Counted once over random and expander play, by `benchmarks/count_tables.py`; any others would be as correct, only
longer. zstd's readers build their tables from the description in each frame, so these may change at any time. Frozen
into kernels: see `generals_schemas.jit`.

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
_LITERAL_SHARES = [-1, 163, 3, 44, 4, 7, 3, 3] + [-1] * 28
_MATCH_SHARES = [-1, -1, 7, -1, 2] + [-1] * 27 + [2, 3, 14, -1, 4, 5, 2, -1, 5, 2, 5, 12, 12, 14] + [-1] * 7
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

GENERAL, NUMBERS, ARMIES, PLANES = range(4)
"""Kinds of arrays, each with a Huffman code of its own: anything; actions and rewards; views' armies; bit planes.

A frame carries the tree of each kind in it, some 60 bytes: one that stands alone is better off with GENERAL alone.
"""

_LENGTHS = (
    "13455677778888888889999999aaaaaaaaaaaaaaaaaaaaaa5abbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
    "25555578888879899999999999999999999999999999999999999999987668999999999999999999999999"
    "99999999999999999999999999999999999999999989999999889999999999999999999999999999999999"
    "999999999999987668999899999999999999999999999999999999999999999999999999999999999999",
    "13455667777778888889999999999999999aaaaaaaaaaaaaaaaaababbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
    "2565687668887875699a9aaa7aaa8a86699b9bab8bbbabba7aababba8aba9a9669aa9bab9bbbbbbb8bbbbb"
    "bbabbbbbbb7bababbbabbbbbba7bbbbbba8aba9a96599a9baa9bbbabb98bbbbbbbabbbabba8bbbbbbbbbbb"
    "bbbb8bbbbbbb9bbbaba95aaaabbaabbbbba98bbbbbbbabbbaba96ababbb9abbbaba959b9aba86ab97964",
)
"""The bits that each of the 256 bytes takes as a literal, in hexadecimal, one line after another, a kind each."""

HUFFMAN_BITS = np.array([[int(digit, 16) for digit in lengths] for lengths in _LENGTHS])


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


def describe_tree(bits: Table) -> bytes:
    """The Huffman code as a block carries it: weights, coded by FSE in two states that take turns.

    The last byte's is not written: it is what is left.
    """
    weights = [int(weight) for weight in bits.max() + 1 - bits[:-1]]
    log = 6
    shares = _shares(weights, log)
    table = encoding_table(shares, log)
    word = filled = 0
    states: list[int | None] = [None, None]
    for i in range(len(weights) - 1, -1, -1):
        symbol, state = weights[i], states[i % 2]
        delta_bits, delta_state = int(table[1 + 2 * symbol]), int(table[2 + 2 * symbol])
        if state is None:  # a state that leads to the symbol and costs no bits
            taken = (delta_bits + (1 << 15)) >> 16
            state = (taken << 16) - delta_bits
        else:
            taken = (state + delta_bits) >> 16
            word |= (state & ((1 << taken) - 1)) << filled
            filled += taken
        states[i % 2] = int(table[STATES + (state >> taken) + delta_state])
    for last in (states[1], states[0]):
        word |= ((last or 0) & ((1 << log) - 1)) << filled
        filled += log
    word |= 1 << filled
    body = describe(shares, log) + word.to_bytes(filled // 8 + 1, "little")
    return bytes([len(body)]) + body


def _shares(symbols: list[int], log: int) -> list[int]:
    """Shares of 2^log by how often each symbol occurs, at least one each; what is left over goes to the commonest."""
    counts = np.bincount(symbols)
    shares = np.where(counts > 0, np.maximum(1, (counts << log) // len(symbols)), 0)
    shares[counts.argmax()] += (1 << log) - shares.sum()
    return [int(share) for share in shares]


_DESCRIBED = [np.frombuffer(describe_tree(bits), np.uint8) for bits in HUFFMAN_BITS]
HUFFMAN_CODES = np.array([_canonical(bits) for bits in HUFFMAN_BITS])
HUFFMAN_TREE_BYTES = np.array([len(tree) for tree in _DESCRIBED])
HUFFMAN_TREES = np.array([np.resize(tree, HUFFMAN_TREE_BYTES.max()) for tree in _DESCRIBED])
"""The description of each code; only the first HUFFMAN_TREE_BYTES of a row are it."""
