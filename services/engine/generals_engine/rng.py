"""SplitMix64: the one random generator of games, callable from kernels.

A stream is one 64-bit word; seeds of games, maps and players are mixed from (seed, worker, game, purpose), so any of
them can be drawn without drawing what came before. numpy's generators are not used in games: their streams may
change between versions, and kernels cannot hold hundreds of them.
"""

import numpy as np
from numpy.typing import NDArray

from generals_schemas.jit import jit_kernel

Stream = NDArray[np.uint64]
"""`[n]` u8: n streams, one word each; drawing advances the word."""

SEED_MASK = (1 << 63) - 1
"""Seeds are stored as Avro longs: 63 bits."""

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31, _S32, _S11 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32), np.uint64(11)


@jit_kernel
def mix(word: np.uint64) -> np.uint64:
    """SplitMix64's finaliser: each bit of the result depends on each bit of `word`."""
    word = (word ^ (word >> _S30)) * _FIRST
    word = (word ^ (word >> _S27)) * _SECOND
    return word ^ (word >> _S31)


@jit_kernel
def draw(streams: Stream, index: int) -> np.uint64:
    """The next 64 random bits of stream `index`."""
    streams[index] += _GAMMA
    return mix(streams[index])


@jit_kernel
def scaled(bits: np.uint64, bound: int) -> int:
    """A number in `0 … bound - 1` from the upper half of `bits` (bias below 2^-20 for any board)."""
    return int(np.int64(((bits >> _S32) * np.uint64(bound)) >> _S32))


@jit_kernel
def below(streams: Stream, index: int, bound: int) -> int:
    """A uniform number in `0 … bound - 1`."""
    return scaled(draw(streams, index), bound)


@jit_kernel
def uniform(streams: Stream, index: int) -> float:
    """A uniform number in `[0, 1)`."""
    return float(draw(streams, index) >> _S11) * (1.0 / (1 << 53))


def derive(*parts: int) -> int:
    """A 63-bit seed from `parts`: equal parts give equal seeds, different parts unrelated ones."""
    word = 0
    for part in parts:
        word = int(mix(np.uint64((word + 0x9E3779B97F4A7C15 + part * 0xD1342543DE82EF95) & 0xFFFFFFFFFFFFFFFF)))
    return word & SEED_MASK


def streams(seed: int, count: int) -> Stream:
    """`[count]` independent streams of one seed."""
    return np.array([derive(seed, index) for index in range(count)], np.uint64)
