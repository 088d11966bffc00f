"""The fields of an experience batch, read by hand: every consumer reads every batch.

The twin of `batch_writer`. What nearly all batches of a policy share, some three hundred bytes in the middle, is parsed
once and then known by its bytes: Avro says itself where a value ends, so the same bytes are always the same fields.
They are shared, too, which spares the garbage collector most of what it would have to look at. Whatever is not as the
writer writes it (an older schema, damage) is left to fastavro, whose word counts.
"""

import threading
from typing import Any

import fastavro

from generals_schemas.avro_binary import read_bytes, read_long, read_longs, read_text
from generals_schemas.errors import BadRecord
from generals_schemas.framing import CHECKSUM_BYTES, HEADER_BYTES, check_frame, parse_at, schema
from generals_schemas.records import PolicyRef

_BATCH = schema("experience_batch")
_OF_RECIPE = (
    "encoding", "encoding_params", "reward", "reward_params", "policy", "config_version", "planes", "scalars",
    "army_dtype", "has_log_probs", "end", "source_topic", "source_topic_id",
)  # fmt: skip
_RECIPE = fastavro.parse_schema(
    {
        "type": "record",
        "name": "generals.Recipe",
        "fields": [field for field in _BATCH.definition["fields"] if field["name"] in _OF_RECIPE],
    }
)
_MOST_RECIPES = 64


class _Recipes(threading.local):
    """The recipes that a thread has met, the latest first: their bytes and their fields."""

    def __init__(self) -> None:
        self.known: list[tuple[bytes, dict[str, Any]]] = []


_recipes = _Recipes()


def read_batch(record: bytes) -> dict[str, Any]:
    """The fields of a batch, its arrays still one compressed block; `policy` a PolicyRef, names as tuples.

    Raises:
        BadRecord, UnknownSchema: as `framing.Schema.read`.
    """
    check_frame(record)
    if record.startswith(_BATCH.header):
        try:
            fields, end = _fields(record)
        except (IndexError, ValueError, BadRecord):
            return _typed(_BATCH.read(record))
        if end == len(record):
            return fields
    return _typed(_BATCH.read(record))


def _fields(record: bytes) -> tuple[dict[str, Any], int]:
    game_id, at = read_text(record, HEADER_BYTES)
    (chunk, player, first_tick, steps, width, height), at = read_longs(record, at, 6)
    recipe, at = _recipe(record, at)
    (partition, offset, index, count, is_rejected), at = read_longs(record, at, 5)
    rejected, at = read_text(record, at) if is_rejected else (None, at)
    codec, at = read_long(record, at)
    arrays, at = read_bytes(record, at)
    if is_rejected not in (0, 1) or codec != 0:
        raise ValueError("not as the writer writes")
    return {
        "game_id": game_id,
        "chunk": chunk,
        "player": player,
        "first_tick": first_tick,
        "steps": steps,
        "width": width,
        "height": height,
        **recipe,
        "source_partition": partition,
        "source_offset": offset,
        "batch_index": index,
        "batch_count": count,
        "rejected": rejected,
        "codec": "zstd_rows",
        "arrays": arrays,
        "checksum": record[at : at + CHECKSUM_BYTES],
    }, at + CHECKSUM_BYTES


def _recipe(record: bytes, at: int) -> tuple[dict[str, Any], int]:
    """The fields that stand from `at` on, `_OF_RECIPE`, and where they end."""
    known = _recipes.known
    for place, (written, fields) in enumerate(known):
        if record.startswith(written, at):
            if place:
                known.insert(0, known.pop(place))
            return fields, at + len(written)
    found, end = parse_at(record, at, "recipe", _RECIPE)
    known.insert(0, (record[at:end], _typed(found)))
    del known[_MOST_RECIPES:]
    return known[0][1], end


def _typed(fields: dict[str, Any]) -> dict[str, Any]:
    """With the types of `ExperienceBatch` where Avro's are others."""
    policy, planes, scalars = fields["policy"], tuple(fields["planes"]), tuple(fields["scalars"])
    return {**fields, "policy": PolicyRef(**policy), "planes": planes, "scalars": scalars}
