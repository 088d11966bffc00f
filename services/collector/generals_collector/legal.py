"""The legal moves of packed states, packed: what a reader derives from the planes on the wire.

Legal is a move from an own tile with army > 1 to a neighbour on the board that is no mountain; neighbours of own tiles
are always visible, so the player's view is enough. The split of a legal move and the pass are always legal and not
stored: action `i * 4 + d` is legal if bit i of direction d is set, and so is `4 * HW + i * 4 + d`.
"""

import numpy as np
from numpy.typing import NDArray

from generals_collector.survey import read_only
from generals_schemas.bitboards import GUARD, Words, column_masks, mask_above, shift_down, shift_up
from generals_schemas.jit import jit_kernel
from generals_schemas.records import Armies
from generals_schemas.unaligned import load64, store64

DIRECTIONS = 4


def legal_moves(
    armies: Armies, bits: NDArray[np.uint8], *, mine: int, mountain: int, width: int, height: int
) -> NDArray[np.uint8]:
    """`[N + 1, 4, ceil(HW / 8)]`: from which tiles one may move up, down, left, right.

    armies: `[N + 1, HW]`.  bits: `[N + 1, planes, ceil(HW / 8)]`.
    mine, mountain: which planes are the player's own tiles and the mountains.
    """
    boards, planes, row_bytes = bits.shape
    size = boards * DIRECTIONS * row_bytes
    moves = np.empty(size + 8, np.uint8)
    flat = read_only(bits).reshape(-1)
    masks = column_masks(width, height)
    scratch = np.zeros((3, masks.shape[1] + 2 * GUARD), np.uint64)
    _legal(read_only(armies), flat, mine, mountain, planes, row_bytes, masks, width, moves, scratch)
    return moves[:size].reshape(boards, DIRECTIONS, row_bytes)


@jit_kernel
def _legal(
    armies: Armies,
    bits: NDArray[np.uint8],
    mine: int,
    mountain: int,
    planes: int,
    row_bytes: int,
    masks: Words,
    width: int,
    moves: NDArray[np.uint8],
    scratch: Words,
) -> None:
    length = masks.shape[1]
    own, able, enter = scratch[0, :length], scratch[1, :length], scratch[2]
    for t in range(armies.shape[0]):
        _gather(armies[t], able)
        _fetch(bits, (t * planes + mine) * row_bytes, row_bytes, own)
        for k in range(length):
            own[k] &= able[k]
        _fetch(bits, (t * planes + mountain) * row_bytes, row_bytes, able)
        for k in range(length):
            enter[k + 2] = ~able[k] & masks[0, k]
        place = t * DIRECTIONS * row_bytes
        for k in range(length):
            store64(moves, place + 8 * k, own[k] & shift_up(enter, k, width))
        place += row_bytes
        for k in range(length):
            store64(moves, place + 8 * k, own[k] & shift_down(enter, k, width))
        place += row_bytes
        for k in range(length):
            store64(moves, place + 8 * k, own[k] & shift_up(enter, k, 1) & masks[1, k])
        place += row_bytes
        for k in range(length):
            store64(moves, place + 8 * k, own[k] & shift_down(enter, k, 1) & masks[2, k])


@jit_kernel
def _gather(armies: Armies, words: Words) -> None:
    """Which armies can move, as bits. What does not fill a word is done one by one, for nothing is behind."""
    whole = armies.shape[0] // 64
    for k in range(whole):
        words[k] = mask_above(armies, k * 64, 1)
    if whole < words.shape[0]:
        word = np.uint64(0)
        for i in range(whole * 64, armies.shape[0]):
            word |= np.uint64(armies[i] > 1) << np.uint64(i & 63)
        words[whole] = word


@jit_kernel
def _fetch(bits: NDArray[np.uint8], place: int, row_bytes: int, words: Words) -> None:
    """The words of the plane whose bytes begin at `place`. The last are read byte by byte: nothing is behind."""
    whole = row_bytes // 8
    for k in range(whole):
        words[k] = load64(bits, place + 8 * k)
    if whole < words.shape[0]:
        word = np.uint64(0)
        for b in range(row_bytes - 8 * whole):
            word |= np.uint64(bits[place + 8 * whole + b]) << np.uint64(8 * b)
        words[whole] = word
