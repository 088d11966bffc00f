"""What `generals demo` prints around a run."""

import sys
import time
from pathlib import Path

from rich.panel import Panel
from rich.table import Table

from generals_console.demo import DemoOptions, DemoResult, run_demo
from generals_console.live import make_view
from generals_console.settings import ConsoleSettings
from generals_console.stopping import StopFlag
from generals_console.terminal import err, out, print_json
from generals_runtime.settings import load


def run(
    *,
    seconds: float,
    run_dir: Path | None,
    seed: int,
    games: int,
    size: int,
    ticks_per_second: int | None,
    external: bool,
    as_json: bool,
) -> int:
    """Run the demo and print its summary; the exit code.

    Raises:
        Stopped: by Ctrl-C.
    """
    console = err if as_json else out
    options = DemoOptions(
        seconds=seconds,
        run_dir=run_dir or Path("runs") / time.strftime("%Y%m%d-%H%M%S"),
        seed=seed,
        games=games,
        size=size,
        ticks_per_second=ticks_per_second,
    )
    kafka = load(ConsoleSettings).kafka if external else None
    with StopFlag() as stop, make_view(console) as view:
        result = run_demo(options, kafka, view, stop)
    if as_json:
        print_json(result.to_json())
    else:
        console.print(_summary(result))
        look = f"{sys.argv[0]} archive ls {result.archive_dir}"
        console.print(
            f"Next: open the report in a browser, or look into the archive: {look}", markup=False, soft_wrap=True
        )
    return 0 if result.clean else 1


def _summary(result: DemoResult) -> Panel:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", justify="right")
    table.add_column()
    left_out = f" ({result.experiences_left_out:,} too stale)" if result.experiences_left_out else ""
    rows = [
        (f"{result.games_finished:,}", f"games finished ({result.unfinished_games} were still being played)"),
        (f"{result.experiences_emitted:,}", "experiences emitted by the engine"),
        (f"{result.experiences_collected:,}", "collected by the Faust processor"),
        (f"{result.experiences_archived:,}", "archived as Parquet"),
        (f"{result.experiences_inserted:,}", f"inserted into the replay buffer{left_out}"),
        (_verdict(result.lost), "lost"),
        (_verdict(result.pending), "still on their way at the end"),
        (_verdict(result.duplicates), "duplicates"),
        (f"{result.rejected:,}", "chunks rejected"),
        (f"{result.trainer_steps:,}", f"trainer steps{_sampling(result)}"),
    ]
    for row in rows:
        table.add_row(*row)
    table.add_row("", "")
    table.add_row("archive", result.archive_dir)
    table.add_row("report", result.report)
    title = "everything arrived, once" if result.clean else "something is missing or twice"
    return Panel(table, title=title, border_style="green" if result.clean else "red", expand=False)


def _sampling(result: DemoResult) -> str:
    """How the trainer's pace and data were, beside what was asked for."""
    if result.samples_per_insert is None:
        return ""
    told = f", {result.samples_per_insert:.3f} samples an insertion ({result.samples_per_insert_target} asked for)"
    if result.staleness_p99 is None:
        return told
    return f"{told}, staleness p99 {result.staleness_p99:.0f} versions (at most {result.staleness_limit})"


def _verdict(count: int) -> str:
    return f"[green]{count:,}" if count == 0 else f"[red]{count:,}"
