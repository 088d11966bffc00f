"""`generals tail`: attach any group to any topic and look."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from confluent_kafka import Message

from generals_client.client_errors import passes
from generals_runtime.kafka import KafkaUnavailable, make_consumer, partitions_of
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import decode_batch, decode_chunk, decode_game, decode_policy
from generals_schemas.errors import SchemaError
from generals_schemas.records import ExperienceBatch, TransitionChunk


def follow(kafka: KafkaSettings, topic: str, group: str, *, start: str, limit: int | None) -> Iterator[dict[str, Any]]:
    """Describe records as they come, committing as a member of `group`. Ends after `limit` records, else never.

    Raises:
        TopicMissing, KafkaUnavailable.
    """
    consumer = make_consumer(kafka, group_id=group, overrides={"auto.offset.reset": start})
    try:
        partitions_of(consumer, topic)  # subscribing to a topic that is not there would wait for it for ever
        consumer.subscribe([topic])
        seen = 0
        while limit is None or seen < limit:
            message = consumer.poll(0.2)
            if message is None:
                continue
            error = message.error()
            if error is not None:
                if passes(error):
                    continue
                raise KafkaUnavailable(f"{topic}: {error.str()}")
            seen += 1
            yield describe(message, record_kind(kafka, topic))
            consumer.commit(message=message, asynchronous=True)
    finally:
        consumer.close()


def describe(message: Message, kind: str) -> dict[str, Any]:
    """A record in a few plain values: coordinates, headers, and what its kind makes of it."""
    value = message.value() or b""
    found: dict[str, Any] = {
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp_ms": message.timestamp()[1],
        "key": _text(message.key()),
        "bytes": len(value),
    }
    headers = message.headers()
    if isinstance(headers, list):
        found["headers"] = {name: _text(content) for name, content in headers}
    try:
        return {**found, **_content(value, kind)}
    except SchemaError as error:
        return {**found, "error": str(error)}


def _content(value: bytes, kind: str) -> dict[str, Any]:
    if kind == "TransitionChunk":
        return chunk_summary(decode_chunk(value))
    if kind == "ExperienceBatch":
        return batch_summary(decode_batch(value))
    if kind == "GameSummary":
        return asdict(decode_game(value))
    return asdict(decode_policy(value)) if kind == "PolicyPointer" and value else {}


def chunk_summary(chunk: TransitionChunk) -> dict[str, Any]:
    """The header of a chunk."""
    return {
        "game_id": chunk.game_id,
        "chunk": chunk.chunk,
        "ticks": [chunk.first_tick, chunk.first_tick + chunk.ticks - 1],
        "board": f"{chunk.width}x{chunk.height}",
        "policies": [f"{policy.name}@{policy.version}" for policy in chunk.policies],
        "outcome": asdict(chunk.outcome) if chunk.outcome else None,
    }


def batch_summary(batch: ExperienceBatch) -> dict[str, Any]:
    """The header of an experience batch."""
    source = {"partition": batch.source.partition, "offset": batch.source.offset, "index": batch.source.index}
    if batch.rejected is not None:
        return {"rejected": batch.rejected, "source": source}
    return {
        "game_id": batch.game_id,
        "player": batch.player,
        "ticks": [batch.first_tick, batch.first_tick + batch.steps - 1],
        "board": f"{batch.width}x{batch.height}",
        "policy": f"{batch.policy.name}@{batch.policy.version}",
        "reward": round(float(batch.rewards.sum()), 4),
        "end": batch.end,
        "source": source,
    }


def record_kind(kafka: KafkaSettings, topic: str) -> str:
    """What a topic's records are, as topics.yaml names it; empty for a topic that is not of the contract."""
    return next((spec.value for spec in kafka.topics() if spec.name == topic), "")


def _text(value: bytes | str | None) -> str | None:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value
