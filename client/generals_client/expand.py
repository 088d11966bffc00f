"""Packed rows to tensors: the channels of an encoding, and the legal-action mask.

Compiled when numba is installed (the `fast` extra), plain numpy otherwise; both give the same bits.
Axes: M packed rows, N rows asked for, C channels, HW = H * W tiles, B = ceil(HW / 8), A = 8 * HW + 1 actions.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from generals_schemas.actions import num_actions
from generals_schemas.encodings import Encoding
from generals_schemas.records import Armies

try:
    from generals_client import kernels
except ImportError:  # numba is not installed
    kernels = None  # type: ignore[assignment]

COMPILED = kernels is not None

AnyArmies: TypeAlias = NDArray[np.uint8] | Armies
"""A replay buffer's need a byte each, most of the time."""


def expand(
    encoding: Encoding,
    *,
    armies: AnyArmies,
    bits: NDArray[np.uint8],
    scalars: NDArray[np.float32],
    rows: NDArray[np.int64],
    width: int,
    height: int,
    params: Mapping[str, float] | None = None,
    planes: Sequence[str] | None = None,
    out: NDArray[np.float32] | None = None,
    compiled: bool = COMPILED,
) -> NDArray[Any]:
    """The encoding's tensor `[N, C, H, W]` of the packed rows `rows`.

    armies: `[M, HW]`.  bits: `[M, planes, B]`.  scalars: `[M, S]`.  rows: `[N]` indices into M.
    planes: names of the stored planes, the encoding's own if None.
    out: `[N, C, H, W]` float32 to write to (memory that is used again costs no page faults); else a new array.

    Raises:
        ValueError: `out` has another shape or type, or is not contiguous.
    """
    names = tuple(planes) if planes is not None else encoding.planes
    scale = np.float32(encoding.with_params(params or {}).get("army_scale", 1.0))
    shape = (len(rows), len(encoding.channels), height, width)
    made = np.empty(shape, np.float32) if out is None else _checked(out, shape)
    make = _expand_compiled if compiled else _expand_numpy
    make(encoding, names, armies, bits, scalars, rows, scale, made)
    return made if encoding.dtype == "float32" else made.astype(np.float16)


def _checked(out: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    if out.shape != shape or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise ValueError(f"out is {out.dtype} {out.shape}, must be contiguous float32 {shape}")
    return out


def legal_actions(
    *,
    armies: AnyArmies,
    bits: NDArray[np.uint8],
    rows: NDArray[np.int64],
    width: int,
    height: int,
    planes: Sequence[str],
    compiled: bool = COMPILED,
) -> NDArray[np.bool_]:
    """The legal-action mask `[N, A]` of the packed rows `rows`: shapes as in `expand`.

    Legal: an own tile with army above 1, its neighbour on the board and no mountain; the pass always. Neighbours of own
    tiles are always seen, so the mask follows from the view.
    """
    mine = bits[:, planes.index("mine" if "mine" in planes else "own")]
    mountain = bits[:, planes.index("mountain")]
    out = np.empty((len(rows), num_actions(width, height)), np.bool_)
    if compiled:
        kernels.legal_actions(armies, mine, mountain, rows, width, height, out)
    else:
        _legal_numpy(armies, mine, mountain, rows, width, height, out)
    return out


KIND_CODES = {"army": 0, "log_army": 1, "plane": 2, "neutral": 3, "fog": 4, "scalar": 5, "visible": 6}


def _expand_compiled(
    encoding: Encoding,
    planes: tuple[str, ...],
    armies: AnyArmies,
    bits: NDArray[np.uint8],
    scalars: NDArray[np.float32],
    rows: NDArray[np.int64],
    scale: np.float32,
    out: NDArray[np.float32],
) -> None:
    program = np.array([_instruction(encoding, planes, c.kind, c.of) for c in encoding.channels], np.int64)
    base = np.array([planes.index(name) for name in ("own", "enemy", "mountain")], np.int64)
    kernels.expand_rows(armies, bits, scalars, rows, program, base, scale, out)


def _instruction(encoding: Encoding, planes: tuple[str, ...], kind: str, of: str) -> tuple[int, int]:
    if kind == "scalar":
        return KIND_CODES["scalar"], encoding.scalars.index(of)
    if of in planes:
        return KIND_CODES[kind], planes.index(of)
    # A derived plane: as itself, or for armies with the derived plane's code shifted into the operand.
    return (KIND_CODES[of], 0) if kind == "plane" else (KIND_CODES[kind], -KIND_CODES[of])


def _expand_numpy(
    encoding: Encoding,
    planes: tuple[str, ...],
    armies: AnyArmies,
    bits: NDArray[np.uint8],
    scalars: NDArray[np.float32],
    rows: NDArray[np.int64],
    scale: np.float32,
    out: NDArray[np.float32],
) -> None:
    count = armies.shape[1]
    seen = {
        name: np.unpackbits(bits[rows, i], axis=1, count=count, bitorder="little").astype(np.bool_)
        for i, name in enumerate(planes)
    }
    if "visible" not in seen:
        seen["visible"] = _around(seen["own"].reshape(-1, *out.shape[2:])).reshape(-1, count)
    seen["fog"] = ~seen["visible"]
    seen["neutral"] = seen["visible"] & ~(seen["own"] | seen["enemy"] | seen["mountain"])
    picked = armies[rows].astype(np.float32)
    flat = out.reshape(*out.shape[:2], count)
    for index, channel in enumerate(encoding.channels):
        if channel.kind == "scalar":
            flat[:, index] = scalars[rows, encoding.scalars.index(channel.of), None]
        elif channel.kind == "plane":
            flat[:, index] = seen[channel.of]
        else:
            value = picked / scale if channel.kind == "army" else np.log1p(picked) / np.log1p(scale)
            flat[:, index] = np.where(seen[channel.of], np.minimum(value, np.float32(1)), np.float32(0))


def _around(own: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """`[N, H, W]`: the tiles and their eight neighbours."""
    rows = own.copy()
    rows[:, :, 1:] |= own[:, :, :-1]
    rows[:, :, :-1] |= own[:, :, 1:]
    around = rows.copy()
    around[:, 1:] |= rows[:, :-1]
    around[:, :-1] |= rows[:, 1:]
    return around


def _legal_numpy(
    armies: AnyArmies,
    mine: NDArray[np.uint8],
    mountain: NDArray[np.uint8],
    rows: NDArray[np.int64],
    width: int,
    height: int,
    out: NDArray[np.bool_],
) -> None:
    shape = (len(rows), height, width)

    def plane(packed: NDArray[np.uint8]) -> NDArray[np.bool_]:
        unpacked = np.unpackbits(packed[rows], axis=1, count=width * height, bitorder="little")
        return unpacked.astype(np.bool_).reshape(shape)

    movable = plane(mine) & (armies[rows].reshape(shape) > 1)
    free = ~plane(mountain)
    moves = np.zeros((*shape, 4), np.bool_)
    moves[:, 1:, :, 0] = movable[:, 1:] & free[:, :-1]
    moves[:, :-1, :, 1] = movable[:, :-1] & free[:, 1:]
    moves[:, :, 1:, 2] = movable[:, :, 1:] & free[:, :, :-1]
    moves[:, :, :-1, 3] = movable[:, :, :-1] & free[:, :, 1:]
    half = 4 * width * height
    out[:, :half] = moves.reshape(len(rows), half)
    out[:, half : 2 * half] = out[:, :half]
    out[:, 2 * half] = True
