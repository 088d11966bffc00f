"""Bit boards: one bit a tile in row-major order, 64 tiles a word, and what kernels do with them.

Unusual: this is the order of the wire (`np.packbits(..., bitorder="little")` of the flat board), so that kernels store
whole words of planes instead of packing rows. Rows therefore straddle words; two column masks keep a shift by one tile
from wrapping around the board's edge. Words need GUARD zero words on both sides so that shifts need no branches.

64 comparisons become one word (a packed compare and a move-mask on machines that have them): numba has no expression
for that, hence the intrinsics.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from generals_schemas.jit import jit, jit_inline, jit_kernel
from generals_schemas.unaligned import load64

Words: TypeAlias = NDArray[np.uint64]

GUARD = 2
"""Zero words before and behind a board: a shift by a row of 64 tiles reaches one word and one bit further."""


def _compare(how: str) -> Any:
    def template(_: Any, array: Any, offset: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            element = ir.IntType(signature.args[0].dtype.bitwidth)
            lanes = ir.VectorType(element, 64)
            values = builder.load(builder.bitcast(builder.gep(data, [arguments[1]]), lanes.as_pointer()), align=1)
            first = builder.insert_element(
                ir.Constant(lanes, ir.Undefined), builder.trunc(arguments[2], element), ir.IntType(32)(0)
            )
            every = builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64))
            return builder.bitcast(builder.icmp_unsigned(how, values, every), ir.IntType(64))

        return types.uint64(array, types.intp, types.int64), generate

    return intrinsic(template)


mask_above = cast("Callable[[NDArray[Any], int, int], np.uint64]", _compare(">"))
"""Which of the 64 elements from an index on are above a value. The caller keeps all 64 within the unsigned array."""

mask_equal = cast("Callable[[NDArray[Any], int, int], np.uint64]", _compare("=="))
"""Which of the 64 elements from an index on equal a value. The caller keeps all 64 within the unsigned array."""


def word_count(tiles: int) -> int:
    """Words that hold a board of `tiles` tiles."""
    return (tiles + 63) // 64


@jit_inline
def flip(words: Words, tile: int) -> None:
    """Flip the bit of a tile."""
    words[tile >> 6] ^= np.uint64(1) << np.uint64(tile & 63)


@lru_cache(maxsize=256)
def column_masks(width: int, height: int) -> Words:
    """`[3, L]`: all tiles; all but the first column; all but the last column."""
    return _column_masks(width, height)


@lru_cache(maxsize=256)
def neighbourhoods(width: int, height: int) -> NDArray[np.int16]:
    """`[HW, 9]`: the tiles of the 3 x 3 around each tile; where that leaves the board, the tile itself again."""
    y, x = np.divmod(np.arange(width * height), width)
    around = []
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            inside = (y + dy >= 0) & (y + dy < height) & (x + dx >= 0) & (x + dx < width)
            around.append(np.where(inside, (y + dy) * width + x + dx, y * width + x))
    return np.stack(around, axis=1).astype(np.int16)


@jit
def _column_masks(width: int, height: int) -> Words:
    masks = np.zeros((3, (width * height + 63) // 64), np.uint64)
    for tile in range(width * height):
        column = tile % width
        flip(masks[0], tile)
        if column != 0:
            flip(masks[1], tile)
        if column != width - 1:
            flip(masks[2], tile)
    return masks


@jit_inline
def shift_up(guarded: Words, k: int, distance: int) -> np.uint64:
    """Word k of the board moved by `distance` tiles (1 … 64) to higher indices. Words stand behind GUARD zero words."""
    whole = distance >> 6
    bits = np.uint64(distance & 63)
    here = guarded[k + 2 - whole] << bits
    word: np.uint64 = here | ((guarded[k + 1 - whole] >> np.uint64(1)) >> (np.uint64(63) - bits))
    return word


@jit_inline
def shift_down(guarded: Words, k: int, distance: int) -> np.uint64:
    """Word k of the board moved by `distance` tiles (1 … 64) to lower indices."""
    whole = distance >> 6
    bits = np.uint64(distance & 63)
    here = guarded[k + 2 + whole] >> bits
    word: np.uint64 = here | ((guarded[k + 3 + whole] << np.uint64(1)) << (np.uint64(63) - bits))
    return word


@jit_kernel
def dilate(board: Words, masks: Words, width: int, spread: Words, guarded: Words) -> None:
    """Every tile of `board` and its eight neighbours.

    board, spread: `[L]`.  masks: `[3, L]` of `column_masks`.  guarded: `[L + 2 * GUARD]` scratch, zero outside.
    """
    length = board.shape[0]
    for k in range(length):
        guarded[k + 2] = board[k]
    # Sideways first. A neighbour's carry bit crosses words, so the words are read before any is replaced.
    for k in range(length):
        right = shift_up(guarded, k, 1) & masks[1, k]
        left = shift_down(guarded, k, 1) & masks[2, k]
        spread[k] = board[k] | right | left
    for k in range(length):
        guarded[k + 2] = spread[k]
    for k in range(length):
        spread[k] = (guarded[k + 2] | shift_up(guarded, k, width) | shift_down(guarded, k, width)) & masks[0, k]


@jit_kernel
def load_board(plane: NDArray[np.uint8], words: Words) -> None:
    """The words of a packed plane. plane: `[B]` bytes, as many as the board needs.  words: `[L]`."""
    whole = plane.shape[0] >> 3
    for k in range(whole):
        words[k] = load64(plane, 8 * k)
    if whole < words.shape[0]:
        rest = np.uint64(0)
        for n in range(plane.shape[0] - 8 * whole):
            rest |= np.uint64(plane[8 * whole + n]) << np.uint64(8 * n)
        words[whole] = rest


@jit_kernel
def _dilate_rows(
    planes: NDArray[np.uint8], masks: Words, width: int, spread: Words, board: Words, guarded: Words
) -> None:
    for n in range(planes.shape[0]):
        load_board(planes[n], board)
        dilate(board, masks, width, spread[n], guarded)


def dilate_rows(planes: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Every tile of N packed planes `[N, B]` and its eight neighbours, `[N, B]`."""
    masks = column_masks(width, height)
    length = masks.shape[1]
    spread = np.empty((len(planes), length), np.uint64)
    _dilate_rows(planes, masks, width, spread, np.empty(length, np.uint64), np.zeros(length + 2 * GUARD, np.uint64))
    return spread.view(np.uint8)[:, : planes.shape[1]]
