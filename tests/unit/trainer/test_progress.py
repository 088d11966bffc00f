"""Returns of games, from their first chunk to their end, and a history of the whole run that stays small."""

import itertools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
