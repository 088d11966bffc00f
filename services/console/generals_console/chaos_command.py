"""What `generals chaos` prints around a run."""

import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from generals_console.chaos import ChaosOptions, ChaosResult, run_chaos
from generals_console.stopping import StopFlag
from generals_console.terminal import err, out, print_json


def run(
    *,
    minutes: float,
    seed: int,
    faults_per_minute: float,
    run_dir: Path | None,
    ticks_per_second: float,
    trainer: bool,
    brokers: int,
    as_json: bool,
) -> int:
    """Run chaos, print its table; 0 if nothing was lost, nothing doubled and everybody recovered, else 1.

    Raises:
        Stopped: by Ctrl-C.
    """
    console = err if as_json else out
    options = ChaosOptions(
        minutes=minutes,
        seed=seed,
        faults_per_minute=faults_per_minute,
        run_dir=run_dir or Path("runs") / time.strftime("chaos-%Y%m%d-%H%M%S"),
        ticks_per_second=ticks_per_second,
        trainer=trainer,
        brokers=brokers,
    )
    with StopFlag() as stop:
        result = run_chaos(options, stop, lambda what: console.print(what, markup=False, highlight=False))
    if as_json:
        print_json(result.to_json())
    else:
        _show(console, result)
    return 0 if result.clean else 1


def _show(console: Console, result: ChaosResult) -> None:
    faults = Table("fault", "injected", box=None)
    for name, count in result.faults.items():
        faults.add_row(name, str(count))
    faults.add_row("all", str(sum(result.faults.values())), style="bold")
    recovery = Table("recovery", "times", "median s", "max s", box=None)
    for service, found in result.recovery.items():
        recovery.add_row(service, str(found.faults), f"{found.median_s:.1f}", f"{found.max_s:.1f}")
    counts = Table("experiences", "", box=None)
    for name, count in _counts(result).items():
        counts.add_row(name, f"{count:,}")
    for table in (faults, recovery, counts):
        console.print(table)
        console.print()
    for reason, count in result.gave_up.items():
        console.print(f"ended by itself and was started again: {reason}, {count} times", highlight=False)
    for what, why in result.left_out.items():
        console.print(f"left out: {what} ({why})", highlight=False)
    for name in result.not_recovered:
        console.print(f"[red]never worked again: {name}")
    for detail in result.details:
        console.print(f"[yellow]{detail}")
    verdict = "[green]clean[/green]: nothing lost, nothing twice" if result.clean else "[red]not clean"
    console.print(f"{verdict}; seed {result.seed}", highlight=False)


def _counts(result: ChaosResult) -> dict[str, int]:
    return {
        "emitted by engines": result.experiences_emitted,
        "collected": result.experiences_collected,
        **{f"archived: {name}": count for name, count in result.archived.items()},
        "counted by the reader": result.reader_experiences,
        **({} if result.trainer_experiences is None else {"inserted by the trainer": result.trainer_experiences}),
        "lost": result.lost,
        "missing for the reader": result.reader_missing,
        "duplicates": result.duplicates,
        "duplicates for the reader": result.reader_duplicates,
        "pending": result.pending,
        "repeats dropped (records)": result.repeats_dropped,
        "games finished": result.games_finished,
        "games unfinished": result.unfinished_games,
    }
