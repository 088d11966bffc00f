"""The columns of an archived experience: one ordered table, which the formats and the documentation are made from.

One row is one experience. Rows of a block are sorted by game, player and tick, not by log offset: consecutive states
of one player then lie side by side, which is what makes them small (14 instead of 17 bytes a state, measured), and
statistics on `game_id` and `player` let readers skip what they do not want.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Kind: TypeAlias = Literal["text", "int", "float", "bool", "time", "bytes"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `dtype` is numpy's, of the values (of the codes' values for text, of one byte for bytes)."""

    name: str
    kind: Kind
    dtype: str
    meaning: str
    nullable: bool = False


COLUMNS = (
    Column("game_id", "text", "U", "the game"),
    Column("player", "int", "u1", "whose experience this is"),
    Column("tick", "int", "i4", "t: the state is the one before tick t"),
    Column("chunk", "int", "i4", "which chunk of the game it came in"),
    Column("action", "int", "i4", "flat action index taken at tick t"),
    Column("reward", "float", "f4", "reward of tick t"),
    Column("terminated", "bool", "?", "the game ended for the player after tick t"),
    Column("truncated", "bool", "?", "the game was cut off after tick t"),
    Column("log_prob", "float", "f4", "the behaviour policy's log-probability of the action", nullable=True),
    Column("policy", "text", "U", "name of the policy that chose the action"),
    Column("policy_version", "int", "i8", "its version, 0 for heuristics"),
    Column("width", "int", "u1", "W, tiles a row"),
    Column("height", "int", "u1", "H, rows"),
    Column("armies", "bytes", "u1", "state: low byte of the army of each tile, HW bytes, row-major; 0 in fog"),
    Column(
        "armies_high",
        "bytes",
        "u1",
        "state: HW second bytes, then HW third bytes …, as many as the batch needs; null if all armies are below 256",
        nullable=True,
    ),
    Column("planes", "bytes", "u1", "state: bit planes one after another, ceil(HW / 8) bytes each, lowest bit first"),
    Column("scalars", "bytes", "u1", "state: float32 little-endian; null if the encoding has none", nullable=True),
    Column(
        "next_armies", "bytes", "u1", "next state, as armies; null where it is the state of the next row", nullable=True
    ),
    Column("next_armies_high", "bytes", "u1", "next state, as armies_high", nullable=True),
    Column("next_planes", "bytes", "u1", "next state, as planes", nullable=True),
    Column("next_scalars", "bytes", "u1", "next state, as scalars", nullable=True),
    Column("wide", "bool", "?", "the record's armies were u4, not u2"),
    Column("encoding", "text", "U", "name of the tensor encoding"),
    Column("reward_name", "text", "U", "name of the reward"),
    Column("config_version", "text", "U", "version of the collector's configuration"),
    Column(
        "config", "int", "u2", "index into the object's list of configurations (parameters, planes, scalars, source)"
    ),
    Column("time", "time", "i8", "the record's timestamp, milliseconds UTC; it says which hour's folder"),
    Column("offset", "int", "i8", "offset of the record in the experiences topic"),
    Column("source_partition", "int", "i4", "partition of the source chunk"),
    Column("source_offset", "int", "i8", "offset of the source chunk"),
    Column("batch_index", "int", "u2", "which of the chunk's batches"),
    Column("batch_count", "int", "u2", "of how many"),
)

BY_NAME = {column.name: column for column in COLUMNS}
KEY_COLUMNS = ("game_id", "player", "tick")


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """A text column: `values[codes[i]]` is row i's. codes: `[N]` i4."""

    values: tuple[str, ...]
    codes: NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Bytes:
    """A column of byte strings: row i is `data[offsets[i]:offsets[i + 1]]`.

    data: u1.  offsets: `[N + 1]` i4, or i8 where `data` has 2 GiB.
    valid: `[N]`, false for null; None if all are valid.
    """

    data: NDArray[np.uint8]
    offsets: NDArray[np.int32] | NDArray[np.int64]
    valid: NDArray[np.bool_] | None = None


def offsets_of(lengths: NDArray[np.int64]) -> NDArray[np.int32] | NDArray[np.int64]:
    """The offsets of byte strings that follow each other."""
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return offsets if offsets[-1] > np.iinfo(np.int32).max else offsets.astype(np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class Masked:
    """A nullable column of numbers. valid: `[N]`, false for null."""

    values: NDArray[np.float32]
    valid: NDArray[np.bool_]


ColumnData: TypeAlias = NDArray[Any] | Text | Bytes | Masked


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """N rows as columns, self-contained: no row's next state lies outside it."""

    rows: int
    columns: dict[str, ColumnData]

    def numbers(self, name: str) -> NDArray[Any]:
        found = self.columns[name]
        if not isinstance(found, np.ndarray):
            raise TypeError(f"column {name} is {type(found).__name__}, not plain numbers")
        return found

    def bytes_of(self, name: str) -> Bytes:
        found = self.columns[name]
        if not isinstance(found, Bytes):
            raise TypeError(f"column {name} is {type(found).__name__}, not bytes")
        return found

    def masked(self, name: str) -> Masked:
        found = self.columns[name]
        if not isinstance(found, Masked):
            raise TypeError(f"column {name} is {type(found).__name__}, not nullable numbers")
        return found
