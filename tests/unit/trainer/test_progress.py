"""Returns of games: from their first chunk to their end, and no memory of those that never end."""

from typing import Any

import numpy as np
import pytest

from generals_trainer.progress import Returns


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
