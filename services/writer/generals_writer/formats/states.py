"""The states of batches as byte columns and back.

Unusual: armies are split into low bytes and, only where some army exceeds 255, high bytes. That is a third less to
compress and to read than two bytes a tile. The state after a step is stored only where the next row does not hold it.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from generals_schemas.records import Armies, ExperienceBatch
from generals_writer.formats.columns import Block, Bytes, ColumnData

Fill: TypeAlias = Callable[[NDArray[np.uint8], ExperienceBatch, slice], None]
"""Write some of a batch's N + 1 states into `[rows, bytes]`."""


class StateReader:
    """The four state columns of one side (`""` state, `"next_"` next state)."""

    def __init__(self, block: Block, prefix: str) -> None:
        self._low = block.bytes_of(prefix + "armies")
        self._high = block.bytes_of(prefix + "armies_high")
        self._planes = block.bytes_of(prefix + "planes")
        self._scalars = block.bytes_of(prefix + "scalars")

    def stored(self, row: int) -> bool:
        return self._low.valid is None or bool(self._low.valid[row])

    def arrays(
        self, start: int, end: int, tiles: int, planes: int, scalars: int, wide: bool
    ) -> tuple[NDArray[Any], NDArray[np.uint8], NDArray[np.float32]]:
        """armies `[rows, HW]`, bits `[rows, planes, ceil(HW / 8)]`, scalars `[rows, S]`."""
        rows = end - start
        armies = _run(self._low, start, end).reshape(rows, tiles).astype(np.uint32 if wide else np.uint16)
        self._add_high(armies, start, end, tiles)
        bits = _run(self._planes, start, end).reshape(rows, planes, (tiles + 7) // 8)
        floats = _run(self._scalars, start, end).view("<f4").reshape(rows, scalars)
        return armies, bits, floats

    def _add_high(self, armies: NDArray[Any], start: int, end: int, tiles: int) -> None:
        """A run may reach one row into the next batch, which may need other high bytes: so row by row if uneven."""
        offsets = self._high.offsets
        size = int(offsets[end] - offsets[start])
        if not size:
            return
        if size == (end - start) * int(offsets[end] - offsets[end - 1]):
            high = _run(self._high, start, end).reshape(end - start, -1, tiles)
            for byte in range(high.shape[1]):
                armies |= high[:, byte].astype(armies.dtype) << (8 * (byte + 1))
            return
        self._add_high(armies[:-1], start, end - 1, tiles)
        self._add_high(armies[-1:], end - 1, end, tiles)


def _run(column: Bytes, start: int, end: int) -> NDArray[np.uint8]:
    return column.data[column.offsets[start] : column.offsets[end]]


def state_columns(
    batches: Sequence[ExperienceBatch], steps: NDArray[np.int64], last: NDArray[np.int64]
) -> dict[str, ColumnData]:
    """The eight state columns. A batch's last state is left out where the next batch begins with it."""
    high = [_high_bytes(batch.armies) for batch in batches]
    repeated = [_goes_on(a, b) for a, b in pairwise(batches)] + [False]
    sizes = {
        "armies": [batch.width * batch.height for batch in batches],
        "armies_high": [count * batch.width * batch.height for count, batch in zip(high, batches, strict=True)],
        "planes": [batch.bits.shape[1] * batch.bits.shape[2] for batch in batches],
        "scalars": [batch.scalars.shape[1] * 4 for batch in batches],
    }
    columns: dict[str, ColumnData] = {}
    for name, fill in _FILLS.items():
        size = np.array(sizes[name], np.int64)
        columns[name] = _rows(batches, size, steps, fill, nullable=name in ("armies_high", "scalars"))
        columns["next_" + name] = _tails(batches, np.where(repeated, 0, size), steps, last, fill)
    return columns


def _rows(
    batches: Sequence[ExperienceBatch], size: NDArray[np.int64], steps: NDArray[np.int64], fill: Fill, *, nullable: bool
) -> Bytes:
    """The state before each step. size: `[batches]`, bytes a row, 0 for null."""
    lengths = np.repeat(size, steps)
    data = np.empty(int(lengths.sum()), np.uint8)
    at = 0
    for batch, width in zip(batches, size.tolist(), strict=True):
        if width:
            rows = data[at : at + width * batch.steps].reshape(batch.steps, width)
            fill(rows, batch, slice(0, batch.steps))
            at += rows.size
    return Bytes(data, _offsets(lengths), lengths > 0 if nullable else None)


def _tails(
    batches: Sequence[ExperienceBatch],
    size: NDArray[np.int64],
    steps: NDArray[np.int64],
    last: NDArray[np.int64],
    fill: Fill,
) -> Bytes:
    """The state after the last step of each batch. size: `[batches]`, 0 where it is not stored."""
    lengths = np.zeros(int(steps.sum()), np.int64)
    lengths[last] = size
    data = np.empty(int(lengths.sum()), np.uint8)
    at = 0
    for batch, width in zip(batches, size.tolist(), strict=True):
        if width:
            fill(data[at : at + width].reshape(1, width), batch, slice(batch.steps, batch.steps + 1))
            at += width
    return Bytes(data, _offsets(lengths), lengths > 0)


def _fill_low(rows: NDArray[np.uint8], batch: ExperienceBatch, which: slice) -> None:
    np.copyto(rows, batch.armies[which], casting="unsafe")


def _fill_high(rows: NDArray[np.uint8], batch: ExperienceBatch, which: slice) -> None:
    armies = batch.armies[which]
    tiles = armies.shape[1]
    for byte in range(rows.shape[1] // tiles):
        np.copyto(rows[:, byte * tiles : (byte + 1) * tiles], armies >> (8 * (byte + 1)), casting="unsafe")


def _fill_bits(rows: NDArray[np.uint8], batch: ExperienceBatch, which: slice) -> None:
    rows[:] = batch.bits[which].reshape(len(rows), -1)


def _fill_scalars(rows: NDArray[np.uint8], batch: ExperienceBatch, which: slice) -> None:
    rows[:] = np.ascontiguousarray(batch.scalars[which]).view(np.uint8)


_FILLS: dict[str, Fill] = {
    "armies": _fill_low,
    "armies_high": _fill_high,
    "planes": _fill_bits,
    "scalars": _fill_scalars,
}


def _high_bytes(armies: Armies) -> int:
    """How many bytes above the low one the largest army needs."""
    return max(0, (int(armies.max()).bit_length() + 7) // 8 - 1)


def _goes_on(a: ExperienceBatch, b: ExperienceBatch) -> bool:
    """Whether b begins with the very state that a ends with."""
    return (
        a.game_id == b.game_id
        and a.player == b.player
        and a.first_tick + a.steps == b.first_tick
        and a.armies.dtype == b.armies.dtype
        and a.bits.shape[1:] == b.bits.shape[1:]
        and a.armies[-1].tobytes() == b.armies[0].tobytes()
        and a.bits[-1].tobytes() == b.bits[0].tobytes()
        and a.scalars[-1].tobytes() == b.scalars[0].tobytes()
    )


def _offsets(lengths: NDArray[np.int64]) -> NDArray[np.int32]:
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return offsets
