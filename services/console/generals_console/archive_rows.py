"""What an archive holds, from its objects alone, and what its claims say of it. For the audit.

Parquet is read by pyarrow, as anybody would; the other formats by the writer's own code.
"""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from generals_console.audit import ArchivedRows, PrunedRecords
from generals_runtime.errors import OperatorError
from generals_runtime.objects import NotFound, ObjectStore, open_store
from generals_writer.catalog import Chain, read_chains
from generals_writer.claims import Planned
from generals_writer.errors import CorruptObject
from generals_writer.formats import Format, format_of
from generals_writer.generations import Generation, Held
from generals_writer.verify import wrong_joints

NAMES = pa.dictionary(pa.int32(), pa.string())
"""Each name once: a column of texts holds no more than 2 GiB, which is some minutes of play at full speed."""

SCHEMA = pa.schema({"game_id": NAMES, "player": pa.int64(), "tick": pa.int64()})


def archived_rows(archive: str | Path, topic: str) -> ArchivedRows:
    """Read the three key columns of every object of `topic`, and the claims.

    Raises:
        OperatorError: the archive cannot be read.
    """
    store = open_store(str(archive))
    chains = [chain for chain in read_chains(store, topic) if chain.segments or chain.broken]
    tables = [SCHEMA.empty_table()]
    for entry in store.list(f"topic={topic}/"):
        if (form := format_of(entry.key)) is not None:
            tables.append(_table(store, entry.key, form))
    table = pa.concat_tables(tables).unify_dictionaries()
    ids = [chunk for chunk in table["game_id"].chunks if len(chunk)]
    counts = [segment.claim.counts for chain in chains for segment in chain.segments]
    return ArchivedRows(
        game_ids=ids[0].dictionary.to_pylist() if ids else [],
        games=np.concatenate([np.zeros(0, np.int64), *(chunk.indices.to_numpy() for chunk in ids)]),
        players=table["player"].to_numpy(),
        ticks=table["tick"].to_numpy(),
        starts={chain.log.number: chain.beginning.first if chain.beginning else 0 for chain in chains},
        ends={chain.log.number: chain.position.offset if chain.position else 0 for chain in chains},
        pruned=[pruned for chain in chains for pruned in _pruned(chain)],
        expired=sum(count.expired + count.lost for count in counts),
        damage=[what for chain in chains for what in _damage(chain)],
    )


def _table(store: ObjectStore, key: str, form: Format) -> pa.Table:
    try:
        data = store.get(key)
        if form.name == "parquet":
            return pq.read_table(io.BytesIO(data), columns=SCHEMA.names, read_dictionary=["game_id"]).cast(SCHEMA)
        keys = form.keys(data)
    except (NotFound, CorruptObject, pa.ArrowException) as error:
        raise OperatorError(f"{key} cannot be read: {error}; `generals archive verify` says more") from error
    ids = pa.DictionaryArray.from_arrays(pa.array(keys.game_id.codes), pa.array(keys.game_id.values, pa.string()))
    return pa.table([ids, keys.player.astype(np.int64), keys.tick.astype(np.int64)], schema=SCHEMA)


def _damage(chain: Chain) -> list[str]:
    """What cannot be read of the claims, or is wrong between them. Behind it nothing counts as archived."""
    found = [*chain.broken, *(problem for problem, _ in wrong_joints(chain))]
    return [f"{problem.where}: {problem.what}" for problem in found]


def _pruned(chain: Chain) -> list[PrunedRecords]:
    generation = chain.generation or Generation(chain.log)
    objects: list[Planned | Held] = [planned for segment in chain.segments for planned in segment.claim.objects]
    return [
        PrunedRecords(chain.log.number, one.hour, one.first_offset, one.last_offset)
        for one in (*objects, *generation.merged.values())
        if one.key in generation.pruned
    ]
