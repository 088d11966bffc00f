"""The states of batches as byte columns and back.

Unusual: armies are split into low bytes and, only where some army exceeds 255, high bytes. That is a third less to
compress and to read than two bytes a tile. The state after a step is stored only where the next row does not hold it.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from generals_writer.formats.columns import Block, Bytes, ColumnData, offsets_of

Arrays: TypeAlias = dict[str, NDArray[Any]]
"""Of a batch, by their names in ExperienceBatch."""

Fill: TypeAlias = Callable[[NDArray[np.uint8], Arrays, slice], None]
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


class StateColumns:
    """The eight state columns of batches that are added one by one, in archive order. steps: of each.

    A batch's last state is left out where the next batch begins with it. A batch may be forgotten as soon as the next
    one is there: 70 kB that are unpacked, copied and unpacked again in the same place stay in the processor's cache.
    """

    def __init__(self, steps: NDArray[np.int64]) -> None:
        self._steps = steps
        self._rows = {name: _Rows(int(steps.sum())) for name in _FILLS}
        self._tails = {name: _Rows(0) for name in _FILLS}
        self._sizes: list[tuple[int, ...]] = []  # of each batch: bytes of a row in each of `_FILLS`, 0 for null
        self._stored: list[bool] = []  # of each batch: whether its last state is
        self._before: tuple[dict[str, Any], Arrays] | None = None

    def add(self, fields: dict[str, Any], arrays: Arrays) -> None:
        """Append a batch's states, but for its last one, of which the next batch has to tell."""
        if self._before is not None:
            self._end(self._before[1], repeated=_goes_on(*self._before, fields, arrays))
        self._before = fields, arrays
        armies, bits, scalars = arrays["armies"], arrays["bits"], arrays["scalars"]
        tiles = armies.shape[1]
        self._sizes.append((tiles, _high_bytes(armies) * tiles, bits.shape[1] * bits.shape[2], 4 * scalars.shape[1]))
        self._fill(self._rows, arrays, slice(0, fields["steps"]), fields["steps"])

    def finish(self) -> dict[str, ColumnData]:
        """The columns, after the last batch."""
        if self._before is not None:
            self._end(self._before[1], repeated=False)
        last = np.cumsum(self._steps) - 1
        columns: dict[str, ColumnData] = {}
        for (name, rows), sizes in zip(self._rows.items(), np.array(self._sizes).T, strict=True):
            lengths = np.repeat(sizes, self._steps)
            columns[name] = rows.column(lengths, nullable=name in ("armies_high", "scalars"))
            tail_lengths = np.zeros(len(lengths), np.int64)
            tail_lengths[last] = np.where(self._stored, sizes, 0)
            columns["next_" + name] = self._tails[name].column(tail_lengths, nullable=True)
        return columns

    def _end(self, arrays: Arrays, *, repeated: bool) -> None:
        """The state after a batch's last step, null where the next batch repeats it."""
        self._stored.append(not repeated)
        if not repeated:
            self._fill(self._tails, arrays, slice(-1, None), 1)

    def _fill(self, columns: dict[str, "_Rows"], arrays: Arrays, which: slice, count: int) -> None:
        """Append `count` of the last batch's states."""
        for (name, fill), size in zip(_FILLS.items(), self._sizes[-1], strict=True):
            if size:
                fill(columns[name].more(count, size), arrays, which)


class _Rows:
    """The bytes of a column, batch by batch."""

    def __init__(self, expected: int) -> None:
        """expected: how many rows there will be. Most often all are of one size, and then the room is exact."""
        self._expected = expected
        self._data = np.empty(0, np.uint8)
        self._filled = 0

    def more(self, count: int, size: int) -> NDArray[np.uint8]:
        """The next rows: `[count, size]`, to be filled."""
        start, end = self._filled, self._filled + count * size
        if end > self._data.size:
            grown = np.empty(max(self._expected * size, 2 * end if start else end), np.uint8)
            grown[:start] = self._data[:start]
            self._data = grown
        self._filled = end
        return self._data[start:end].reshape(count, size)

    def column(self, lengths: NDArray[np.int64], *, nullable: bool) -> Bytes:
        """lengths: `[N]`, of each row."""
        return Bytes(self._data[: self._filled], offsets_of(lengths), lengths > 0 if nullable else None)


def _fill_low(rows: NDArray[np.uint8], arrays: Arrays, which: slice) -> None:
    np.copyto(rows, arrays["armies"][which], casting="unsafe")


def _fill_high(rows: NDArray[np.uint8], arrays: Arrays, which: slice) -> None:
    armies = arrays["armies"][which]
    tiles = armies.shape[1]
    for byte in range(rows.shape[1] // tiles):
        np.copyto(rows[:, byte * tiles : (byte + 1) * tiles], armies >> (8 * (byte + 1)), casting="unsafe")


def _fill_bits(rows: NDArray[np.uint8], arrays: Arrays, which: slice) -> None:
    rows[:] = arrays["bits"][which].reshape(rows.shape)


def _fill_scalars(rows: NDArray[np.uint8], arrays: Arrays, which: slice) -> None:
    rows[:] = np.ascontiguousarray(arrays["scalars"][which]).view(np.uint8)


_FILLS: dict[str, Fill] = {
    "armies": _fill_low,
    "armies_high": _fill_high,
    "planes": _fill_bits,
    "scalars": _fill_scalars,
}


def _high_bytes(armies: NDArray[Any]) -> int:
    """How many bytes above the low one the largest army needs."""
    return max(0, (int(armies.max()).bit_length() + 7) // 8 - 1)


def _goes_on(fields: dict[str, Any], arrays: Arrays, next_fields: dict[str, Any], next_arrays: Arrays) -> bool:
    """Whether the next batch begins with the very state that this one ends with."""
    end = (fields["game_id"], fields["player"], fields["first_tick"] + fields["steps"], fields["army_dtype"])
    begin = (next_fields["game_id"], next_fields["player"], next_fields["first_tick"], next_fields["army_dtype"])
    return (
        end == begin
        and arrays["armies"][-1].tobytes() == next_arrays["armies"][0].tobytes()
        and arrays["bits"][-1].tobytes() == next_arrays["bits"][0].tobytes()
        and arrays["scalars"][-1].tobytes() == next_arrays["scalars"][0].tobytes()
    )
