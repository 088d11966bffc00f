"""The fields of a chunk, read by hand: fastavro takes 20 µs for each, a tenth of all that a collector does with it.

The twin of `chunk_writer`. What the chunks of a worker's games share is parsed once and then known by its bytes, as in
`batch_reader`. Whatever is not as the writer writes it is left to fastavro, whose word counts.
"""

import threading
from typing import Any

import fastavro

from generals_schemas.avro_binary import read_bytes, read_long, read_longs, read_text
from generals_schemas.errors import BadRecord
from generals_schemas.framing import CHECKSUM_BYTES, HEADER_BYTES, check_frame, parse_at, schema
from generals_schemas.records import EndReason, Outcome, PolicyRef

_CHUNK = schema("transition_chunk")
_OF_SHARED = ("rules_version", "width", "height", "teams", "policies")
_SHARED = fastavro.parse_schema(
    {
        "type": "record",
        "name": "generals.Shared",
        "fields": [field for field in _CHUNK.definition["fields"] if field["name"] in _OF_SHARED],
    }
)
_ARMY_DTYPES = ("u2", "u4")
_REASONS: tuple[EndReason, ...] = ("won", "stalemate", "tick_limit", "aborted")
_MOST_SHARED = 64


class _Met(threading.local):
    """What chunks shared that a thread has met, the latest first: bytes and fields."""

    def __init__(self) -> None:
        self.known: list[tuple[bytes, dict[str, Any]]] = []


_met = _Met()


def read_chunk(record: bytes) -> dict[str, Any]:
    """The fields of a chunk, its arrays still one compressed block; `teams`, `policies`, `outcome` as in the record.

    Raises:
        BadRecord, UnknownSchema: as `framing.Schema.read`.
    """
    check_frame(record)
    if record.startswith(_CHUNK.header):
        try:
            fields, end = _fields(record)
        except (IndexError, ValueError, BadRecord):
            return _typed(_CHUNK.read(record))
        if end == len(record):
            return fields
    return _typed(_CHUNK.read(record))


def _fields(record: bytes) -> tuple[dict[str, Any], int]:
    game_id, at = read_text(record, HEADER_BYTES)
    (chunk, first_tick, ticks), at = read_longs(record, at, 3)
    shared, at = _shared(record, at)
    (map_seed, policy_seed, army), at = read_longs(record, at, 3)
    log_probs, memory = record[at], record[at + 1]
    outcome, at = _outcome(record, at + 2)
    codec, at = read_long(record, at)
    arrays, at = read_bytes(record, at)
    if army not in (0, 1) or log_probs > 1 or memory > 1 or codec != 0:
        raise ValueError("not as the writer writes")
    return {
        "game_id": game_id,
        "chunk": chunk,
        "first_tick": first_tick,
        "ticks": ticks,
        **shared,
        "map_seed": map_seed,
        "policy_seed": policy_seed,
        "army_dtype": _ARMY_DTYPES[army],
        "has_log_probs": bool(log_probs),
        "has_memory": bool(memory),
        "outcome": outcome,
        "codec": "zstd_rows",
        "arrays": arrays,
        "checksum": record[at : at + CHECKSUM_BYTES],
    }, at + CHECKSUM_BYTES


def _shared(record: bytes, at: int) -> tuple[dict[str, Any], int]:
    """The fields that stand from `at` on, `_OF_SHARED`, and where they end."""
    known = _met.known
    for place, (written, fields) in enumerate(known):
        if record.startswith(written, at):
            if place:
                known.insert(0, known.pop(place))
            return fields, at + len(written)
    found, end = parse_at(record, at, "chunk", _SHARED)
    known.insert(0, (record[at:end], _of_players(found)))
    del known[_MOST_SHARED:]
    return known[0][1], end


def _outcome(record: bytes, at: int) -> tuple[Outcome | None, int]:
    branch, at = read_long(record, at)
    if branch == 0:
        return None, at
    count, at = read_long(record, at)
    winners: list[int] = []
    if count:
        winners, at = read_longs(record, at, count)
        end, at = read_long(record, at)
        if end != 0:
            raise ValueError("not as the writer writes")
    reason, at = read_long(record, at)
    if branch != 1 or count < 0 or not 0 <= reason < len(_REASONS):
        raise ValueError("not as the writer writes")
    return Outcome(tuple(winners), _REASONS[reason]), at


def _of_players(fields: dict[str, Any]) -> dict[str, Any]:
    policies = tuple(PolicyRef(**policy) for policy in fields["policies"])
    return {**fields, "teams": tuple(fields["teams"]), "policies": policies}


def _typed(fields: dict[str, Any]) -> dict[str, Any]:
    """With the types of `TransitionChunk` where Avro's are others."""
    outcome = fields["outcome"]
    found = Outcome(tuple(outcome["winners"]), outcome["reason"]) if outcome else None
    return {**_of_players(fields), "outcome": found}
