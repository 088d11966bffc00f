"""`generals watch` and `generals export-game`: single games."""

import json
from pathlib import Path
from typing import Annotated

import typer

from generals_console.terminal import Config, archive_store, err, kafka_settings, out, status
from generals_runtime.errors import OperatorError

FromArchive = Annotated[
    str | None, typer.Option("--archive", help="Look in this archive, folder or s3://…", show_default="the log")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the top level."""
    app.command(epilog="Example: generals watch tests/data/replays/v16-06p-01-short_game.json --player 2")(watch)
    app.command("export-game", epilog="Example: generals export-game 026e44273aa3-0-12 --to game.json")(export_game)


def watch(
    game: Annotated[str | None, typer.Argument(help="A file, or a game's id.", show_default="last finished")] = None,
    speed: Annotated[float, typer.Option(min=0.5, max=200, help="Ticks a second.")] = 8.0,
    player: Annotated[int | None, typer.Option(min=0, help="Show what this player sees.", show_default="all")] = None,
    archive: FromArchive = None,
    config: Config = None,
) -> None:
    """Play a game in the terminal, from a recorded file, from the log or from an archive.

    Keys: space pauses, arrows step, + and - change the speed, digits take a player's view, a shows all, q ends.
    """
    from generals_console.film import chunks_of_game, film_of_file, film_of_game
    from generals_console.player import play

    if game is not None and Path(game).is_file():
        film = film_of_file(Path(game))
    else:
        source = archive_store(archive, None) if archive else kafka_settings(config)
        with status(False, "looking for the game") as say:
            film = film_of_game(chunks_of_game(source, game, say))
    if player is not None and player >= len(film.teams):
        raise OperatorError(f"there is no player {player}: the game has players 0 … {len(film.teams) - 1}")
    play(film, out, speed=speed, player=player)


def export_game(
    game: Annotated[str, typer.Argument(help="The game's id.")],
    to: Annotated[Path | None, typer.Option(help="The file to write.", show_default="standard output")] = None,
    archive: FromArchive = None,
    config: Config = None,
) -> None:
    """Write a game from the log or an archive as a recorded game's JSON, which `rules replay` and `watch` take."""
    from generals_console.film import chunks_of_game
    from generals_engine.export import CannotExport
    from generals_engine.export import export_game as export

    source = archive_store(archive, None) if archive else kafka_settings(config)
    with status(False, "looking for the game") as say:
        chunks = chunks_of_game(source, game, say)
    try:
        text = json.dumps(export(chunks))
    except CannotExport as error:
        raise OperatorError(str(error)) from error
    if to is None:
        typer.echo(text)
        return
    to.write_text(text + "\n", encoding="utf-8")
    err.print(f"wrote {to}")
