"""Parquet: the default. zstd, one row an experience, rows sorted by game, player and tick.

Unusual: encodings are chosen column by column. Names are dictionary indices; of numbers that stay the same over a
batch zstd makes next to nothing, in half the time of a dictionary. Boards are PLAIN, in pages of version 2: each byte
saved from copying tells here (DELTA_LENGTH_BYTE_ARRAY in pages of version 1 is smaller by 0.1 bytes a row and takes a
fifth longer to write). Statistics are kept for the columns that people filter by and not for boards.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from generals_writer.errors import CorruptObject
from generals_writer.formats import Format, Keys
from generals_writer.formats.ahead import ahead
from generals_writer.formats.blocks import from_block, to_block
from generals_writer.formats.columns import (
    BY_NAME,
    COLUMNS,
    KEY_COLUMNS,
    Block,
    Bytes,
    Column,
    ColumnData,
    Masked,
    Text,
)
from generals_writer.formats.configs import Configs
from generals_writer.formats.entries import Entry, Storable, archive_order, blocks_of

COMPRESSION_LEVEL = 1
METADATA_KEY = b"generals"
PAGE_BYTES = 1024 * 1024
ROWS_AT_ONCE = 4096
"""What a column takes before it looks at its page's size. With pyarrow's 1,024 writing takes a tenth longer."""

_ENCODINGS = {
    "tick": "DELTA_BINARY_PACKED",
    "reward": "BYTE_STREAM_SPLIT",
    "log_prob": "BYTE_STREAM_SPLIT",
    **{column.name: "PLAIN" for column in COLUMNS if column.kind == "bytes"},
}
_DICTIONARY = [column.name for column in COLUMNS if column.kind == "text"]
_STATISTICS = [column.name for column in COLUMNS if column.kind != "bytes"]


def arrow_type(column: Column) -> pa.DataType:
    """The Arrow type of a column."""
    if column.kind == "text":
        return pa.dictionary(pa.int32(), pa.string())
    if column.kind == "bytes":
        return pa.binary()
    if column.kind == "time":
        return pa.timestamp("ms", tz="UTC")
    return pa.from_numpy_dtype(np.dtype(column.dtype))


SCHEMA = pa.schema([pa.field(c.name, arrow_type(c), nullable=c.nullable) for c in COLUMNS])
_MEANINGS = {column.name: column.meaning for column in COLUMNS}
_TEXTS = [column.name for column in COLUMNS if column.kind == "text"]


def write(entries: Sequence[Storable], metadata: dict[str, Any]) -> bytes:
    """An object with these entries; `metadata` (JSON) goes into the footer under `generals`, configurations added.

    The same entries and metadata give the same bytes for the same version of pyarrow.
    """
    configs = Configs()
    out = pa.BufferOutputStream()  # Python's would ask for the GIL with each page, while the next block is made
    writer = pq.ParquetWriter(
        out,
        SCHEMA,
        version="2.6",
        compression="zstd",
        compression_level=COMPRESSION_LEVEL,
        use_dictionary=_DICTIONARY,
        column_encoding=_ENCODINGS,
        write_statistics=_STATISTICS,
        data_page_size=PAGE_BYTES,
        data_page_version="2.0",
        write_batch_size=ROWS_AT_ONCE,
        sorting_columns=pq.SortingColumn.from_ordering(SCHEMA, [("game_id", "ascending"), ("player", "ascending")]),
        write_page_checksum=True,
        store_schema=False,  # else every reader gets dictionary types, which few operations of pyarrow unify
    )
    with writer:
        for block in ahead(to_block(run, configs) for run in blocks_of(archive_order(entries))):
            writer.write_table(to_table(block), row_group_size=2**31)
        whole = {**metadata, "configs": configs.to_json(), "columns": _MEANINGS}
        writer.add_key_value_metadata({METADATA_KEY.decode(): json.dumps(whole, sort_keys=True)})
    data: bytes = out.getvalue().to_pybytes()
    return data


def read(data: bytes) -> Iterator[Entry]:
    """The entries of an object, in archive order, a row group at a time. Raises CorruptObject."""
    with _naming_damage():
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True, read_dictionary=_TEXTS)
        configs = Configs.from_json(_metadata(file)["configs"])
    for block in ahead(_blocks(file)):
        with _naming_damage():
            entries = list(from_block(block, configs))
        yield from entries


def _blocks(file: pq.ParquetFile) -> Iterator[Block]:
    for group in range(file.num_row_groups):
        with _naming_damage():
            block = from_table(file.read_row_group(group))
        yield block


def read_metadata(data: bytes) -> dict[str, Any]:
    """What `write` was given, and the configurations. Raises CorruptObject."""
    with _naming_damage():
        return _metadata(pq.ParquetFile(pa.BufferReader(data)))


def read_keys(data: bytes) -> Keys:
    """`game_id`, `player` and `tick` of each row; the other columns stay compressed. Raises CorruptObject."""
    with _naming_damage():
        table = pq.read_table(
            pa.BufferReader(data), columns=list(KEY_COLUMNS), page_checksum_verification=True, read_dictionary=_TEXTS
        )
        game_id, player, tick = (_data(BY_NAME[name], table.column(name)) for name in KEY_COLUMNS)
    if not (isinstance(game_id, Text) and isinstance(player, np.ndarray) and isinstance(tick, np.ndarray)):
        raise CorruptObject("the key columns have wrong types")
    return Keys(game_id, player.astype(np.uint8), tick.astype(np.int32))


@contextmanager
def _naming_damage() -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, KeyError, IndexError, TypeError, ValueError) as error:
        raise CorruptObject(f"no whole Parquet object: {error}") from error


def to_table(block: Block) -> pa.Table:
    """A block as an Arrow table; buffers are shared, not copied."""
    return pa.Table.from_arrays([_array(c, block.columns[c.name], block.rows) for c in COLUMNS], schema=SCHEMA)


def from_table(table: pa.Table) -> Block:
    """The block of a table that has all the columns."""
    columns: dict[str, ColumnData] = {}
    for column in COLUMNS:
        columns[column.name] = _data(column, table.column(column.name))
    return Block(table.num_rows, columns)


def _metadata(file: pq.ParquetFile) -> dict[str, Any]:
    found = (file.metadata.metadata or {}).get(METADATA_KEY)
    if found is None:
        raise ValueError("the footer has no `generals` entry: this is no archived object")
    whole: dict[str, Any] = json.loads(found)
    return whole


def _array(column: Column, data: ColumnData, rows: int) -> pa.Array:
    kind = arrow_type(column)
    if isinstance(data, Text):
        return pa.DictionaryArray.from_arrays(pa.array(data.codes), pa.array(data.values, pa.string()))
    if isinstance(data, Bytes):
        buffers = [_bitmap(data.valid), pa.py_buffer(data.offsets), pa.py_buffer(data.data)]
        return pa.BinaryArray.from_buffers(kind, rows, buffers)
    if isinstance(data, Masked):
        return pa.Array.from_buffers(kind, rows, [_bitmap(data.valid), pa.py_buffer(data.values)])
    if column.kind == "bool":
        return pa.array(data)
    return pa.Array.from_buffers(kind, rows, [None, pa.py_buffer(np.ascontiguousarray(data))])


def _bitmap(valid: NDArray[np.bool_] | None) -> pa.Buffer | None:
    return None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))


def _data(column: Column, chunked: pa.ChunkedArray) -> ColumnData:
    if column.kind == "text":
        return _text(chunked)
    array = chunked.chunk(0) if chunked.num_chunks == 1 else chunked.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    valid = None if not column.nullable else ~np.asarray(array.is_null().to_numpy(zero_copy_only=False))
    if column.kind == "bytes":
        return _bytes(array, valid)
    if column.kind == "bool":
        return np.asarray(array.to_numpy(zero_copy_only=False), np.bool_)
    values = np.frombuffer(
        array.buffers()[1], np.dtype(column.dtype), len(array), array.offset * np.dtype(column.dtype).itemsize
    )
    return values if valid is None else Masked(np.where(valid, values, 0).astype(np.float32), valid)


def _text(chunked: pa.ChunkedArray) -> Text:
    """Each chunk has a dictionary of its own."""
    if not pa.types.is_dictionary(chunked.type):
        chunked = chunked.dictionary_encode()
    array = chunked.unify_dictionaries().combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0)
    return Text(tuple(array.dictionary.to_pylist()), array.indices.to_numpy(zero_copy_only=False).astype(np.int32))


def _bytes(array: pa.Array, valid: NDArray[np.bool_] | None) -> Bytes:
    _, offsets_buffer, data_buffer = array.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int32, len(array) + 1, array.offset * 4)
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer is not None else np.zeros(0, np.uint8)
    return Bytes(data, offsets, valid)


FORMAT = Format("parquet", "parquet", write, read, read_metadata, read_keys)
