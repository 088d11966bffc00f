"""Checkpoints: whole or not at all, and everything comes back."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from generals_client.positions import Mark, Position
from generals_trainer import checkpoint
from generals_trainer.buffers import ReplayBuffers
from generals_trainer.checkpoint import Checkpoint, CheckpointError
from generals_trainer.learner import DoubleDQN
from generals_trainer.samples import Layout, LayoutMismatch
from generals_trainer.settings import LearnerSettings, ReplaySettings

POSITIONS = (Position("experiences", 0, 7, Mark(3, 1, 2), "id", {9: 4}), Position("experiences", 1, 2))


def make_state(make_batch: Any) -> tuple[Checkpoint, ReplayBuffers, DoubleDQN]:
    batch = make_batch(width=5, height=5, scalars=0, steps=9, end="terminated")
    buffers = ReplayBuffers(ReplaySettings(capacity=300, n_step=3), seed=4)
    for offset in range(30):
        side = 5 + offset % 2
        other = make_batch(
            width=side, height=5, scalars=0, steps=9, end="terminated", seed=offset, game=str(offset), largest=70_000
        )
        buffers.insert(other, partition=0, offset=offset)
    learner = DoubleDQN(Layout.of(batch), LearnerSettings(batch_size=8), device=torch.device("cpu"), seed=1)
    for _ in range(3):
        sample = buffers.sample(8, beta=0.5)
        buffers.update_priorities(sample, learner.learn(sample).errors)
    progress = {"steps": 3, "inserted": 270, "sampled": 24, "version": 2}
    return Checkpoint(Layout.of(batch), learner.state(), buffers.snapshot(), POSITIONS, progress), buffers, learner


def test_what_is_loaded_goes_on_as_what_was_saved(make_batch: Any, tmp_path: Path) -> None:
    state, buffers, learner = make_state(make_batch)
    checkpoint.save(state, tmp_path)
    loaded = checkpoint.load(tmp_path)
    assert loaded is not None
    assert (loaded.layout, loaded.positions, loaded.progress) == (state.layout, state.positions, state.progress)
    again = ReplayBuffers(ReplaySettings(capacity=300, n_step=3), seed=99)
    again.begin_refill(loaded.buffers)
    for sequence, partition, offset in loaded.buffers.wanted():
        side = 5 + offset % 2
        batch = make_batch(
            width=side, height=5, scalars=0, steps=9, end="terminated", seed=offset, game=str(offset), largest=70_000
        )
        again.put_back(batch, sequence=sequence, partition=partition, offset=offset)
    again.end_refill(loaded.buffers)
    other = DoubleDQN(loaded.layout, LearnerSettings(batch_size=8), device=torch.device("cpu"), seed=50)
    other.restore(loaded.learner)
    for _ in range(20):
        first, second = buffers.sample(8, beta=0.5), again.sample(8, beta=0.5)
        assert first.layout == second.layout
        np.testing.assert_array_equal(first.serials, second.serials)
        np.testing.assert_array_equal(first.states.armies, second.states.armies)
        ours, theirs = learner.learn(first), other.learn(second)
        np.testing.assert_array_equal(ours.errors, theirs.errors)
        buffers.update_priorities(first, ours.errors)
        again.update_priorities(second, theirs.errors)


def test_there_is_none_at_first(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path) is None


def test_a_crash_while_saving_leaves_the_old_one(
    make_batch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, _, _ = make_state(make_batch)
    checkpoint.save(state, tmp_path)

    def tear(packed: Any, file: Any) -> None:
        file.write(b"half a checkp")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", tear)
    writer = checkpoint.Writer(tmp_path)
    writer.start(state, lambda saved, seconds: pytest.fail("it was not saved"))
    with pytest.raises(CheckpointError, match="no space left"):
        writer.wait()
    loaded = checkpoint.load(tmp_path)
    assert loaded is not None
    assert loaded.progress == state.progress
    assert [file.name for file in tmp_path.iterdir()] == [checkpoint.NAME], "nothing half done is left"


def test_what_a_killed_process_left_half_done_goes(make_batch: Any, tmp_path: Path) -> None:
    (tmp_path / f".{checkpoint.NAME}.4711").write_bytes(b"half a checkp")
    checkpoint.save(make_state(make_batch)[0], tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [checkpoint.NAME]


def test_a_state_that_cannot_be_saved_is_an_error_not_a_silence(make_batch: Any, tmp_path: Path) -> None:
    state, _, _ = make_state(make_batch)
    writer = checkpoint.Writer(tmp_path)
    writer.start(replace(state, learner={"mine": lambda: None}), lambda saved, seconds: pytest.fail("it was not saved"))
    with pytest.raises(CheckpointError, match="could not be written"):
        writer.wait()


def test_a_file_with_code_in_it_is_not_executed(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (print, ("executed",))

    torch.save({"version": checkpoint.VERSION, "learner": Evil()}, tmp_path / checkpoint.NAME, pickle_module=pickle)
    with pytest.raises(CheckpointError, match="cannot be read"):
        checkpoint.load(tmp_path)


def test_another_format_is_named(tmp_path: Path) -> None:
    torch.save({"version": 99}, tmp_path / checkpoint.NAME)
    with pytest.raises(CheckpointError, match="format 99"):
        checkpoint.load(tmp_path)


def test_each_board_size_has_its_own_buffer_and_is_sampled_by_its_share(make_batch: Any) -> None:
    buffers = ReplayBuffers(ReplaySettings(capacity=300, alpha=0.0, board_sizes=2), seed=4)
    for offset in range(4):
        small = offset == 0
        batch = make_batch(width=5 if small else 6, steps=9, end="terminated", seed=offset, game=str(offset))
        buffers.insert(batch, partition=0, offset=offset)
    drawn = [buffers.sample(4, beta=1.0).layout.width for _ in range(400)]
    assert drawn.count(5) / 400 == pytest.approx(0.25, abs=0.08)
    with pytest.raises(LayoutMismatch, match="board_sizes"):
        buffers.insert(make_batch(width=7, end="terminated"), partition=0, offset=9)


def test_another_encoding_is_refused_by_name(make_batch: Any) -> None:
    buffers = ReplayBuffers(ReplaySettings(), seed=4)
    buffers.insert(make_batch(scalars=0), partition=0, offset=0)
    with pytest.raises(LayoutMismatch, match="one trainer reads one encoding"):
        buffers.insert(make_batch(scalars=2, width=9), partition=0, offset=1)
