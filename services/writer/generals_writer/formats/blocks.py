"""Batches to blocks of columns and back, exactly. Everything but the states, which are in `states.py`."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generals_schemas.records import ExperienceBatch, PolicyRef, Source
from generals_writer.formats.columns import Block, ColumnData, Masked, Text
from generals_writer.formats.configs import Configs
from generals_writer.formats.entries import Entry, Storable
from generals_writer.formats.states import StateReader, state_columns


def to_block(entries: Sequence[Storable], configs: Configs) -> Block:
    """Columns of entries in archive order; configurations not yet in `configs` are added to it."""
    batches = [entry.batch for entry in entries]
    steps = np.array([batch.steps for batch in batches], np.int64)
    total = int(steps.sum())

    def repeated(values: Sequence[int], dtype: str) -> NDArray[Any]:
        return np.repeat(np.array(values, dtype), steps)

    def text(values: Sequence[str]) -> Text:
        unique = {value: code for code, value in enumerate(dict.fromkeys(values))}
        return Text(tuple(unique), repeated([unique[value] for value in values], "i4"))

    last = np.cumsum(steps) - 1
    starts = last + 1 - steps
    first_ticks = repeated([batch.first_tick for batch in batches], "i4")
    columns: dict[str, ColumnData] = {
        "game_id": text([batch.game_id for batch in batches]),
        "player": repeated([batch.player for batch in batches], "u1"),
        "tick": first_ticks + (np.arange(total, dtype=np.int32) - np.repeat(starts, steps).astype(np.int32)),
        "chunk": repeated([batch.chunk for batch in batches], "i4"),
        "action": np.concatenate([batch.actions for batch in batches]),
        "reward": np.concatenate([batch.rewards for batch in batches]),
        "terminated": _at(total, last, [batch.end == "terminated" for batch in batches]),
        "truncated": _at(total, last, [batch.end == "truncated" for batch in batches]),
        "log_prob": _log_probs(batches, steps),
        "policy": text([batch.policy.name for batch in batches]),
        "policy_version": repeated([batch.policy.version for batch in batches], "i8"),
        "width": repeated([batch.width for batch in batches], "u1"),
        "height": repeated([batch.height for batch in batches], "u1"),
        "wide": repeated([batch.armies.dtype.itemsize == 4 for batch in batches], "?"),
        "encoding": text([batch.encoding for batch in batches]),
        "reward_name": text([batch.reward for batch in batches]),
        "config_version": text([batch.config_version for batch in batches]),
        "config": repeated([configs.index(batch) for batch in batches], "u2"),
        "time": repeated([entry.timestamp_ms for entry in entries], "i8"),
        "offset": repeated([entry.offset for entry in entries], "i8"),
        "source_partition": repeated([batch.source.partition for batch in batches], "i4"),
        "source_offset": repeated([batch.source.offset for batch in batches], "i8"),
        "batch_index": repeated([batch.source.index for batch in batches], "u2"),
        "batch_count": repeated([batch.source.count for batch in batches], "u2"),
    }
    columns.update(state_columns(batches, steps, last))
    return Block(total, columns)


def from_block(block: Block, configs: Configs) -> Iterator[Entry]:
    """The entries of a block, in archive order, exactly as they were stored."""
    offsets = np.asarray(block.numbers("offset"))
    if not block.rows:
        return
    borders = np.flatnonzero(np.diff(offsets)) + 1
    edges = [0, *borders.tolist(), block.rows]
    reader = _BlockReader(block, configs)
    for start, end in pairwise(edges):
        yield reader.entry(start, end)


class _BlockReader:
    """Rebuilds batches from runs of rows. Per-batch values are read from the run's first row."""

    def __init__(self, block: Block, configs: Configs) -> None:
        self._block = block
        self._configs = configs
        self._numbers: dict[str, NDArray[Any]] = {
            name: data for name, data in block.columns.items() if isinstance(data, np.ndarray)
        }
        self._texts = {name: data for name, data in block.columns.items() if isinstance(data, Text)}
        self._ends = {name: np.asarray(block.numbers(name)) for name in ("terminated", "truncated")}
        self._log_prob = block.masked("log_prob")
        self._state = StateReader(block, "")
        self._next = StateReader(block, "next_")

    def entry(self, start: int, end: int) -> Entry:
        config = self._configs.entries[self._number("config", start)]
        tiles = self._number("width", start) * self._number("height", start)
        planes, scalars = len(config.planes), len(config.scalars)
        shape = (tiles, planes, scalars, bool(self._number("wide", start)))
        rows = [self._state.arrays(start, end, *shape)]
        if self._next.stored(end - 1):
            rows.append(self._next.arrays(end - 1, end, *shape))
        else:
            rows = [self._state.arrays(start, end + 1, *shape)]
        armies, bits, floats = (_joined(parts) for parts in zip(*rows, strict=True))
        batch = ExperienceBatch(
            game_id=self._text("game_id", start),
            chunk=self._number("chunk", start),
            player=self._number("player", start),
            first_tick=self._number("tick", start),
            width=self._number("width", start),
            height=self._number("height", start),
            encoding=self._text("encoding", start),
            encoding_params=dict(config.encoding_params),
            reward=self._text("reward_name", start),
            reward_params=dict(config.reward_params),
            policy=PolicyRef(self._text("policy", start), self._number("policy_version", start)),
            config_version=self._text("config_version", start),
            planes=config.planes,
            scalar_names=config.scalars,
            armies=armies,
            bits=bits,
            scalars=floats,
            actions=self._numbers["action"][start:end],
            rewards=self._numbers["reward"][start:end],
            log_probs=self._log_prob.values[start:end] if self._log_prob.valid[start] else None,
            end=self._end(end - 1),
            source=Source(
                topic=config.source_topic,
                topic_id=config.source_topic_id,
                partition=self._number("source_partition", start),
                offset=self._number("source_offset", start),
                index=self._number("batch_index", start),
                count=self._number("batch_count", start),
            ),
        )
        return Entry(batch, self._number("offset", start), self._number("time", start))

    def _number(self, name: str, row: int) -> int:
        return int(self._numbers[name][row])

    def _text(self, name: str, row: int) -> str:
        column = self._texts[name]
        return column.values[int(column.codes[row])]

    def _end(self, row: int) -> Any:
        return next((name for name, column in self._ends.items() if column[row]), "none")


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _at(total: int, rows: NDArray[np.int64], values: Sequence[bool]) -> NDArray[np.bool_]:
    column = np.zeros(total, np.bool_)
    column[rows] = values
    return column


def _log_probs(batches: Sequence[ExperienceBatch], steps: NDArray[np.int64]) -> Masked:
    valid = np.repeat(np.array([batch.log_probs is not None for batch in batches], np.bool_), steps)
    values = np.zeros(len(valid), np.float32)
    if valid.any():
        values[valid] = np.concatenate([batch.log_probs for batch in batches if batch.log_probs is not None])
    return Masked(values, valid)
