"""The results page says what was measured, by which command, on which machine, beside whom; and nothing else."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

PROGRAM = Path(__file__).parents[3] / "benchmarks" / "results.py"
HEADER = {"made_by": "python benchmarks/thing.py", "machine": "M, 2 cores", "date": "2026-01-01", "load": [0.1, 1.2]}
FIGURE = {
    "id": "P4", "name": "one process", "value": 250000.0, "unit": "experiences/s", "peer": "naive",
    "peer_value": 50000.0, "ratio": 5.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def results() -> ModuleType:
    spec = importlib.util.spec_from_file_location("results_page", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def write(folder: Path, name: str, *lines: dict[str, object]) -> None:
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def made(results: ModuleType, folder: Path) -> str:
    assert results.main(["--lines", str(folder), "--page", str(folder / "results.md")]) == 0
    return (folder / "results.md").read_text()


def test_the_page_has_figure_peer_command_machine_date_and_picture(results: ModuleType, tmp_path: Path) -> None:
    write(tmp_path, "thing", HEADER, FIGURE)
    page = made(results, tmp_path)
    assert "| one process | 250,000 | experiences/s | naive | 50,000 | 5 |" in page
    for said in ("python benchmarks/thing.py", "M, 2 cores", "2026-01-01", "load 0.1 before and 1.2 after"):
        assert said in page
    assert "(results/P4-thing.png)" in page
    assert (tmp_path / "results" / "P4-thing.png").stat().st_size > 1000


def test_the_live_figure_is_said_to_be_without_a_learner_at_work(results: ModuleType, tmp_path: Path) -> None:
    write(tmp_path, "thing", HEADER, {**FIGURE, "id": "P1"})
    assert "one machine; the learner takes no steps, and the engine is held back" in made(results, tmp_path)


def test_rows_that_nobody_measured_are_named(results: ModuleType, tmp_path: Path) -> None:
    write(tmp_path, "thing", HEADER, FIGURE)
    assert "Not measured yet: P1, P2, P3, P5" in made(results, tmp_path)


@pytest.mark.parametrize(
    ("row", "figure", "value", "said"),
    [
        ("P6", "to float32", 999_999, "Missed"),
        ("P6", "to float32", 1_000_000, "Met"),
        ("P6", "to float32, fresh", 2_000_000, "Not measured"),
        ("P12", "replay_bytes_per_experience", 3_501, "Missed"),
        ("P12", "replay_bytes_per_experience", 671, "Met"),
    ],
)
def test_a_target_is_said_to_be_met_or_missed(
    results: ModuleType, tmp_path: Path, row: str, figure: str, value: float, said: str
) -> None:
    write(tmp_path, "thing", HEADER, {**FIGURE, "id": row, "name": figure, "value": value})
    page = made(results, tmp_path)
    assert f"**{said}.**" in page
    assert f"Targets met: {int(said == 'Met')} of 1." in page
    assert (f"{said}: {row}." in page) == (said != "Met")


def test_a_target_beside_peers_needs_the_ratio_to_each(results: ModuleType, tmp_path: Path) -> None:
    rounds = {**FIGURE, "id": "P7", "name": "prioritised_rounds_per_s"}
    write(
        tmp_path,
        "thing",
        HEADER,
        {**rounds, "peer": "cpprb", "ratio": 1.6},
        {**rounds, "peer": "torchrl", "ratio": 3.9},
    )
    assert "**Missed.**" in made(results, tmp_path)
    write(
        tmp_path, "thing", HEADER, {**rounds, "peer": "cpprb", "ratio": 1.6}, {**rounds, "peer": "torchrl", "ratio": 4}
    )
    assert "**Met.**" in made(results, tmp_path)
    write(tmp_path, "thing", HEADER, {**rounds, "peer": "cpprb", "ratio": 1.6})
    assert "**Not measured.**" in made(results, tmp_path)


def test_a_figure_without_a_peer_has_no_ratio_and_no_picture(results: ModuleType, tmp_path: Path) -> None:
    write(tmp_path, "thing", HEADER, {**FIGURE, "peer": None, "peer_value": None, "ratio": None})
    page = made(results, tmp_path)
    assert "| one process | 250,000 | experiences/s | – | – | – |" in page
    assert ".png" not in page


def test_a_line_that_is_no_figure_is_named(results: ModuleType, tmp_path: Path) -> None:
    write(tmp_path, "thing", HEADER, {"id": "P4", "name": "no value"})
    with pytest.raises(SystemExit, match=r"thing.jsonl line 2 lacks"):
        results.main(["--lines", str(tmp_path), "--page", str(tmp_path / "results.md")])


def test_a_failed_benchmark_keeps_its_older_figures(
    results: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "thing", HEADER, FIGURE)
    (tmp_path / "thing.py").write_text("raise SystemExit(3)\n")
    monkeypatch.setattr(results, "HERE", tmp_path)
    assert results.main(["--run", "thing", "--lines", str(tmp_path), "--page", str(tmp_path / "results.md")]) == 1
    assert "250,000" in (tmp_path / "results.md").read_text()
