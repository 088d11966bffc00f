"""The compiled kernels of `expand`. A byte of a bit plane becomes eight floats by one look-up in a table."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from generals_schemas.jit import jit, jit_inline

BYTE_FLOATS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").astype(np.float32)
"""`[256, 8]`: the bits of each byte as floats."""


@jit
def _write_byte(table: NDArray[np.float32], value: int, out: NDArray[np.float32], start: int, stop: int) -> None:
    if stop - start == 8:
        for bit in range(8):
            out[start + bit] = table[value, bit]
    else:
        for bit in range(stop - start):
            out[start + bit] = table[value, bit]


@jit
def _write_plane(
    table: NDArray[np.float32],
    bits: NDArray[np.uint8],
    base: NDArray[np.int64],
    plane: int,
    out: NDArray[np.float32],
) -> None:
    """One plane of one row. `plane` below 0 is derived: -3 neutral, -4 fog."""
    tiles = out.shape[0]
    own, enemy, mountain, visible = base[0], base[1], base[2], base[3]
    for index in range(bits.shape[1]):
        if plane >= 0:
            value = bits[plane, index]
        elif plane == -3:
            value = bits[visible, index] & ~(bits[own, index] | bits[enemy, index] | bits[mountain, index])
        else:
            value = ~bits[visible, index]
        start = index * 8
        _write_byte(table, value & 0xFF, out, start, min(start + 8, tiles))


@jit
def _expand_rows(
    table: NDArray[np.float32],
    armies: NDArray[Any],
    bits: NDArray[np.uint8],
    scalars: NDArray[np.float32],
    rows: NDArray[np.int64],
    program: NDArray[np.int64],
    base: NDArray[np.int64],
    scale: np.float32,
    out: NDArray[np.float32],
) -> None:
    one = np.float32(1)
    log_scale = np.log1p(scale)
    for n in range(rows.shape[0]):
        row = rows[n]
        row_armies = armies[row]
        row_bits = bits[row]
        for channel in range(program.shape[0]):
            kind, operand = program[channel, 0], program[channel, 1]
            target = out[n, channel]
            if kind == 5:
                target[:] = scalars[row, operand]
            elif kind >= 2:
                _write_plane(table, row_bits, base, operand if kind == 2 else -kind, target)
            else:
                _write_plane(table, row_bits, base, operand, target)
                if kind == 0:
                    for tile in range(target.shape[0]):
                        target[tile] *= min(np.float32(row_armies[tile]) / scale, one)
                else:
                    for tile in range(target.shape[0]):
                        if target[tile] != 0:
                            target[tile] = min(np.log1p(np.float32(row_armies[tile])) / log_scale, one)


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
    """Fill `out [N, C, HW]` by the channel program `[C, 2]` of (kind, operand); codes in `expand.KIND_CODES`."""
    _expand_rows(BYTE_FLOATS, armies, bits, scalars, rows, program, base, scale, out)


@jit_inline
def _neighbour(x: int, y: int, direction: int, width: int, height: int) -> int:
    """The tile next to (x, y), -1 off the board."""
    if direction == 0:
        return (y - 1) * width + x if y > 0 else -1
    if direction == 1:
        return (y + 1) * width + x if y + 1 < height else -1
    if direction == 2:
        return y * width + x - 1 if x > 0 else -1
    return y * width + x + 1 if x + 1 < width else -1


@jit
def legal_actions(
    armies: NDArray[Any],
    mine: NDArray[np.uint8],
    mountain: NDArray[np.uint8],
    rows: NDArray[np.int64],
    width: int,
    height: int,
    out: NDArray[np.bool_],
) -> None:
    """Fill `out [N, 8 * HW + 1]`, which must be false everywhere."""
    half = 4 * width * height
    for n in range(rows.shape[0]):
        row = rows[n]
        out[n, 2 * half] = True
        for index in range(mine.shape[1]):
            value = mine[row, index]
            if value == 0:
                continue
            for bit in range(8):
                tile = index * 8 + bit
                if not (value >> bit) & 1 or armies[row, tile] <= 1:
                    continue
                x, y = tile % width, tile // width
                for direction in range(4):
                    target = _neighbour(x, y, direction, width, height)
                    if target >= 0 and not (mountain[row, target >> 3] >> (target & 7)) & 1:
                        out[n, tile * 4 + direction] = True
                        out[n, half + tile * 4 + direction] = True
