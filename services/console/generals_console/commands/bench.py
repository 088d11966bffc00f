"""`generals bench`: the programs of `benchmarks/`, which print JSON lines."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from generals_console.terminal import Json, print_table
from generals_runtime.errors import OperatorError

FOLDER = Path(__file__).parents[4] / "benchmarks"
COLUMNS = ("id", "name", "value", "unit", "peer", "peer_value", "ratio")
SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True}


def register(app: typer.Typer) -> None:
    """Add the command to the top level."""
    app.command(epilog="Example: generals bench engine --json", context_settings=SETTINGS)(bench)


def bench(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="engine, encode, collector, decode, fanout, archive, …")],
    as_json: Json = False,
) -> None:
    """Run one benchmark beside its peer. Further options are handed on to it."""
    script = FOLDER / f"{name.replace('-', '_')}.py"
    if not script.is_file():
        there = ", ".join(sorted(path.stem.replace("_", "-") for path in FOLDER.glob("*.py")))
        raise OperatorError(f"there is no benchmark {name}; in a clone of the repository there are {there}")
    command = [sys.executable, str(script), *context.args]
    if as_json:
        os.execv(sys.executable, command)  # noqa: S606 - our own program
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 - as above
    figures = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    print_table(COLUMNS, [[_figure(figure.get(column)) for column in COLUMNS] for figure in figures])
    sys.exit(done.returncode)


def _figure(value: Any) -> object:
    if not isinstance(value, float):
        return value
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
