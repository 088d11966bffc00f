"""Archived batches: what is stored of a record, in which order, cut into which blocks."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from generals_schemas.records import ExperienceBatch

BLOCK_ROWS = 32_768
BLOCK_BYTES = 48 * 1024 * 1024
"""A block is closed when it has this many rows, or this many bytes of states: what a writer holds unpacked."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """An accepted batch and where its record lies in the experiences topic."""

    batch: ExperienceBatch
    offset: int
    timestamp_ms: int


def archive_order(entries: Iterable[Entry]) -> list[Entry]:
    """As rows are stored: by game, player, chunk."""
    return sorted(entries, key=lambda e: (e.batch.game_id, e.batch.player, e.batch.chunk, e.offset))


def log_order(entries: Iterable[Entry]) -> list[Entry]:
    """As records came."""
    return sorted(entries, key=lambda e: e.offset)


def blocks_of(
    entries: Sequence[Entry], *, rows: int = BLOCK_ROWS, state_bytes: int = BLOCK_BYTES
) -> Iterator[list[Entry]]:
    """Cut entries, already in archive order, into runs of a block each. A batch is never cut."""
    run: list[Entry] = []
    run_rows = run_bytes = 0
    for entry in entries:
        batch = entry.batch
        size = batch.armies.size + batch.bits.size + batch.scalars.nbytes
        if run and (run_rows + batch.steps > rows or run_bytes + size > state_bytes):
            yield run
            run, run_rows, run_bytes = [], 0, 0
        run.append(entry)
        run_rows += batch.steps
        run_bytes += size
    if run:
        yield run
