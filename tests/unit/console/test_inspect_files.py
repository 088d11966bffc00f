"""`generals inspect` of files: archived objects of all formats and checkpoints, as text and as a picture."""

import json
from pathlib import Path

import pytest
import torch
from numpy.random import default_rng
from synthetic_play import play
from typer.testing import CliRunner

from generals_console.main import app
from generals_schemas.records import ExperienceBatch
from generals_trainer import checkpoint
from generals_trainer.buffers import ReplayBuffers
from generals_trainer.learner import DoubleDQN
from generals_trainer.samples import Layout
from generals_trainer.settings import LearnerSettings, ReplaySettings
from generals_writer.formats import FORMAT_NAMES, get_format
from generals_writer.formats.entries import Entry, archive_order

METADATA = {"segment": {"topic": "generals.experiences", "first": 7}, "rows": 1}


def inspect(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["inspect", *map(str, arguments), "--json"])
    return done.exit_code, done.stdout or done.output


def made(folder: Path, name: str, batches: list[ExperienceBatch]) -> Path:
    form = get_format(name)
    path = folder / f"object.{form.extension}"
    path.write_bytes(form.write([Entry(batch, n, 1_750_000_000_000 + n) for n, batch in enumerate(batches)], METADATA))
    return path


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_an_object_tells_what_it_holds_and_draws_any_of_its_rows(name: str, tmp_path: Path, seed: int) -> None:
    batches = list(play(default_rng(seed), games=3, chunks=2, ticks=5))
    path = made(tmp_path, name, batches)
    rows = sum(batch.steps for batch in batches)
    stored = [entry.batch for entry in archive_order([Entry(batch, n, 0) for n, batch in enumerate(batches)])]
    code, said = inspect(path, "--step", str(rows - 1), "--png", tmp_path / "row.png")
    assert code == 0, said
    facts = json.loads(said)
    assert (facts["format"], facts["experiences"], facts["segment"]) == (name, rows, METADATA["segment"])
    assert facts["games"] == len({batch.game_id for batch in batches})
    last = stored[-1]
    assert (facts["game"], facts["player"]) == (last.game_id, last.player)
    assert facts["tick"] == last.first_tick + last.steps - 1
    assert facts["reward"] == pytest.approx(float(last.rewards[-1]))
    assert (tmp_path / "row.png").read_bytes().startswith(b"\x89PNG")


def test_a_checkpoint_tells_how_far_it_is(tmp_path: Path, seed: int) -> None:
    batch = next(play(default_rng(seed), games=1, chunks=1, ticks=5))
    buffers = ReplayBuffers(ReplaySettings(capacity=500, n_step=3), seed=1)
    buffers.insert(batch, partition=0, offset=0)
    learner = DoubleDQN(Layout.of(batch), LearnerSettings(), device=torch.device("cpu"), seed=1)
    progress = {"steps": 5, "inserted": batch.steps, "sampled": 640, "version": 2}
    state = checkpoint.Checkpoint(Layout.of(batch), learner.state(), buffers.snapshot(), (), progress)
    code, said = inspect(checkpoint.save(state, tmp_path))
    assert code == 0, said
    facts = json.loads(said)
    assert (facts["steps"], facts["version"], facts["buffered_batches"]) == (5, 2, 1)
    assert facts["weights"] == sum(parameter.numel() for parameter in learner.network.parameters())
    assert facts["board"] == f"{batch.width} x {batch.height}"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nothing.parquet", None, "cannot be read"),
        ("broken.parquet", b"PAR1 no", "broken.parquet"),
        ("broken.pt", b"no", "cannot be read"),
        ("object.csv", b"a,b", "neither a topic with partition and offset nor a file"),
    ],
)
def test_what_is_no_file_of_ours_is_named_in_one_line(
    name: str, content: bytes | None, message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = CliRunner().invoke(app, ["inspect", str(tmp_path / name)])
    assert done.exit_code != 0
    said = f"{done.output} {done.exception}"
    assert message in said
