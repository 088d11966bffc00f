"""What an archive holds, from its objects alone (by pyarrow) and how far its claims go. For the audit."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from generals_console.audit import ArchivedRows
from generals_runtime.errors import OperatorError
from generals_runtime.objects import NotFound, ObjectStore, open_store
from generals_writer.catalog import read_chains

COLUMNS = ["game_id", "player", "tick"]


def archived_rows(archive: str | Path, topic: str) -> ArchivedRows:
    """Read the three key columns of every Parquet object of `topic`, and the claims.

    Raises:
        OperatorError: the archive cannot be read.
    """
    store = open_store(str(archive))
    starts, ends = _sealed(store, topic)
    tables = []
    for entry in store.list(f"topic={topic}/"):
        key = entry.key
        if key.endswith(".parquet"):
            tables.append(_table(store, key))
    table = (
        pa.concat_tables(tables)
        if tables
        else pa.table({"game_id": pa.array([], pa.string()), "player": [], "tick": []})
    )
    ids = table["game_id"].cast(pa.string()).combine_chunks().dictionary_encode()
    return ArchivedRows(
        game_ids=ids.dictionary.to_pylist(),
        games=np.asarray(ids.indices, np.int64),
        players=table["player"].to_numpy().astype(np.int64),
        ticks=table["tick"].to_numpy().astype(np.int64),
        starts=starts,
        ends=ends,
    )


def _table(store: ObjectStore, key: str) -> pa.Table:
    try:
        table = pq.read_table(io.BytesIO(store.get(key)), columns=COLUMNS)
        return table.set_column(0, "game_id", table["game_id"].cast(pa.string()))
    except (NotFound, pa.ArrowException) as error:
        raise OperatorError(f"{key} cannot be read: {error}; `generals archive verify` says more") from error


def _sealed(store: ObjectStore, topic: str) -> tuple[dict[int, int], dict[int, int]]:
    """For each partition where its archive begins and the end of its unbroken run of finished segments.

    A segment that is claimed and not sealed is still being written: what is in it is pending, not lost.
    """
    starts, ends = {}, {}
    for chain in read_chains(store, topic):
        if chain.segments:
            first = chain.segments[0].claim.first
            starts[chain.log.number] = first
            ends[chain.log.number] = chain.position.offset if chain.position is not None else first
    return starts, ends
