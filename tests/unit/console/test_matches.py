"""`generals evaluate`, `tournament` and the end of `learn`: what they say of matches, for programs and for people."""

import json
from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread
from typer.testing import CliRunner

from generals_console.learning import LearnOptions
from generals_console.main import app
from generals_trainer.ratings import Score


def generals(command: str) -> str:
    done = CliRunner().invoke(app, command.split())
    assert done.exit_code == 0, f"{done.output} {done.exception}"
    return done.stdout


def test_expander_is_found_to_be_better_than_random() -> None:
    match = json.loads(generals("evaluate --policy expander --opponent random --games 20 --size 8 --seed 3 --json"))
    assert (match["policy"], match["opponent"], match["games"]) == ("expander", "random", 20)
    score = Score(match["wins"], match["losses"], match["draws"])
    assert score.games == 20
    assert score.wins > 3 * max(1, score.losses)
    assert match["win_rate"] == pytest.approx(score.win_rate)
    assert 0.5 < match["ci_low"] < match["win_rate"] <= match["ci_high"] <= 1.0
    assert match["mean_ticks"] > 20
    back = json.loads(generals("evaluate --policy random --opponent expander --games 20 --size 8 --seed 3 --json"))
    assert back["ci_high"] < 0.5


def test_a_match_is_a_row_for_people() -> None:
    command = "evaluate --policy expander --opponent random --games 6 --size 8 --seed 3"
    match = json.loads(generals(f"{command} --json"))
    names, row = generals(command).splitlines()
    assert names.split() == ["opponent", "win", "rate", "95%", "from", "to", "wins", "losses", "draws"]
    assert row.split()[:2] == ["random", f"{match['win_rate']:.3f}"]
    assert row.split()[4:] == [str(match[name]) for name in ("wins", "losses", "draws")]


def test_a_tournament_puts_the_better_first_and_the_first_named_at_0() -> None:
    command = "tournament random expander harvester --games 10 --size 8 --seed 3"
    rated = {row["player"]: row for row in json.loads(generals(f"{command} --json"))}
    assert list(rated) == sorted(rated, key=lambda name: -rated[name]["elo"])
    assert rated["random"]["elo"] == 0
    assert rated["expander"]["elo"] > rated["random"]["elo"]
    assert [row["games"] for row in rated.values()] == [20, 20, 20]
    assert all(row["error"] > 0 for name, row in rated.items() if name != "random")
    names, *rows = generals(f"{command} --anchor expander").splitlines()
    assert names.split() == ["player", "Elo", "95%", "games"]
    assert [row.split()[0] for row in rows] == list(rated)
    assert next(row.split()[1] for row in rows if row.split()[0] == "expander") == "0"


def test_what_has_learnt_plays_random_and_expander(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[LearnOptions] = []

    def learnt(options: LearnOptions, _stop: object, _say: object) -> Path:
        asked.append(options)
        options.run_dir.mkdir()
        return Path("expander")

    monkeypatch.setattr("generals_console.learning.run_learn", learnt)
    result: dict[str, Any] = json.loads(generals(f"learn --games 6 --updates 70 --run-dir {tmp_path / 'run'} --json"))
    assert [(one.updates, one.run_dir) for one in asked] == [(70, tmp_path / "run")]
    assert result["policy"] == "expander"
    assert {name: match["games"] for name, match in result["matches"].items()} == {"random": 6, "expander": 6}
    assert result["matches"]["random"]["win_rate"] > 0.5
    assert json.loads((tmp_path / "run" / "matches.json").read_text()) == result["matches"]
    assert imread(result["report"]).ndim == 3
