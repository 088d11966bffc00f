"""NPZ: numpy arrays in a zip, deflated, read by `numpy.load(path, allow_pickle=False)`.

    reward, action, tick, …        one array a column of numbers, `[N]`
    game_id, game_id_values        text: `game_id_values[game_id]`
    log_prob, log_prob_valid       numbers that may be missing
    armies, armies_offsets         bytes of all rows; row i is `armies[armies_offsets[i]:armies_offsets[i + 1]]`
                                   (`armies_offsets` is i8 where `armies` has 2 GiB or more, else i4)
    armies_high_valid              which rows have some, for those that may be missing
    metadata                       JSON as bytes: segment, configurations

Unusual: a zip is written with fixed times, so the same entries give the same bytes. All rows of an object are unpacked
at once: this format is for small archives, Parquet for large ones.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generals_writer.errors import CorruptObject
from generals_writer.formats import Format, Keys
from generals_writer.formats.blocks import from_block, to_block
from generals_writer.formats.columns import COLUMNS, Block, Bytes, Column, ColumnData, Masked, Text
from generals_writer.formats.configs import Configs
from generals_writer.formats.entries import Entry, Storable, archive_order

LEVEL = 6
EPOCH = (1980, 1, 1, 0, 0, 0)
Arrays = dict[str, NDArray[Any]]


def write(entries: Sequence[Storable], metadata: dict[str, Any]) -> bytes:
    """An object with these entries; the same entries give the same bytes."""
    configs = Configs()
    arrays: Arrays = {}
    if entries:
        block = to_block(archive_order(entries), configs)
        for column in COLUMNS:
            arrays.update(_arrays(column, block.columns[column.name]))
    whole = json.dumps({**metadata, "configs": configs.to_json()}, sort_keys=True)
    arrays["metadata"] = np.frombuffer(whole.encode(), np.uint8)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, array in arrays.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", EPOCH), _npy(array), zipfile.ZIP_DEFLATED, LEVEL)
    return out.getvalue()


def read(data: bytes) -> Iterator[Entry]:
    """The entries of an object, in archive order. Raises CorruptObject."""
    with _naming_damage(), _load(data) as file:
        configs = Configs.from_json(_metadata(file)["configs"])
        entries = list(from_block(_block(file), configs)) if len(file.files) > 1 else []
    yield from entries


def read_metadata(data: bytes) -> dict[str, Any]:
    """What `write` was given, and the configurations. Raises CorruptObject."""
    with _naming_damage(), _load(data) as file:
        return _metadata(file)


def read_keys(data: bytes) -> Keys:
    """`game_id`, `player` and `tick` of each row. Raises CorruptObject."""
    with _naming_damage(), _load(data) as file:
        if "tick" not in file.files:
            return Keys(Text((), np.zeros(0, np.int32)), np.zeros(0, np.uint8), np.zeros(0, np.int32))
        return Keys(Text(tuple(file["game_id_values"].tolist()), file["game_id"]), file["player"], file["tick"])


@contextmanager
def _naming_damage() -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError, IndexError, TypeError, ValueError) as error:
        raise CorruptObject(f"no whole NPZ object: {error!r}") from error


def _load(data: bytes) -> Any:
    return np.load(io.BytesIO(data), allow_pickle=False)


def _metadata(file: Any) -> dict[str, Any]:
    whole: dict[str, Any] = json.loads(file["metadata"].tobytes())
    return whole


def _npy(array: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, np.ascontiguousarray(array), allow_pickle=False)
    return out.getvalue()


def _arrays(column: Column, data: ColumnData) -> Arrays:
    name = column.name
    if isinstance(data, Text):
        return {name: data.codes, f"{name}_values": np.array(data.values, np.str_)}
    if isinstance(data, Masked):
        return {name: data.values, f"{name}_valid": data.valid}
    if isinstance(data, Bytes):
        valid = {} if data.valid is None else {f"{name}_valid": data.valid}
        return {name: data.data, f"{name}_offsets": data.offsets, **valid}
    return {name: data}


def _block(file: Any) -> Block:
    columns = {column.name: _column(column, file) for column in COLUMNS}
    return Block(len(file["tick"]), columns)


def _column(column: Column, file: Any) -> ColumnData:
    name = column.name
    if column.kind == "text":
        return Text(tuple(file[f"{name}_values"].tolist()), file[name])
    if column.kind == "bytes":
        return Bytes(file[name], file[f"{name}_offsets"], file[f"{name}_valid"] if column.nullable else None)
    if column.nullable:
        return Masked(file[name], file[f"{name}_valid"])
    found: NDArray[Any] = file[name]
    return found


FORMAT = Format("npz", "npz", write, read, read_metadata, read_keys)
