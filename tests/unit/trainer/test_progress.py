"""Returns of games, from their first chunk to their end, and a history of the whole run that stays small."""

import itertools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from generals_trainer.progress import Files, Returns


def test_a_return_is_of_a_whole_game(make_batch: Any) -> None:
    returns = Returns()
    returns.add(make_batch(game="late", chunk=1, end="terminated"))  # its beginning was not seen
    assert returns.mean is None
    batches = [make_batch(game="whole", chunk=chunk, end=end) for chunk, end in enumerate(["none", "terminated"])]
    for batch in batches:
        returns.add(batch)
    assert returns.mean == pytest.approx(float(np.sum([batch.rewards.sum(dtype=np.float64) for batch in batches])))


def test_games_whose_end_never_comes_make_room(make_batch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Returns, "MOST_OPEN", 10)
    returns = Returns()
    for game in range(100):
        returns.add(make_batch(game=str(game), chunk=0, end="none"))
    assert len(returns._open) == 10
    returns.add(make_batch(game="99", chunk=1, end="terminated"))
    assert returns.mean is not None


def test_a_history_is_of_the_whole_run_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Files, "MOST_LINES", 600)
    seconds = itertools.count()
    monkeypatch.setattr(time, "time_ns", lambda: next(seconds) * 1_000_000_000)
    for begin in range(0, 10_000, 1_000):  # ten lives of one run
        files = Files(tmp_path, tensorboard=False)
        for step in range(begin, begin + 1_000):
            files.write({"trainer_steps": step})
        files.close()
    steps = [json.loads(line)["trainer_steps"] for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert len(steps) <= 600
    assert steps[0] == 0
    assert steps[-100:] == list(range(9_900, 10_000))  # the newest are all there
    ages = 10_000 - np.asarray(steps[1:])
    assert np.all(np.diff(steps) >= 1)
    assert np.all(np.diff(steps) <= 1 + 0.021 * ages)  # thinner further back, yet nowhere empty
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.jsonl", "status.json"]


@pytest.mark.parametrize("half", ['{"trainer_steps": 7, "los', "7", '{"trainer_steps": 7}'])
def test_a_line_that_was_not_written_to_its_end_is_cut_off(
    half: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Files, "MOST_LINES", 3)
    history = tmp_path / "history.jsonl"
    Files(tmp_path, tensorboard=False).write({"trainer_steps": 6})
    with history.open("a") as file:
        file.write(half)
    files = Files(tmp_path, tensorboard=False)
    for step in range(8, 13):  # the older ones are thinned, for which each line is read
        files.write({"trainer_steps": step})
    steps = [json.loads(line)["trainer_steps"] for line in history.read_text().splitlines()]
    assert (steps[0], steps[-1]) == (6, 12)
    assert 7 not in steps


def test_tensorboard_has_a_curve_of_each_number(tmp_path: Path) -> None:
    files = Files(tmp_path, tensorboard=True)
    for step in (10, 20, 30):
        files.write({"trainer_steps": step, "loss": 1 / step, "mean_return": None, "layout": "8x8"})
    files.close()
    curves = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert set(curves.Tags()["scalars"]) == {"trainer_steps", "loss", "time_ms"}
    loss = curves.Scalars("loss")
    assert [point.step for point in loss] == [10, 20, 30]
    assert [point.value for point in loss] == pytest.approx([1 / 10, 1 / 20, 1 / 30])
