"""Records to bytes and back. Structure is checked here; whether the values make sense is the collector's validation."""

from dataclasses import asdict
from functools import lru_cache

from generals_schemas.actions import MAX_PLAYERS
from generals_schemas.batch_fields import batch_fields, require_board, unpack_batch
from generals_schemas.batch_writer import write_batch
from generals_schemas.blocks import ArraySpec, Layout, layout, unpack
from generals_schemas.chunk_writer import write_chunk
from generals_schemas.errors import BadRecord
from generals_schemas.framing import schema
from generals_schemas.records import (
    Capture,
    ExperienceBatch,
    GameSummary,
    Memory,
    Outcome,
    PolicyPointer,
    PolicyRef,
    TransitionChunk,
)

_CHUNK = schema("transition_chunk")
_GAME = schema("game_summary")
_POLICY = schema("policy_pointer")


def encode_chunk(chunk: TransitionChunk, packed: bytes | None = None) -> bytes:
    """The wire form of a chunk. packed: its arrays, if they are packed already.

    Raises:
        ValueError: an array has a wrong dtype or shape, or the board is wider or higher than 64.
    """
    return write_chunk(chunk, packed)


def decode_chunk(record: bytes) -> TransitionChunk:
    """A chunk from its wire form; its arrays are read-only views.

    Raises:
        BadRecord: see its `reason`.
        UnknownSchema: written by another schema.
    """
    fields = _CHUNK.read(record)
    players = len(fields["teams"])
    _require(2 <= players <= MAX_PLAYERS, "shape", f"{players} players, not 2 … {MAX_PLAYERS}")
    _require(len(fields["policies"]) == players, "shape", f"{len(fields['policies'])} policies for {players} players")
    _require(fields["ticks"] > 0, "shape", f"{fields['ticks']} ticks, not at least one")
    require_board(fields["width"], fields["height"])
    arrays = unpack(
        fields["arrays"],
        _chunk_layout(
            ticks=fields["ticks"],
            players=players,
            tiles=fields["width"] * fields["height"],
            army=fields["army_dtype"],
            log_probs=fields["has_log_probs"],
            memory=fields["has_memory"],
        ),
    )
    outcome = fields["outcome"]
    return TransitionChunk(
        game_id=fields["game_id"],
        chunk=fields["chunk"],
        first_tick=fields["first_tick"],
        rules_version=fields["rules_version"],
        width=fields["width"],
        height=fields["height"],
        teams=tuple(fields["teams"]),
        policies=tuple(PolicyRef(**policy) for policy in fields["policies"]),
        map_seed=fields["map_seed"],
        policy_seed=fields["policy_seed"],
        tiles=arrays["tiles"],
        armies=arrays["armies"],
        alive=arrays["alive"],
        actions=arrays["actions"],
        log_probs=arrays.get("log_probs"),
        memory=Memory(arrays["memory_tiles"], arrays["memory_armies"]) if fields["has_memory"] else None,
        outcome=Outcome(tuple(outcome["winners"]), outcome["reason"]) if outcome else None,
    )


def encode_batch(batch: ExperienceBatch) -> bytes:
    """The wire form of an experience batch.

    Raises:
        ValueError: an array has a wrong dtype or shape.
    """
    return write_batch(batch)


def decode_batch(record: bytes) -> ExperienceBatch:
    """An experience batch from its wire form; its arrays are read-only views.

    Raises:
        BadRecord: see its `reason`.
        UnknownSchema: written by another schema.
    """
    return unpack_batch(batch_fields(record))


def encode_game(game: GameSummary) -> bytes:
    """The wire form of a game summary."""
    return _GAME.write(asdict(game))


def decode_game(record: bytes) -> GameSummary:
    """A game summary from its wire form. Raises BadRecord, UnknownSchema."""
    fields = _GAME.read(record)
    fields.pop("checksum")
    return GameSummary(
        **{
            **fields,
            "winners": tuple(fields["winners"]),
            "teams": tuple(fields["teams"]),
            "policies": tuple(PolicyRef(**policy) for policy in fields["policies"]),
            "captures": tuple(Capture(**capture) for capture in fields["captures"]),
        }
    )


def encode_policy(pointer: PolicyPointer) -> bytes:
    """The wire form of a policy pointer."""
    return _POLICY.write(asdict(pointer))


def decode_policy(record: bytes) -> PolicyPointer:
    """A policy pointer from its wire form. Raises BadRecord, UnknownSchema."""
    fields = _POLICY.read(record)
    fields.pop("checksum")
    return PolicyPointer(**fields)


@lru_cache(maxsize=4096)
def _chunk_layout(*, ticks: int, players: int, tiles: int, army: str, log_probs: bool, memory: bool) -> Layout:
    return layout(
        _chunk_specs(ticks=ticks, players=players, tiles=tiles, army=army, log_probs=log_probs, memory=memory)
    )


def _chunk_specs(*, ticks: int, players: int, tiles: int, army: str, log_probs: bool, memory: bool) -> list[ArraySpec]:
    return [
        ("actions", "<i4", (ticks, players)),
        *([("log_probs", "<f4", (ticks, players))] if log_probs else []),
        ("armies", f"<{army}", (ticks + 1, tiles)),
        *([("memory_armies", f"<{army}", (players, tiles))] if memory else []),
        ("alive", "<u2", (ticks + 1,)),
        ("tiles", "u1", (ticks + 1, tiles)),
        *([("memory_tiles", "u1", (players, tiles))] if memory else []),
    ]


def _require(condition: bool, reason: str, detail: str) -> None:
    if not condition:
        raise BadRecord(reason, detail)
