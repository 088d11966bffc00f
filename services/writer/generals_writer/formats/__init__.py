"""The formats of archived objects, by name. One file each; all hold the columns of `columns.py` and give back the same
entries, exactly."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generals_writer.formats.columns import Text
from generals_writer.formats.entries import Entry, Storable

FORMAT_NAMES = ("parquet", "npz", "tfrecord")


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """What makes each row unique. player, tick: `[N]`."""

    game_id: Text
    player: NDArray[np.uint8]
    tick: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.player)


@dataclass(frozen=True, slots=True)
class Format:
    """How entries become an object and come back. `write` is a function: the same input, the same bytes.

    write: entries and metadata (JSON) to bytes.  read: the entries, in archive order.
    metadata: what `write` was given.  keys: the key columns of all rows, cheaply.
    index: where each row begins, as a file of its own beside the object, for formats that have none inside.
    All but `write` raise CorruptObject for bytes that are not what `write` made.
    """

    name: str
    extension: str
    write: Callable[[Sequence[Storable], dict[str, Any]], bytes]
    read: Callable[[bytes], Iterator[Entry]]
    metadata: Callable[[bytes], dict[str, Any]]
    keys: Callable[[bytes], Keys]
    index: Callable[[bytes], bytes] | None = None


def get_format(name: str) -> Format:
    """A format by name.

    Raises:
        ValueError: there is none; the message lists those there are.
    """
    if name not in FORMAT_NAMES:
        raise ValueError(f"format {name!r} is unknown; there are {', '.join(FORMAT_NAMES)}")
    found = import_module(f"{__name__}.{name}").FORMAT
    if not isinstance(found, Format):
        raise TypeError(f"{name}.FORMAT is {type(found).__name__}")
    return found


EXTENSIONS = {"parquet": "parquet", "npz": "npz", "tfrecord": "tfrecord.gz"}


def format_of(key: str) -> Format | None:
    """The format of an object by how its name ends; None if it is no object of ours."""
    return next((get_format(name) for name, end in EXTENSIONS.items() if key.endswith(f".{end}")), None)


def require_format(key: str) -> Format:
    """As `format_of`, for names that are known to be of ours."""
    found = format_of(key)
    if found is None:
        raise ValueError(f"{key} ends in none of {', '.join(EXTENSIONS.values())}")
    return found
