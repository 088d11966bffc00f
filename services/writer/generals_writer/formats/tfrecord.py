"""TFRecord: one `tf.train.Example` a row, the file gzipped.

    tf.data.TFRecordDataset(files, compression_type="GZIP").map(lambda e: tf.io.parse_single_example(e, {
        "reward": tf.io.FixedLenFeature([], tf.float32), "armies": tf.io.FixedLenFeature([], tf.string), …}))

Features are the columns of `columns.py`: numbers as int64 or float, text and bytes as bytes, a missing value as a
missing feature.

Unusual: a TFRecord file has no place for metadata, so ours is the comment in the gzip header, which all gzip readers
skip. An index of where each record begins lies beside the object (`index.py`). Rows are encoded one by one in Python:
this format is for small archives.
"""

import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generals_writer.errors import CorruptObject
from generals_writer.formats import Format, Keys
from generals_writer.formats.blocks import from_block, to_block
from generals_writer.formats.columns import COLUMNS, Block, Bytes, Column, ColumnData, Masked, Text, offsets_of
from generals_writer.formats.configs import Configs
from generals_writer.formats.entries import Entry, Storable, archive_order, blocks_of
from generals_writer.formats.tf_example import Value, example, feature, frame, frames, parse_example

LEVEL = 6
_HEADER = struct.Struct("<2sBBIBB")
_MAGIC, _DEFLATE, _COMMENT, _UNKNOWN_OS = b"\x1f\x8b", 8, 0x10, 255


def write(entries: Sequence[Storable], metadata: dict[str, Any]) -> bytes:
    """An object with these entries; the same entries give the same bytes."""
    configs = Configs()
    deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    parts, crc, size = [], 0, 0
    for run in blocks_of(archive_order(entries)):
        for row in _rows(to_block(run, configs)):
            framed = frame(example(row))
            crc, size = zlib.crc32(framed, crc), size + len(framed)
            parts.append(deflate.compress(framed))
    comment = json.dumps({**metadata, "configs": configs.to_json()}, sort_keys=True).encode("ascii") + b"\0"
    header = _HEADER.pack(_MAGIC, _DEFLATE, _COMMENT, 0, 0, _UNKNOWN_OS)
    return b"".join((header, comment, *parts, deflate.flush(), struct.pack("<II", crc, size & 0xFFFFFFFF)))


def read(data: bytes) -> Iterator[Entry]:
    """The entries of an object, in archive order. Raises CorruptObject."""
    with _naming_damage():
        configs = Configs.from_json(_metadata(data)["configs"])
        entries = list(from_block(_block(_examples(data)), configs))
    yield from entries


def read_metadata(data: bytes) -> dict[str, Any]:
    """What `write` was given, and the configurations. Raises CorruptObject."""
    with _naming_damage():
        return _metadata(data)


def read_keys(data: bytes) -> Keys:
    """`game_id`, `player` and `tick` of each row. Raises CorruptObject."""
    with _naming_damage():
        rows = _examples(data)
        game_id = _text([row["game_id"] for row in rows])
        player, tick = (np.array([row[name] for row in rows], np.int64) for name in ("player", "tick"))
    return Keys(game_id, player.astype(np.uint8), tick.astype(np.int32))


def index_of(data: bytes) -> bytes:
    """Where each record begins in the unzipped file, and how long it is: a line a record. Raises CorruptObject."""
    with _naming_damage():
        return b"".join(b"%d %d\n" % (at, len(record) + 16) for at, record in frames(_unzipped(data)))


@contextmanager
def _naming_damage() -> Iterator[None]:
    try:
        yield
    except (zlib.error, struct.error, StopIteration, KeyError, IndexError, TypeError, ValueError) as error:
        raise CorruptObject(f"no whole TFRecord object: {error!r}") from error


def _metadata(data: bytes) -> dict[str, Any]:
    magic, _, flags, *_ = _HEADER.unpack_from(data)
    if magic != _MAGIC or flags != _COMMENT:
        raise ValueError("the gzip header has no comment: this is no archived object")
    whole: dict[str, Any] = json.loads(data[_HEADER.size : data.index(b"\0", _HEADER.size)])
    return whole


def _unzipped(data: bytes) -> bytes:
    unzip = zlib.decompressobj(wbits=31)  # 31: gzip, its CRC-32 and length checked
    stream = unzip.decompress(data)
    if not unzip.eof or unzip.unused_data:
        raise ValueError("the gzip stream is cut, or something stands behind it")
    return stream


def _examples(data: bytes) -> list[dict[str, Value]]:
    return [parse_example(record) for _, record in frames(_unzipped(data))]


def _rows(block: Block) -> Iterator[bytes]:
    """The features of each row, encoded. What all rows of a batch share is encoded once a batch."""
    shared = [column for column in COLUMNS if column.name not in _OF_THE_STEP and column.kind not in ("bytes",)]
    own = [column for column in COLUMNS if column not in shared]
    offsets = block.numbers("offset")
    common = b""
    for row in range(block.rows):
        if row == 0 or offsets[row] != offsets[row - 1]:
            common = b"".join(_feature(column, block.columns[column.name], row) for column in shared)
        yield common + b"".join(_feature(column, block.columns[column.name], row) for column in own)


_OF_THE_STEP = {"tick", "action", "reward", "terminated", "truncated", "log_prob"}


def _feature(column: Column, data: ColumnData, row: int) -> bytes:
    value = _value(data, row)
    return b"" if value is None else feature(column.name, value)


def _value(data: ColumnData, row: int) -> Value | None:
    if isinstance(data, Text):
        return data.values[int(data.codes[row])].encode()
    if isinstance(data, Masked):
        return float(data.values[row]) if data.valid[row] else None
    if isinstance(data, Bytes):
        present = data.valid is None or data.valid[row]
        return data.data[data.offsets[row] : data.offsets[row + 1]].tobytes() if present else None
    return float(data[row]) if data.dtype.kind == "f" else int(data[row])


def _block(rows: list[dict[str, Value]]) -> Block:
    return Block(
        len(rows), {column.name: _column(column, [row.get(column.name) for row in rows]) for column in COLUMNS}
    )


def _column(column: Column, values: list[Value | None]) -> ColumnData:
    if column.kind == "text":
        return _text(values)
    if column.kind == "bytes":
        return _bytes(values, nullable=column.nullable)
    valid = np.array([value is not None for value in values], np.bool_)
    if not column.nullable and not valid.all():
        raise ValueError(f"a row has no {column.name}")
    numbers: NDArray[Any] = np.array([0 if value is None else value for value in values]).astype(column.dtype)
    return Masked(numbers, valid) if column.nullable else numbers


def _text(values: Sequence[Value | None]) -> Text:
    codes: dict[str, int] = {}
    found = [codes.setdefault(_as_bytes(value).decode(), len(codes)) for value in values]
    return Text(tuple(codes), np.array(found, np.int32))


def _bytes(values: Sequence[Value | None], *, nullable: bool) -> Bytes:
    strings = [b"" if value is None and nullable else _as_bytes(value) for value in values]
    offsets = offsets_of(np.array([len(string) for string in strings], np.int64))
    valid = np.array([value is not None for value in values], np.bool_) if nullable else None
    return Bytes(np.frombuffer(b"".join(strings), np.uint8), offsets, valid)


def _as_bytes(value: Value | None) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError(f"{value!r} stands where bytes must")
    return value


FORMAT = Format("tfrecord", "tfrecord.gz", write, read, read_metadata, read_keys, index_of)
