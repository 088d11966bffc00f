"""`docs/results.md` and its pictures, from the JSON lines of the benchmarks. Nothing in that page is written by hand.

    python benchmarks/results.py                    # .benchmarks/*.jsonl → docs/results.md, docs/results/*.png
    python benchmarks/results.py --run pipeline     # run benchmarks/pipeline.py first, keeping its lines

Each file NAME.jsonl begins with a line that says how it was made: {"made_by": command, "machine": …, "date": …,
"commit": …, "load": [before, after]}. `--run` writes it; a file without one is shown as made by hand, which it was.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

HERE = Path(__file__).parent
REPOSITORY = HERE.parent
LINES = REPOSITORY / ".benchmarks"
PAGE = REPOSITORY / "docs" / "results.md"
PICTURES = REPOSITORY / "docs" / "results"
NO_BENCHMARKS = frozenset(
    {"answers", "count_tables", "environments", "live", "naive_faust", "real_play", "restart", "results"}
)


@dataclass(frozen=True)
class Bound:
    """What one figure of a row was aimed to be: its value, or its ratio to a peer if one is given."""

    figure: str
    value: float
    at_most: bool = False
    peer: str | None = None

    def judges(self, figure: dict[str, Any]) -> bool:
        return figure["name"] == self.figure and self.peer in (None, figure.get("peer"))

    def holds(self, figure: dict[str, Any]) -> bool:
        found = figure["value"] if self.peer is None else figure["ratio"]
        return bool(found <= self.value if self.at_most else found >= self.value)


@dataclass(frozen=True)
class Row:
    """One row of the page: what it is about, what was aimed at in words, and the same in figures."""

    title: str
    target: str
    bounds: tuple[Bound, ...]


ROWS: dict[str, Row] = {
    "P1": Row(
        "Live: engine → Kafka → Faust → Kafka → replay buffer and archive, one machine; the learner takes no steps, "
        "and the engine is held back while the rest is behind",
        "200,000 experiences/s",
        (Bound("live, the least of these", 200_000),),
    ),
    "P2": Row(
        "Engine: whole games, chunks encoded as they are sent",
        "600,000 ticks/s a core, random play",
        (Bound("engine_random_encoded", 600_000),),
    ),
    "P3": Row("Encode, mask, reward", "1,500,000 experiences/s a core", (Bound("encode + mask + reward", 1_500_000),)),
    "P4": Row(
        "One Faust collector process, broker beside it",
        "300,000 experiences/s, of chunks as engines send them at full speed",
        (Bound("one collector process, broker beside it, 256-tick chunks", 300_000),),
    ),
    "P5": Row(
        "Bytes an experience in the topic's log",
        "26 bytes, of 64-tick chunks",
        (Bound("experiences log on disk, 64-tick chunks", 26, at_most=True),),
    ),
    "P6": Row("Packed to float32 batches", "1,000,000 states/s a core", (Bound("to float32", 1_000_000),)),
    "P7": Row(
        "Prioritised replay buffer, 1M steps",
        "1.5 × cpprb, 4 × TorchRL",
        (
            Bound("prioritised_rounds_per_s", 1.5, peer="cpprb"),
            Bound("prioritised_rounds_per_s", 4, peer="torchrl"),
        ),
    ),
    "P8": Row(
        "Trainer fed by Kafka, beside the same fed from memory",
        "0.95",
        (Bound("trainer_updates_per_s_fed_by_kafka", 0.95, peer="fed from memory"),),
    ),
    "P9": Row(
        "Archive: write, read back; bytes each",
        "500,000 and 500,000 experiences/s, 30 bytes",
        (
            Bound("archive_write", 500_000),
            Bound("archive_read", 500_000),
            Bound("archive_bytes", 30, at_most=True),
        ),
    ),
    "P10": Row("Ten consumer groups at once, summed", "500,000 experiences/s", (Bound("10 groups, summed", 500_000),)),
    "P11": Row(
        "Live, beside dm-reverb on loopback",
        "1 ×",
        (Bound("live, engine to both sinks", 1, peer="dm-reverb on loopback"),),
    ),
    "P12": Row(
        "Memory an experience in the replay buffer",
        "3.5 KB",
        (Bound("replay_bytes_per_experience", 3_500, at_most=True),),
    ),
    "E11": Row(
        "How long a policy takes to answer for 128 games",
        "100 ms in 99 of 100 cases",
        tuple(
            Bound(f"answer_{policy}_128_games_p99", 100, at_most=True)
            for policy in ("random", "expander", "hunter", "harvester", "strategist", "onnx")
        ),
    ),
}
"""What each row measures, and what was aimed at."""


@dataclass(frozen=True)
class Made:
    """One file of lines: how it was made, and the figures in it."""

    name: str
    header: dict[str, Any]
    figures: list[dict[str, Any]]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", action="append", default=[], metavar="NAME", help="a benchmark to run first, or `all`")
    parser.add_argument("--lines", type=Path, default=LINES, help="where the JSON lines lie")
    parser.add_argument("--page", type=Path, default=PAGE, help="what to write; pictures beside it")
    options, handed_on = parser.parse_known_args(arguments)
    options.lines.mkdir(exist_ok=True)
    names = benchmarks() if "all" in options.run else options.run
    failed = [name for name in names if not run(name, handed_on, options.lines)]
    made = [read(path) for path in sorted(options.lines.glob("*.jsonl"))]
    pictures = options.page.with_suffix("")
    pictures.mkdir(parents=True, exist_ok=True)
    options.page.write_text(page(made, options.lines, pictures), encoding="utf-8")
    print(f"{options.page}: {sum(len(one.figures) for one in made)} figures", file=sys.stderr)
    for name in failed:
        print(f"benchmarks/{name}.py failed; its older figures, if any, were kept", file=sys.stderr)
    return 1 if failed else 0


def benchmarks() -> list[str]:
    """All programs here that measure something."""
    return [path.stem for path in sorted(HERE.glob("*.py")) if path.stem not in NO_BENCHMARKS]


def run(name: str, handed_on: Sequence[str], folder: Path) -> bool:
    """Run one benchmark; its lines replace those of its last run only if it succeeds."""
    command = [sys.executable, str(HERE / f"{name}.py"), *handed_on]
    print(f"python benchmarks/{name}.py {' '.join(handed_on)}".rstrip(), file=sys.stderr)
    begun, built_from, load = datetime.now(UTC), commit(), [round(os.getloadavg()[0], 1)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    header = {
        "made_by": f"python benchmarks/{name}.py {' '.join(handed_on)}".rstrip(),
        "machine": machine(),
        "date": begun.strftime("%Y-%m-%d %H:%M UTC"),
        "commit": built_from,
        "load": [*load, round(os.getloadavg()[0], 1)],
    }
    figures = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not figures:
        return False
    new = folder / f"{name}.new"
    new.write_text("\n".join([json.dumps(header), *figures]) + "\n", encoding="utf-8")
    new.replace(folder / f"{name}.jsonl")
    return True


def machine() -> str:
    """Processor, cores, memory, system, Python."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = lines[0] if lines else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}, Python {platform.python_version()}"


def commit() -> str:
    git = shutil.which("git")
    if git is None:
        return "unknown"
    done = subprocess.run(
        [git, "-C", str(REPOSITORY), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def read(path: Path) -> Made:
    """Raises SystemExit, naming the line, if one is no figure."""
    header: dict[str, Any] = {"made_by": "by hand", "machine": "unknown", "date": "unknown"}
    figures = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.startswith("{"):
            continue
        try:
            found = json.loads(line)
        except ValueError as error:
            raise SystemExit(f"{path} line {number} is no JSON: {error}") from error
        if "made_by" in found:
            header = found
        elif {"id", "name", "value", "unit"} <= found.keys():
            figures.append(found)
        else:
            raise SystemExit(f"{path} line {number} lacks id, name, value or unit: {line[:100]}")
    return Made(path.stem, header, figures)


def page(made: list[Made], lines: Path, pictures: Path) -> str:
    """The whole page."""
    measured = {figure["id"] for one in made for figure in one.figures}
    rows = [row for row in ROWS if row in measured] + sorted(measured - ROWS.keys())
    verdicts = {row: verdict(row, [figure for one in made for figure in one.figures]) for row in rows}
    parts = [
        "# Results\n",
        "Made by `make bench` from what the programs in `benchmarks/` print; never by hand. A ratio is ours by the "
        "peer's (or the peer's by ours where less is better), both measured in the same run. Trust ratios more than "
        "absolute figures, and neither where the load says that the machine had other work.\n",
        _summary(verdicts),
    ]
    for row in rows:
        known = ROWS.get(row)
        parts.append(f"## {row}: {known.title}\n" if known else f"## {row}\n")
        if known:
            parts.append(f"Target: {known.target}. **{verdicts[row].capitalize()}.**\n")
        sources = [one for one in made if any(figure["id"] == row for figure in one.figures)]
        for one in sources:
            figures = [figure for figure in one.figures if figure["id"] == row]
            parts += [_table(figures), _made_by(one), *_pictures(row, one, figures, lines, pictures)]
    missing = [row for row in ROWS if row not in rows]
    if missing:
        parts.append(f"Not measured yet: {', '.join(missing)}.\n")
    return "\n".join(parts)


def verdict(row: str, figures: list[dict[str, Any]]) -> str:
    """`met`, `missed`, or `not measured` if a figure that the row's target speaks of is not there."""
    if row not in ROWS:
        return "no target"
    judged = [
        [bound.holds(figure) for figure in figures if figure["id"] == row and bound.judges(figure)]
        for bound in ROWS[row].bounds
    ]
    if not all(judged):
        return "not measured"
    return "met" if all(all(held) for held in judged) else "missed"


def _summary(verdicts: dict[str, str]) -> str:
    aimed = {row: said for row, said in verdicts.items() if row in ROWS}
    said = f"Targets met: {sum(said == 'met' for said in aimed.values())} of {len(aimed)}."
    for other in ("missed", "not measured"):
        rows = [row for row, found in aimed.items() if found == other]
        if rows:
            said += f" {other.capitalize()}: {', '.join(rows)}."
    return said + "\n"


def _table(figures: list[dict[str, Any]]) -> str:
    lines = ["| what | ours | unit | peer | theirs | ratio |", "|---|---:|---|---|---:|---:|"]
    for figure in figures:
        cells = [figure["name"], number(figure["value"]), figure["unit"], figure.get("peer") or "–"]
        cells += [number(figure.get("peer_value")), number(figure.get("ratio"))]
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def number(value: Any) -> str:
    """With thousands' commas where large, three digits where small."""
    if not isinstance(value, int | float):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _made_by(one: Made) -> str:
    header = one.header
    load = header.get("load")
    said = f", load {load[0]} before and {load[-1]} after" if load else ""
    at = f", commit {header['commit']}" if "commit" in header else ""
    return f"`{header['made_by']}` · {header['date']} · {header['machine']}{said}{at}\n"


def _pictures(row: str, one: Made, figures: list[dict[str, Any]], lines: Path, pictures: Path) -> list[str]:
    """The benchmark's own picture if it drew one; else bars beside the peers'."""
    own = lines / f"{one.name}.png"
    if own.exists() and figures[0] is one.figures[0]:
        shutil.copyfile(own, pictures / own.name)
        return [f"![{row}]({pictures.name}/{own.name})\n"]
    compared = [figure for figure in figures if isinstance(figure.get("ratio"), int | float) and figure["ratio"] > 0]
    if not compared:
        return []
    name = f"{row}-{one.name}.png"
    _draw(compared, pictures / name)
    return [f"![{row}, ratios]({pictures.name}/{name})\n"]


def _draw(figures: list[dict[str, Any]], path: Path) -> None:
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9, 0.9 + 0.35 * len(figures)), layout="constrained")
        axes = figure.subplots()
        names = [f"{one['name']} / {one['peer']}" for one in figures][::-1]
        ratios = [one["ratio"] for one in figures][::-1]
        bars = axes.barh(range(len(names)), ratios, color=["#059669" if r >= 1 else "#d97706" for r in ratios])
        axes.set_yticks(range(len(names)), names)
        axes.bar_label(bars, [f"{ratio:.3g} ×" for ratio in ratios], padding=3)
        axes.axvline(1.0, color="#6b7280", linewidth=1)
        axes.set_xscale("log")
        axes.margins(x=0.15)
        axes.set_xlabel("times the peer")
        figure.savefig(path, dpi=100)


if __name__ == "__main__":
    sys.exit(main())
