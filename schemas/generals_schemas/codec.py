"""Records to bytes and back. Structure is checked here; whether the values make sense is the collector's validation."""

from dataclasses import asdict
from functools import lru_cache
from typing import Any

from generals_schemas.actions import MAX_PLAYERS, MAX_SIDE
from generals_schemas.batch_reader import read_batch
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
    Source,
    TransitionChunk,
)

MAX_PLANES = 64
MAX_SCALARS = 1024

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
    _require_board(fields["width"], fields["height"])
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


def batch_source(record: bytes) -> Source:
    """Only where a batch came from; its arrays stay compressed. Raises as `decode_batch` does."""
    return _source(read_batch(record))


def decode_batch(record: bytes) -> ExperienceBatch:
    """An experience batch from its wire form; its arrays are read-only views.

    Raises:
        BadRecord: see its `reason`.
        UnknownSchema: written by another schema.
    """
    return unpack_batch(batch_fields(record))


def batch_fields(record: bytes) -> dict[str, Any]:
    """The checked fields of a batch, its arrays still one compressed block. Raises as `decode_batch` does."""
    fields = read_batch(record)
    steps, rejected = fields["steps"], fields["rejected"]
    if not 0 <= fields["batch_index"] < fields["batch_count"]:
        raise BadRecord("shape", "the batch index is outside its count")
    if rejected is None:
        if steps <= 0:
            raise BadRecord("shape", f"{steps} steps, not at least one")
        _require_board(fields["width"], fields["height"])
    elif not steps == fields["width"] == fields["height"] == 0:
        raise BadRecord("shape", "a rejected marker holds steps")
    if len(fields["planes"]) > MAX_PLANES:
        raise BadRecord("shape", f"more than {MAX_PLANES} planes")
    if len(fields["scalars"]) > MAX_SCALARS:
        raise BadRecord("shape", f"more than {MAX_SCALARS} scalars")
    return fields


def fields_source(fields: dict[str, Any]) -> Source:
    """Where the batch of `batch_fields` came from."""
    return _source(fields)


def unpack_batch(fields: dict[str, Any]) -> ExperienceBatch:
    """The batch of `batch_fields`. Raises BadRecord if its arrays are not of the size that the fields say."""
    steps = fields["steps"]
    arrays = unpack(
        fields["arrays"],
        _batch_layout(
            steps=steps,
            tiles=fields["width"] * fields["height"],
            planes=len(fields["planes"]),
            scalars=len(fields["scalars"]),
            army=fields["army_dtype"],
            log_probs=fields["has_log_probs"],
        ),
    )
    return ExperienceBatch(
        game_id=fields["game_id"],
        chunk=fields["chunk"],
        player=fields["player"],
        first_tick=fields["first_tick"],
        width=fields["width"],
        height=fields["height"],
        encoding=fields["encoding"],
        encoding_params=fields["encoding_params"],
        reward=fields["reward"],
        reward_params=fields["reward_params"],
        policy=fields["policy"],
        config_version=fields["config_version"],
        planes=fields["planes"],
        scalar_names=fields["scalars"],
        armies=arrays["armies"],
        bits=arrays["bits"],
        scalars=arrays["scalars"],
        actions=arrays["actions"],
        rewards=arrays["rewards"],
        log_probs=arrays.get("log_probs"),
        end=fields["end"],
        source=_source(fields),
        rejected=fields["rejected"],
    )


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


@lru_cache(maxsize=4096)
def _batch_layout(*, steps: int, tiles: int, planes: int, scalars: int, army: str, log_probs: bool) -> Layout:
    return layout(
        _batch_specs(steps=steps, tiles=tiles, planes=planes, scalars=scalars, army=army, log_probs=log_probs)
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


def _batch_specs(*, steps: int, tiles: int, planes: int, scalars: int, army: str, log_probs: bool) -> list[ArraySpec]:
    return [
        ("scalars", "<f4", (steps + 1, scalars)),
        ("actions", "<i4", (steps,)),
        ("rewards", "<f4", (steps,)),
        *([("log_probs", "<f4", (steps,))] if log_probs else []),
        ("armies", f"<{army}", (steps + 1, tiles)),
        ("bits", "u1", (steps + 1, planes, (tiles + 7) // 8)),
    ]


def _source(fields: dict[str, Any]) -> Source:
    return Source(
        topic=fields["source_topic"],
        topic_id=fields["source_topic_id"],
        partition=fields["source_partition"],
        offset=fields["source_offset"],
        index=fields["batch_index"],
        count=fields["batch_count"],
    )


def _require_board(width: int, height: int) -> None:
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise BadRecord("shape", f"a board of {width} x {height}: sides are 1 … {MAX_SIDE}")


def _require(condition: bool, reason: str, detail: str) -> None:
    if not condition:
        raise BadRecord(reason, detail)
