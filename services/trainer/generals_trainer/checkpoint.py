"""Checkpoints: one file, written whole or not at all, in a thread of its own.

It holds what the log cannot give back: weights, optimizer, random states, priorities, the order of what the buffers
held, and the positions of all partitions. The buffers' contents are read from the log again. Loading executes nothing
from the file (`weights_only`).
"""

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from generals_client.positions import Position
from generals_runtime.errors import OperatorError
from generals_trainer.buffers import BuffersSnapshot
from generals_trainer.samples import Layout, Snapshot

VERSION = 2
NAME = "checkpoint.pt"


class CheckpointError(OperatorError):
    """A checkpoint that cannot be used; the message says which and why."""


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """Everything the trainer is, at one moment. `learner` as its `state()` gives it; `progress` is plain numbers."""

    layout: Layout
    learner: dict[str, Any]
    buffers: BuffersSnapshot
    positions: tuple[Position, ...]
    progress: dict[str, int]


def save(checkpoint: Checkpoint, directory: Path, name: str = NAME) -> Path:
    """Write it durably beside the old one, then put it in its place. Goes with what a killed process left half done."""
    directory.mkdir(parents=True, exist_ok=True)
    for abandoned in directory.glob(f".{name}.*"):
        abandoned.unlink(missing_ok=True)
    target = directory / name
    temporary = directory / f".{name}.{os.getpid()}"
    try:
        with temporary.open("wb") as file:
            torch.save(_pack(checkpoint), file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(directory)
    return target


def load(directory: Path, name: str = NAME) -> Checkpoint | None:
    """The newest checkpoint in a directory, None if there is none.

    Raises:
        CheckpointError: it is damaged, or of another version of this program.
    """
    file = directory / name
    if not file.exists():
        return None
    try:
        packed = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch lets zip, pickle and I/O errors through
        raise CheckpointError(f"{file} cannot be read ({error}); move it away to start anew") from error
    version = packed.get("version") if isinstance(packed, dict) else None
    if version != VERSION:
        raise CheckpointError(
            f"{file} is of format {version}, this program reads {VERSION}; move it away to start anew"
        )
    return _unpack(packed)


class Writer:
    """Saves in the background, one checkpoint at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None

    @property
    def busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self, checkpoint: Checkpoint, done: Callable[[Checkpoint, float], None]) -> None:
        """Save; `done(checkpoint, seconds)` is called from the thread once it is durable. Waits for the one before.

        Raises:
            CheckpointError: an earlier one could not be written.
        """
        self.wait()
        self._thread = threading.Thread(target=self._save, args=(checkpoint, done), name="checkpoint", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until nothing is being written. Raises as `start`."""
        if self._thread is not None:
            self._thread.join()
        if self._failure is not None:
            raise CheckpointError(
                f"a checkpoint could not be written to {self._directory}: {self._failure}"
            ) from self._failure

    def _save(self, checkpoint: Checkpoint, done: Callable[[Checkpoint, float], None]) -> None:
        begun = time.perf_counter()
        try:
            save(checkpoint, self._directory)
        except Exception as error:  # `wait` raises it where somebody sees it
            self._failure = error
            return
        done(checkpoint, time.perf_counter() - begun)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _pack(checkpoint: Checkpoint) -> dict[str, Any]:
    """Tensors, numbers and texts only."""
    return {
        "version": VERSION,
        "layout": json.dumps(checkpoint.layout),
        "learner": checkpoint.learner,
        "positions": json.dumps([position.to_json() for position in checkpoint.positions]),
        "progress": dict(checkpoint.progress),
        "sequence": checkpoint.buffers.sequence,
        "generator": checkpoint.buffers.generator,
        "buffers": [_pack_buffer(snapshot) for snapshot in checkpoint.buffers.buffers],
    }


def _unpack(packed: dict[str, Any]) -> Checkpoint:
    buffers = tuple(_unpack_buffer(part) for part in packed["buffers"])
    return Checkpoint(
        layout=layout_from(packed["layout"]),
        learner=packed["learner"],
        buffers=BuffersSnapshot(buffers, packed["sequence"], packed["generator"]),
        positions=tuple(Position.from_json(saved) for saved in json.loads(packed["positions"])),
        progress={str(name): int(value) for name, value in packed["progress"].items()},
    )


def _pack_buffer(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "layout": json.dumps(snapshot.layout),
        "capacity": snapshot.capacity,
        "blocks": torch.from_numpy(snapshot.blocks),
        "leaves": torch.from_numpy(snapshot.leaves),
        # Two bytes a use; torch's unsigned 16-bit type is young, the signed one holds the same bits.
        "uses": torch.from_numpy(snapshot.uses.view(np.int16)),
        "head": snapshot.head,
        "max_leaf": snapshot.max_leaf,
        "generator": json.dumps(snapshot.generator),
        "counters": dict(snapshot.counters),
    }


def _unpack_buffer(packed: dict[str, Any]) -> Snapshot:
    return Snapshot(
        layout=layout_from(packed["layout"]),
        capacity=int(packed["capacity"]),
        blocks=packed["blocks"].numpy(),
        leaves=packed["leaves"].numpy(),
        uses=packed["uses"].numpy().view(np.uint16),
        head=int(packed["head"]),
        max_leaf=float(packed["max_leaf"]),
        generator=json.loads(packed["generator"]),
        counters=dict(packed["counters"]),
    )


def layout_from(text: str) -> Layout:
    """A layout from its JSON."""
    width, height, encoding, params, planes, scalars = json.loads(text)
    return Layout(
        width, height, encoding, tuple((name, value) for name, value in params), tuple(planes), tuple(scalars)
    )
