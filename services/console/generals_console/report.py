"""The picture of a demo run: `report.png`, and `report.html` around it with the figures."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from generals_console.audit import AuditReport
from generals_console.board_picture import draw_board
from generals_console.ranges import TELL_THE_END, read_ranges, whole_log
from generals_console.stages import Reading, rate
from generals_runtime.kafka import make_consumer
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import decode_chunk, decode_game
from generals_schemas.errors import BadRecord
from generals_schemas.records import GameSummary, TransitionChunk

INK, MUTED = "#1f2937", "#6b7280"
STAGE_COLOURS = {"collected": "#2563eb", "archived": "#d97706", "inserted": "#059669"}


@dataclass(frozen=True, slots=True, eq=False)
class _Played:
    """What the topics say about the games: all summaries, and the last chunk of the longest finished game read."""

    games: list[GameSummary]
    last_chunk: TransitionChunk | None


def write_report(run_dir: Path, kafka: KafkaSettings, readings: Sequence[Reading], audit: AuditReport) -> Path:
    """Draw the run and write both files; returns the HTML's path."""
    played = _read_games(kafka)
    with mpl.rc_context({"font.size": 9, "axes.titlesize": 11, "axes.edgecolor": MUTED, "text.color": INK}):
        figure = Figure(figsize=(13, 7.5), layout="constrained")
        (rates, loss, rewards), (actions, lengths, board) = figure.subplots(2, 3)
        _draw_rates(rates, readings)
        _draw_loss(loss, readings)
        _draw_rewards(rewards, readings[-1])
        _draw_actions(actions, readings)
        _draw_lengths(lengths, played.games)
        _draw_last_board(board, played.last_chunk)
        for axes in (rates, loss, rewards, actions, lengths):
            axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(run_dir / "report.png", dpi=110)
    page = run_dir / "report.html"
    page.write_text(_page(run_dir / "report.png", readings[-1], audit), encoding="utf-8")
    return page


def _read_games(kafka: KafkaSettings) -> _Played:
    topics = kafka.topics()
    consumer = make_consumer(kafka, group_id="generals-report", overrides=TELL_THE_END)
    try:
        name = topics.games.name
        games = [decode_game(m.value() or b"") for m in read_ranges(consumer, name, whole_log(consumer, name))]
        name = topics.transitions.name
        last = None
        for message in read_ranges(consumer, name, {n: r for n, r in list(whole_log(consumer, name).items())[:1]}):
            try:
                chunk = decode_chunk(message.value() or b"")
            except BadRecord:  # counted by the audit; a picture can do without it
                continue
            if chunk.final and (last is None or chunk.first_tick > last.first_tick):
                last = chunk
    finally:
        consumer.close()
    return _Played(games, last)


def _draw_rates(axes: Axes, readings: Sequence[Reading]) -> None:
    start = readings[0].at_s
    for name, colour in STAGE_COLOURS.items():
        pairs = list(pairwise(readings))
        axes.plot(
            [after.at_s - start for _, after in pairs],
            [rate(before, after, name) for before, after in pairs],
            color=colour,
            label=name,
            linewidth=1.5,
        )
    axes.set(title="Experiences per second, by stage", xlabel="seconds", ylim=(0, None))
    axes.legend(frameon=False)


def _draw_loss(axes: Axes, readings: Sequence[Reading]) -> None:
    trained = [reading for reading in readings if reading.trainer_steps]
    axes.plot([r.trainer_steps for r in trained], [r.loss for r in trained], color="#7c3aed", linewidth=1.2)
    axes.set(title="Trainer: loss", xlabel="steps", ylim=(0, None))


def _draw_rewards(axes: Axes, reading: Reading) -> None:
    buckets = reading.services["collector"].by_label("generals_reward_bucket", "le")
    bounds = sorted(buckets, key=float)
    counts = np.diff([0.0, *(buckets[bound] for bound in bounds)])
    axes.bar(range(len(counts)), np.maximum(counts, 0), color="#2563eb")
    axes.set_xticks(range(len(counts)), [f"≤ {float(bound):g}" for bound in bounds], rotation=60)
    axes.set(title="Rewards (experiences, logarithmic)", yscale="symlog")


def _draw_actions(axes: Axes, readings: Sequence[Reading]) -> None:
    kinds = readings[-1].services["collector"].by_label("generals_actions_total", "kind")
    names = sorted(kinds, key=kinds.__getitem__)
    total = sum(kinds.values()) or 1.0
    axes.barh(names, [100 * kinds[name] / total for name in names], color="#0d9488")
    axes.set(title="Actions (%)")


def _draw_lengths(axes: Axes, games: Sequence[GameSummary]) -> None:
    reasons = sorted({game.reason for game in games})
    axes.hist(
        [[g.ticks for g in games if g.reason == reason] for reason in reasons], bins=30, stacked=True, label=reasons
    )
    axes.set(title=f"Length of {len(games):,} finished games", xlabel="ticks")
    if reasons:
        axes.legend(frameon=False)


def _draw_last_board(axes: Axes, chunk: TransitionChunk | None) -> None:
    if chunk is None:
        axes.set_axis_off()
        axes.set_title("No finished game")
        return
    draw_board(axes, chunk.tiles[-1], chunk.armies[-1], chunk.width)
    names = " against ".join(policy.name for policy in chunk.policies)
    axes.set_title(f"The last board of {names}, tick {chunk.first_tick + chunk.ticks}")


def _page(picture: Path, reading: Reading, audit: AuditReport) -> str:
    figures: list[tuple[str, Any]] = [
        ("games finished", audit.games_finished),
        ("experiences emitted", audit.experiences_emitted),
        ("collected", audit.experiences_collected),
        ("archived", audit.experiences_archived or 0),
        ("inserted", reading.inserted),
        ("lost", audit.missing),
        ("on their way", audit.pending),
        ("duplicates", audit.duplicates),
        ("trainer steps", reading.trainer_steps),
    ]
    cells = "".join(f"<div><b>{value:,}</b><span>{html.escape(name)}</span></div>" for name, value in figures)
    image = base64.b64encode(picture.read_bytes()).decode()
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Generals.io experience pipeline: a run</title>
<style>
 body {{ font: 15px/1.5 system-ui, sans-serif; color: {INK}; margin: 2rem auto; max-width: 1200px; padding: 0 1rem }}
 .figures {{ display: flex; flex-wrap: wrap; gap: .75rem; margin: 1rem 0 }}
 .figures div {{ border: 1px solid #e5e7eb; border-radius: .5rem; padding: .5rem 1rem }}
 .figures b {{ display: block; font-size: 1.4rem }} .figures span {{ color: {MUTED} }}
 img {{ width: 100% }}
</style>
<h1>A run of the pipeline</h1>
<p>Every experience of every game was counted in Kafka's topics and in the archive's objects, one by one and by the
readers' marks.</p>
<div class="figures">{cells}</div>
<img alt="Rates by stage, loss, rewards, actions, game lengths and a board" src="data:image/png;base64,{image}">
</html>
"""
