"""The recorded games, replayed: the judges of the rules."""

from pathlib import Path

import pytest
from generals_engine import recorded

REPLAYS = sorted((Path(__file__).parents[2] / "data" / "replays").glob("*.json"))


def test_all_recorded_games_are_here() -> None:
    assert len(REPLAYS) == 28


@pytest.mark.parametrize("path", REPLAYS, ids=lambda path: path.stem)
def test_a_recorded_game_comes_out_as_it_did(path: Path) -> None:
    game = recorded.load(path)
    assert recorded.replay(game).to_json() == game.expected
