"""The compiled kernels of `expand`. A word of a bit plane becomes 64 floats at once; the last tiles go one by one."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from generals_schemas.bitboards import GUARD, Words, column_masks, dilate, load_board
from generals_schemas.jit import jit_inline, jit_kernel
from generals_schemas.unaligned import keep_flagged, load64, store_flags


@jit_kernel
def _write_plane(plane: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
    """plane: `[B]` bytes.  out: `[HW]`."""
    words = out.shape[0] >> 6
    for k in range(words):
        store_flags(out, 64 * k, load64(plane, 8 * k))
    for tile in range(64 * words, out.shape[0]):
        out[tile] = (plane[tile >> 3] >> (tile & 7)) & 1


@jit_kernel
def _write_armies(plane: NDArray[np.uint8], armies: NDArray[Any], scale: np.float32, out: NDArray[np.float32]) -> None:
    """Armies over scale, at most 1, on the plane's tiles."""
    one, zero = np.float32(1), np.float32(0)
    words = out.shape[0] >> 6
    for k in range(words):
        word = load64(plane, 8 * k)
        if word != 0:
            for tile in range(64 * k, 64 * k + 64):
                out[tile] = min(np.float32(armies[tile]) / scale, one)
        keep_flagged(out, 64 * k, word)
    for tile in range(64 * words, out.shape[0]):
        here = (plane[tile >> 3] >> (tile & 7)) & 1
        out[tile] = min(np.float32(armies[tile]) / scale, one) if here else zero


@jit_kernel
def _write_log_armies(
    plane: NDArray[np.uint8], armies: NDArray[Any], log_scale: np.float32, out: NDArray[np.float32]
) -> None:
    """log(1 + army) over log(1 + scale), at most 1, on the plane's tiles."""
    for tile in range(out.shape[0]):
        if (plane[tile >> 3] >> (tile & 7)) & 1:
            out[tile] = min(np.log1p(np.float32(armies[tile])) / log_scale, np.float32(1))
        else:
            out[tile] = np.float32(0)


@jit_kernel
def _derive(
    bits: NDArray[np.uint8], base: NDArray[np.int64], kind: int, visible: NDArray[np.uint8], into: NDArray[np.uint8]
) -> None:
    """A derived plane of a row: 3 neutral, 4 fog, 6 visible."""
    own, enemy, mountain = base[0], base[1], base[2]
    for index in range(into.shape[0]):
        if kind == 3:
            into[index] = visible[index] & ~(bits[own, index] | bits[enemy, index] | bits[mountain, index])
        else:
            into[index] = ~visible[index] if kind == 4 else visible[index]


@jit_kernel
def _write(
    kind: int,
    plane: NDArray[np.uint8],
    armies: NDArray[Any],
    scale: np.float32,
    log_scale: np.float32,
    out: NDArray[np.float32],
) -> None:
    if kind == 0:
        _write_armies(plane, armies, scale, out)
    elif kind == 1:
        _write_log_armies(plane, armies, log_scale, out)
    else:
        _write_plane(plane, out)


@jit_kernel
def _expand_rows(
    armies: NDArray[Any],
    bits: NDArray[np.uint8],
    scalars: NDArray[np.float32],
    rows: NDArray[np.int64],
    program: NDArray[np.int64],
    base: NDArray[np.int64],
    scale: np.float32,
    masks: Words,
    width: int,
    words: Words,
    visible: NDArray[np.uint8],
    scratch: NDArray[np.uint8],
    out: NDArray[np.float32],
) -> None:
    """Scratch: `words` `[3, L + 2 GUARD]`, zero; `visible`, the bytes of its second row; `scratch` `[B]`."""
    log_scale = np.float32(np.log1p(scale))
    length = masks.shape[1]
    for n in range(rows.shape[0]):
        row = rows[n]
        load_board(bits[row, base[0]], words[0, :length])
        dilate(words[0, :length], masks, width, words[1, :length], words[2])
        for channel in range(program.shape[0]):
            kind, operand = program[channel, 0], program[channel, 1]
            target = out[n, channel]
            if kind == 5:
                target[:] = scalars[row, operand]
            elif kind <= 2 and operand >= 0:
                _write(kind, bits[row, operand], armies[row], scale, log_scale, target)
            else:
                _derive(bits[row], base, kind if kind > 2 else -operand, visible, scratch)
                _write(kind, scratch, armies[row], scale, log_scale, target)


def expand_rows(
    armies: NDArray[Any],
    bits: NDArray[np.uint8],
    scalars: NDArray[np.float32],
    rows: NDArray[np.int64],
    program: NDArray[np.int64],
    base: NDArray[np.int64],
    scale: np.float32,
    out: NDArray[np.float32],
) -> None:
    """Fill `out [N, C, H, W]` by the channel program `[C, 2]` of (kind, operand); codes in `expand.KIND_CODES`."""
    height, width = out.shape[2:]
    masks = column_masks(width, height)
    words = np.zeros((3, masks.shape[1] + 2 * GUARD), np.uint64)
    _expand_rows(
        armies, bits, scalars, rows, program, base, scale, masks, width, words,
        words[1].view(np.uint8), np.empty(bits.shape[2], np.uint8), out.reshape(*out.shape[:2], width * height),
    )  # fmt: skip


@jit_inline
def _free(mountain: NDArray[np.uint8], tile: int) -> bool:
    return not (mountain[tile >> 3] >> (tile & 7)) & 1


@jit_kernel
def _legal_row(
    armies: NDArray[Any],
    mine: NDArray[np.uint8],
    mountain: NDArray[np.uint8],
    width: int,
    height: int,
    out: NDArray[np.bool_],
) -> None:
    """One row. armies: `[HW]`.  mine, mountain: `[B]`.  out: `[8 * HW + 1]`."""
    half = 4 * width * height
    out[: 2 * half] = False
    out[2 * half] = True
    for index in range(mine.shape[0]):
        value = mine[index]
        if value == 0:
            continue
        y, x = divmod(index * 8, width)
        for bit in range(8):
            tile = index * 8 + bit
            if (value >> bit) & 1 and tile < armies.shape[0] and armies[tile] > 1:  # the last byte may have more bits
                at = tile * 4
                out[at] = y > 0 and _free(mountain, tile - width)
                out[at + 1] = y + 1 < height and _free(mountain, tile + width)
                out[at + 2] = x > 0 and _free(mountain, tile - 1)
                out[at + 3] = x + 1 < width and _free(mountain, tile + 1)
                for direction in range(4):
                    out[half + at + direction] = out[at + direction]
            x += 1
            if x == width:
                x, y = 0, y + 1


@jit_kernel
def legal_actions(
    armies: NDArray[Any],
    mine: NDArray[np.uint8],
    mountain: NDArray[np.uint8],
    rows: NDArray[np.int64],
    width: int,
    height: int,
    out: NDArray[np.bool_],
) -> None:
    """Fill `out [N, 8 * HW + 1]`."""
    for n in range(rows.shape[0]):
        row = rows[n]
        _legal_row(armies[row], mine[row], mountain[row], width, height, out[n])
