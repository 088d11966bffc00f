"""Archived batches: what is stored of a record, in which order, cut into which blocks."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

from generals_schemas.batch_fields import arrays_of, batch_fields, fields_of, unpack_arrays
from generals_schemas.codec import encode_batch
from generals_schemas.errors import BadRecord
from generals_schemas.records import ExperienceBatch

BLOCK_ROWS = 32_768
BLOCK_BYTES = 48 * 1024 * 1024
"""A block is closed when it has this many rows, or this many bytes of states: what a writer holds unpacked."""


class Storable(Protocol):
    """A batch to be stored, perhaps still compressed."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp_ms(self) -> int: ...
    @property
    def key(self) -> tuple[str, int, int]:
        """Game, player, chunk."""
        ...

    @property
    def steps(self) -> int: ...
    @property
    def state_bytes(self) -> int:
        """Of its states when unpacked."""
        ...

    @property
    def fields(self) -> dict[str, Any]:
        """As `generals_schemas.batch_fields` gives them. May be costly: asked for once."""
        ...

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """As `generals_schemas.batch_fields.unpack_arrays` gives them. Costly: asked for once."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """An accepted batch and where its record lies in the experiences topic."""

    batch: ExperienceBatch
    offset: int
    timestamp_ms: int

    @property
    def key(self) -> tuple[str, int, int]:
        return self.batch.game_id, self.batch.player, self.batch.chunk

    @property
    def steps(self) -> int:
        return self.batch.steps

    @property
    def state_bytes(self) -> int:
        return self.batch.armies.nbytes + self.batch.bits.nbytes + self.batch.scalars.nbytes

    @property
    def fields(self) -> dict[str, Any]:
        return fields_of(self.batch)

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        return arrays_of(self.batch)


class UnreadableEntry(Exception):
    """A record with a right checksum whose arrays cannot be unpacked: its producer wrote it so."""

    def __init__(self, offset: int, reason: BadRecord) -> None:
        super().__init__(f"record {offset}: {reason}")
        self.offset = offset
        self.reason = reason


class PackedEntry:
    """A batch as its record has it, its arrays compressed until they are asked for."""

    __slots__ = ("fields", "key", "offset", "state_bytes", "steps", "timestamp_ms")

    def __init__(self, fields: dict[str, Any], offset: int, timestamp_ms: int) -> None:
        self.fields = fields
        self.offset = offset
        self.timestamp_ms = timestamp_ms
        self.key: tuple[str, int, int] = (fields["game_id"], fields["player"], fields["chunk"])
        self.steps: int = fields["steps"]
        tiles = fields["width"] * fields["height"]
        army = 4 if fields["army_dtype"] == "u4" else 2
        state = tiles * army + len(fields["planes"]) * ((tiles + 7) // 8) + 4 * len(fields["scalars"])
        self.state_bytes: int = (self.steps + 1) * state

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Raises UnreadableEntry if they are not of the size that the fields say."""
        try:
            return unpack_arrays(self.fields)
        except BadRecord as error:
            raise UnreadableEntry(self.offset, error) from error


def packed(entry: Entry) -> PackedEntry:
    """An entry that takes a fortieth of the memory."""
    return PackedEntry(batch_fields(encode_batch(entry.batch)), entry.offset, entry.timestamp_ms)


S = TypeVar("S", bound=Storable)


def archive_order(entries: Iterable[S]) -> list[S]:
    """As rows are stored: by game, player, chunk."""
    return sorted(entries, key=lambda entry: (entry.key, entry.offset))


def log_order(entries: Iterable[S]) -> list[S]:
    """As records came."""
    return sorted(entries, key=lambda entry: entry.offset)


def blocks_of(entries: Iterable[S], *, rows: int = BLOCK_ROWS, state_bytes: int = BLOCK_BYTES) -> Iterator[list[S]]:
    """Cut entries, already in archive order, into runs of a block each. A batch is never cut."""
    run: list[S] = []
    run_rows = run_bytes = 0
    for entry in entries:
        if run and (run_rows + entry.steps > rows or run_bytes + entry.state_bytes > state_bytes):
            yield run
            run, run_rows, run_bytes = [], 0, 0
        run.append(entry)
        run_rows += entry.steps
        run_bytes += entry.state_bytes
    if run:
        yield run
