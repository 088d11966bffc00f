"""What `generals rules replay` prints, and how it exits."""

import json
import shutil
from pathlib import Path

import pytest

from generals_engine.replay_cli import replay_files

DATA = Path(__file__).parents[2] / "data"
RING = DATA / "replays" / "synthetic-ring-01.json"
SHORT = DATA / "gior" / "v16-06p-01-short_game.gior"

OUTCOME = ["winner", "end_tick", "captures", "deaths", "trades", "executed_moves", "board_sha256_16"]


def test_one_file_is_one_object_with_the_outcome_and_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert replay_files([RING], as_json=True) == 0
    printed = json.loads(capsys.readouterr().out)
    expected = json.loads(RING.read_text())["expected"]
    assert list(printed) == ["file", *OUTCOME]
    assert printed == {"file": str(RING), **expected}


def test_several_files_are_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert replay_files([RING, SHORT], as_json=True) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["file"] for line in lines] == [str(RING), str(SHORT)]
    assert json.loads(lines[1])["winner"] == 2


def test_a_malformed_file_is_named_and_the_others_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(json.loads(RING.read_text()) | {"width": "five"}))
    missing = tmp_path / "missing.json"
    assert replay_files([broken, missing, RING], as_json=True) == 1
    printed = capsys.readouterr()
    assert [json.loads(line)["file"] for line in printed.out.splitlines()] == [str(RING)]
    assert f"{broken}: width is 'five'; a whole number was expected" in printed.err
    assert str(missing) in printed.err


def test_people_get_a_sentence_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = tmp_path / "changed.json"
    shutil.copy(RING, changed)
    record = json.loads(changed.read_text())
    record["expected"]["winner"] = 3
    changed.write_text(json.dumps(record))
    assert replay_files([RING, changed], as_json=False) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{RING}: player 0 won at tick 21, 22 moves")
    assert first.endswith("as expected")
    assert second.endswith("differs from what was expected in winner")
