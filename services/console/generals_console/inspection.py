"""One record as text and as a picture: a board, or a player's planes with the mask and the reward."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from confluent_kafka import Message
from matplotlib.figure import Figure

from generals_client import flat
from generals_console.ranges import TELL_THE_END, Range, read_ranges, whole_log
from generals_console.tail import describe, record_kind
from generals_runtime.errors import OperatorError
from generals_runtime.kafka import make_consumer
from generals_runtime.settings import KafkaSettings
from generals_schemas.actions import DIRECTION_NAMES, decode
from generals_schemas.codec import decode_batch, decode_chunk
from generals_schemas.records import ExperienceBatch, TransitionChunk

COLUMNS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Inspected:
    """A record: what `tail` says of it, and the record itself if it is a chunk or a batch."""

    summary: dict[str, Any]
    record: TransitionChunk | ExperienceBatch | None


def fetch(kafka: KafkaSettings, topic: str, partition: int, offset: int) -> Inspected:
    """Read one record.

    Raises:
        OperatorError: the partition or offset is not there.
    """
    message = _read(kafka, topic, partition, offset)
    kind = record_kind(kafka, topic)
    summary = describe(message, kind)
    if "error" in summary:
        return Inspected(summary, None)
    value = message.value() or b""
    if kind == "TransitionChunk":
        return Inspected(summary, decode_chunk(value))
    return Inspected(summary, decode_batch(value) if kind == "ExperienceBatch" else None)


def step_facts(batch: ExperienceBatch, step: int) -> dict[str, Any]:
    """One experience of a batch in words."""
    whole = flat(batch)
    action = int(batch.actions[step])
    move = decode(action, batch.width, batch.height)
    text = f"({move.x}, {move.y}) {DIRECTION_NAMES[move.direction]}{' half' * move.split}" if move else "pass"
    return {
        "tick": batch.first_tick + step,
        "action": action,
        "move": text,
        "legal": bool(whole.action_mask[step, action]),
        "legal_actions": int(whole.action_mask[step].sum()),
        "reward": float(batch.rewards[step]),
        "terminated": bool(whole.terminated[step]),
        "truncated": bool(whole.truncated[step]),
        "source": f"{batch.source.topic}[{batch.source.partition}] offset {batch.source.offset}",
    }


def draw_batch(batch: ExperienceBatch, step: int, target: Path) -> None:
    """The channels of one state, and how many moves each tile has, as a picture."""
    whole = flat(batch)
    state = whole.state[step]
    moves = whole.action_mask[step, : 4 * batch.width * batch.height].reshape(batch.height, batch.width, 4).sum(axis=2)
    titles = [*(channel.name for channel in whole.encoding.channels), "moves a tile has"]
    pictures = [*state, moves]
    rows = -(-len(pictures) // COLUMNS)
    figure = Figure(figsize=(3.2 * COLUMNS, 3.2 * rows), layout="constrained")
    for axes, title, picture in zip(figure.subplots(rows, COLUMNS, squeeze=False).flat, titles, pictures, strict=False):
        axes.imshow(np.asarray(picture, np.float32), cmap="viridis", vmin=0)
        axes.set_title(title.replace("_", " "), fontsize=9)
    for axes in figure.axes:
        axes.set_axis_off()
    title = f"{batch.game_id}, player {batch.player}, tick {batch.first_tick + step}"
    figure.suptitle(f"{title}: reward {batch.rewards[step]:+.4f}")
    figure.savefig(target, dpi=110)


def _read(kafka: KafkaSettings, topic: str, partition: int, offset: int) -> Message:
    consumer = make_consumer(kafka, group_id="generals-inspect", overrides=TELL_THE_END)
    try:
        ranges = whole_log(consumer, topic)
        span = ranges.get(partition)
        if span is None:
            raise OperatorError(f"{topic} has no partition {partition}; it has {len(ranges)}")
        if not span.first <= offset < span.end:
            raise OperatorError(f"{topic}[{partition}] holds offsets {span.first} … {span.end - 1}, not {offset}")
        for message in read_ranges(consumer, topic, {partition: Range(offset, offset + 1)}):
            return message
        raise OperatorError(
            f"{topic}[{partition}] has no committed record at offset {offset}: somebody writes there in transactions"
        )
    finally:
        consumer.close()
