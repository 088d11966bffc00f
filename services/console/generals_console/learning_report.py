"""The picture of a learning run: returns, losses, rates, staleness, and the matches at its end."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from generals_console.learning import read_history

CURVES = (
    ("mean_return", "return of the last 500 games", "#2563eb"),
    ("loss", "loss", "#7c3aed"),
    ("td_error", "mean |TD error|", "#7c3aed"),
    ("q_value", "mean value of the actions taken", "#0d9488"),
    ("steps_per_s", "updates a second", "#475569"),
    ("inserts_per_s", "experiences inserted a second", "#475569"),
    ("staleness_p99", "staleness p99, versions", "#b45309"),
    ("samples_per_insert", "samples an insertion", "#b45309"),
)


def write_learning_report(run_dir: Path, matches: Mapping[str, Mapping[str, Any]]) -> Path:
    """`learning.png` beside the run's other files. Takes the trainer's `history.jsonl`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    history = read_history(run_dir / "trainer")
    figure, axes = pyplot.subplots(3, 3, figsize=(13, 9), constrained_layout=True)
    for axis, (name, title, colour) in zip(axes.flat, CURVES, strict=False):
        points = [(row["trainer_steps"], row[name]) for row in history if row.get(name) is not None]
        axis.plot([x for x, _ in points], [y for _, y in points], color=colour, linewidth=1.2)
        axis.set(title=title, xlabel="updates")
        axis.grid(alpha=0.25)
    _draw_matches(axes.flat[-1], matches)
    picture = run_dir / "learning.png"
    figure.savefig(picture, dpi=110)
    pyplot.close(figure)
    (run_dir / "matches.json").write_text(json.dumps(dict(matches), indent=2) + "\n", encoding="utf-8")
    return picture


def _draw_matches(axis: Any, matches: Mapping[str, Mapping[str, Any]]) -> None:
    """Bars of the win rates with their intervals."""
    names = list(matches)
    rates = [matches[name]["win_rate"] for name in names]
    errors = [
        [rate - matches[name]["ci_low"] for name, rate in zip(names, rates, strict=True)],
        [matches[name]["ci_high"] - rate for name, rate in zip(names, rates, strict=True)],
    ]
    axis.bar(names, rates, yerr=errors, color="#16a34a", capsize=6)
    axis.axhline(0.5, color="#94a3b8", linestyle="--", linewidth=1)
    axis.set(title="win rate (draws as half), 95%", ylim=(0, 1))
