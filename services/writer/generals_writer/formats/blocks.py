"""Batches to blocks of columns and back, exactly. Everything but the states, which are in `states.py`."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generals_schemas.records import End, ExperienceBatch, PolicyRef, Source
from generals_writer.formats.columns import BY_NAME, Block, Column, ColumnData, Masked, Text
from generals_writer.formats.configs import Config, Configs
from generals_writer.formats.entries import Entry, Storable
from generals_writer.formats.states import StateColumns, StateReader

_OF_FIELDS = {
    "game_id": "game_id", "player": "player", "chunk": "chunk", "width": "width", "height": "height",
    "encoding": "encoding", "reward_name": "reward", "config_version": "config_version",
    "source_partition": "source_partition", "source_offset": "source_offset", "batch_index": "batch_index",
    "batch_count": "batch_count",
}  # fmt: skip
"""The columns that have a field's value in all rows of a batch, and that field's name."""


def to_block(entries: Sequence[Storable], configs: Configs) -> Block:
    """Columns of entries in archive order; configurations not yet in `configs` are added to it."""
    steps = np.array([entry.steps for entry in entries], np.int64)
    batches = [entry.fields for entry in entries]
    of_steps, states = _OfSteps(int(steps.sum())), StateColumns(steps)
    for entry, fields in zip(entries, batches, strict=True):
        arrays = entry.arrays
        of_steps.add(arrays)
        states.add(fields, arrays)
    columns: dict[str, ColumnData] = {
        name: _repeated(BY_NAME[name], values, steps) for name, values in _of_batches(entries, batches, configs).items()
    }
    return Block(of_steps.total, {**columns, **_of_place(batches, steps), **of_steps.columns(), **states.finish()})


def _of_batches(
    entries: Sequence[Storable], batches: Sequence[dict[str, Any]], configs: Configs
) -> dict[str, list[Any]]:
    """The columns in which all rows of a batch have one value: that of each batch."""
    policies = [fields["policy"] for fields in batches]
    return {
        **{name: [fields[field] for fields in batches] for name, field in _OF_FIELDS.items()},
        "policy": [policy.name for policy in policies],
        "policy_version": [policy.version for policy in policies],
        "wide": [fields["army_dtype"] == "u4" for fields in batches],
        "config": [configs.index(fields) for fields in batches],
        "time": [entry.timestamp_ms for entry in entries],
        "offset": [entry.offset for entry in entries],
    }


def _of_place(batches: Sequence[dict[str, Any]], steps: NDArray[np.int64]) -> dict[str, ColumnData]:
    """The columns that tell where in its batch a row stands: its tick, and whether the game ended with it."""
    last = np.cumsum(steps) - 1
    first_ticks = np.array([fields["first_tick"] for fields in batches], np.int64)
    ticks = np.arange(steps.sum()) + np.repeat(first_ticks - (last + 1 - steps), steps)
    columns: dict[str, ColumnData] = {"tick": ticks.astype(np.int32)}
    ends = [fields["end"] for fields in batches]
    for name in ("terminated", "truncated"):
        ended = np.zeros(len(ticks), np.bool_)
        ended[last] = [end == name for end in ends]
        columns[name] = ended
    return columns


def _repeated(column: Column, values: Sequence[Any], steps: NDArray[np.int64]) -> NDArray[Any] | Text:
    """A value a batch to a value a row."""
    if column.kind != "text":
        return np.repeat(np.array(values, column.dtype), steps)
    codes = {value: code for code, value in enumerate(dict.fromkeys(values))}
    return Text(tuple(codes), np.repeat(np.array([codes[value] for value in values], np.int32), steps))


class _OfSteps:
    """The columns that have a number of each step: actions, rewards, log-probabilities."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._actions = np.empty(total, np.int32)
        self._rewards = np.empty(total, np.float32)
        self._log_probs = Masked(np.zeros(total, np.float32), np.zeros(total, np.bool_))
        self._filled = 0

    def add(self, arrays: dict[str, NDArray[Any]]) -> None:
        actions = arrays["actions"]
        rows = slice(self._filled, self._filled + len(actions))
        self._actions[rows] = actions
        self._rewards[rows] = arrays["rewards"]
        log_probs = arrays.get("log_probs")
        if log_probs is not None:
            self._log_probs.values[rows] = log_probs
            self._log_probs.valid[rows] = True
        self._filled = rows.stop

    def columns(self) -> dict[str, ColumnData]:
        return {"action": self._actions, "reward": self._rewards, "log_prob": self._log_probs}


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
