"""Batches to blocks of columns and back, exactly. Everything but the states, which are in `states.py`."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generals_schemas.records import End, ExperienceBatch, PolicyRef, Source
from generals_writer.formats.columns import Block, ColumnData, Masked, Text
from generals_writer.formats.configs import Config, Configs
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
    if block.rows:
        reader = _BlockReader(block, configs)
        yield from (reader.entry(batch) for batch in range(reader.batches))


class _BlockReader:
    """Rebuilds batches from runs of rows of one record. What is the same for a batch is read from its first row."""

    def __init__(self, block: Block, configs: Configs) -> None:
        borders = np.flatnonzero(np.diff(block.numbers("offset"))) + 1
        self._edges = [0, *borders.tolist(), block.rows]
        self.batches = len(self._edges) - 1
        starts, lasts = np.array(self._edges[:-1]), np.array(self._edges[1:]) - 1
        self._firsts: dict[str, list[Any]] = {}
        for name, data in block.columns.items():
            if isinstance(data, Text):
                self._firsts[name] = [data.values[code] for code in data.codes[starts].tolist()]
            elif isinstance(data, np.ndarray):
                self._firsts[name] = data[starts].tolist()
        terminated, truncated = (block.numbers(name)[lasts].tolist() for name in ("terminated", "truncated"))
        self._ends: list[End] = [
            "terminated" if over else "truncated" if cut else "none"
            for over, cut in zip(terminated, truncated, strict=True)
        ]
        self._actions, self._rewards = block.numbers("action"), block.numbers("reward")
        self._log_prob = block.masked("log_prob")
        self._configs = configs
        self._state = StateReader(block, "")
        self._next = StateReader(block, "next_")

    def entry(self, at: int) -> Entry:
        first = {name: values[at] for name, values in self._firsts.items()}
        start, end = self._edges[at], self._edges[at + 1]
        config = self._configs.entries[first["config"]]
        armies, bits, scalars = self._states(start, end, first["width"] * first["height"], config, first["wide"])
        batch = ExperienceBatch(
            game_id=first["game_id"],
            chunk=first["chunk"],
            player=first["player"],
            first_tick=first["tick"],
            width=first["width"],
            height=first["height"],
            encoding=first["encoding"],
            encoding_params=dict(config.encoding_params),
            reward=first["reward_name"],
            reward_params=dict(config.reward_params),
            policy=PolicyRef(first["policy"], first["policy_version"]),
            config_version=first["config_version"],
            planes=config.planes,
            scalar_names=config.scalars,
            armies=armies,
            bits=bits,
            scalars=scalars,
            actions=self._actions[start:end],
            rewards=self._rewards[start:end],
            log_probs=self._log_prob.values[start:end] if self._log_prob.valid[start] else None,
            end=self._ends[at],
            source=Source(
                topic=config.source_topic,
                topic_id=config.source_topic_id,
                partition=first["source_partition"],
                offset=first["source_offset"],
                index=first["batch_index"],
                count=first["batch_count"],
            ),
        )
        return Entry(batch, first["offset"], first["time"])

    def _states(
        self, start: int, end: int, tiles: int, config: Config, wide: bool
    ) -> tuple[NDArray[Any], NDArray[np.uint8], NDArray[np.float32]]:
        """The N + 1 states: the last is stored beside the last step, or is the next row's."""
        shape = (tiles, len(config.planes), len(config.scalars), wide)
        if not self._next.stored(end - 1):
            return self._state.arrays(start, end + 1, *shape)
        armies, bits, scalars = self._state.arrays(start, end, *shape)
        last_armies, last_bits, last_scalars = self._next.arrays(end - 1, end, *shape)
        return (
            np.concatenate((armies, last_armies)),
            np.concatenate((bits, last_bits)),
            np.concatenate((scalars, last_scalars)),
        )


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
