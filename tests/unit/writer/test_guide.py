"""The guide says the truth: its table is that of the code, its recipes run and compute what they say."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.random import default_rng
from simulated_archive import MemoryLog, life, run
from synthetic_play import play

from generals_runtime.objects import open_store
from generals_schemas.codec import encode_batch
from generals_schemas.records import ExperienceBatch
from generals_writer.build import LogRecord
from generals_writer.formats.columns import COLUMNS

GUIDE = (Path(__file__).parents[3] / "docs" / "guides" / "archive.md").read_text(encoding="utf-8")


@pytest.fixture
def recipes(seed: int, tmp_path: Path) -> tuple[dict[str, Any], list[ExperienceBatch]]:
    """All recipes run in one namespace, as one would type them; the live one runs in the integration tests."""
    rng = default_rng(seed)
    batches = list(play(rng, games=3, chunks=4, ticks=16, side=(10, 11)))
    records = [LogRecord(n, 1_750_000_000_000 + n * 600_000, encode_batch(b)) for n, b in enumerate(batches)]
    run(life(open_store(tmp_path), MemoryLog(records), rng, "w"))  # type: ignore[arg-type]
    names: dict[str, Any] = {"ARCHIVE": str(tmp_path)}
    for recipe in re.findall(r"```python\n(.*?)```", GUIDE.split("## From the past into the present")[0], re.DOTALL):
        exec(recipe, names)  # noqa: S102 - code of a page in this repository, which it tests
    return names, batches


def test_the_table_has_every_column_with_its_meaning() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| (.+) \|$", GUIDE, re.MULTILINE)
    documented = [(name, meaning) for name, _, meaning in rows if name not in ("parquet", "npz", "tfrecord")]
    assert documented == [(column.name, column.meaning) for column in COLUMNS]


def test_the_recipes_compute_what_they_say(recipes: tuple[dict[str, Any], list[ExperienceBatch]]) -> None:
    names, batches = recipes
    steps = sum(batch.steps for batch in batches)
    by_version = names["win_rate"].set_index("policy_version")
    assert by_version["games"].to_dict() == {0: 3, 1: 3}
    assert by_version["undecided"].to_dict() == {0: 1.0, 1: 1.0}
    turns = names["reward_by_turn"].set_index("turn")
    first = [r for b in batches if b.chunk == 0 for r in b.rewards[:2]]
    assert turns["reward"][0] == pytest.approx(np.mean(np.array(first, np.float64)), abs=1e-9)
    assert int(turns["experiences"].sum()) == steps
    game = min(batch.game_id for batch in batches)
    actions = [a for b in batches if (b.game_id, b.player) == (game, 0) for a in b.actions]
    assert names["moves"]["action"].tolist() == actions
    assert len(names["rewards"]) == -(-steps // 256)
    assert names["seen"] == steps
    assert names["heat"].tolist() == changes_of_hands(batches).tolist()


def changes_of_hands(batches: list[ExperienceBatch]) -> Any:
    """The long way: the own plane of player 0, state by state (each game's last state has no row of its own)."""
    heat = np.zeros((10, 10), np.int64)
    for game in {batch.game_id for batch in batches}:
        mine = [b for b in batches if (b.game_id, b.player) == (game, 0)]
        states = np.concatenate([b.bits[:-1, 0] for b in mine])
        own = np.unpackbits(states, axis=1, count=100, bitorder="little").reshape(-1, 10, 10)
        for one, two in pairwise(own):
            heat += one != two
    return heat
