"""`generals rules`: recorded games."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from generals_console.terminal import Json, group

app = group("The rules of the game.")


@app.callback()
def rules() -> None:
    """The rules of the game."""


@app.command(epilog="Example: generals rules replay tests/data/replays/*.json --json")
def replay(files: Annotated[list[Path], typer.Argument(help="Recorded games.")], as_json: Json = False) -> None:
    """Play recorded games by the rules and say what comes out."""
    from generals_engine.replay_cli import replay_files

    sys.exit(replay_files(files, as_json))
