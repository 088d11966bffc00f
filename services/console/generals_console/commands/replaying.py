"""`generals retensorise`, `generals chaos` and `generals soak`."""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from generals_console.terminal import Config, Json, kafka_settings, print_facts, print_json, status, topic_name

Params = Annotated[list[str] | None, typer.Option(help="NAME=VALUE; may be repeated.", show_default="the defaults")]


def register(app: typer.Typer) -> None:
    """Add the commands to the top level."""
    app.command(epilog="Example: generals retensorise --to shaped --reward potential --from earliest")(retensorise)
    app.command(epilog="Example: generals chaos --minutes 2 --seed 7")(chaos)
    app.command(epilog="Example: generals soak --minutes 10 --only engine --games 512 --size 20 --json")(soak)


def retensorise(
    to: Annotated[str, typer.Option(help="The topic to write; it is made if it does not exist.")],
    source: Annotated[str, typer.Option(help="The raw topic.")] = "transitions",
    start: Annotated[str, typer.Option("--from", help="earliest, an offset, or a time (ISO 8601).")] = "earliest",
    reward: Annotated[str, typer.Option(help="Name of a reward.")] = "standard",
    encoding: Annotated[str, typer.Option(help="Name of an encoding.")] = "nine_planes",
    reward_param: Params = None,
    encoding_param: Params = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make experiences of the past again, with another reward or encoding. Started again, it goes on where it was."""
    from generals_collector.retensorise import Job, run
    from generals_collector.tensorise import recipe

    kafka = kafka_settings(config)
    try:
        how = recipe(
            encoding=encoding,
            encoding_params=_params(encoding_param),
            reward=reward,
            reward_params=_params(reward_param),
        )
    except (KeyError, ValueError) as error:
        raise typer.BadParameter(str(error.args[0])) from error
    job = Job(kafka, topic_name(kafka, source), to, how, start=_start(start))
    with status(as_json, "reading") as say:
        done = run(
            job, on_progress=lambda p: say(f"{p.chunks:,} chunks, {p.experiences:,} experiences, {p.left:,} left")
        )
    facts = {"topic": to, "chunks": done.chunks, "experiences": done.experiences, "rejected": done.rejected}
    if as_json:
        print_json(facts)
    else:
        print_facts(facts)


def chaos(
    minutes: Annotated[float, typer.Option(min=0.5, help="How long to strike.")] = 5.0,
    seed: Annotated[int, typer.Option(help="The plan of faults is a function of it.")] = 1,
    faults_per_minute: Annotated[float, typer.Option(min=0.1, help="How many faults are injected a minute.")] = 8.0,
    run_dir: Annotated[Path | None, typer.Option(help="For logs, data and archive.", show_default="runs/TIME")] = None,
    ticks_per_second: Annotated[float, typer.Option(min=1, help="Pace of all engines together.")] = 800.0,
    trainer: Annotated[bool, typer.Option("--trainer", help="Run and strike a trainer too.")] = False,
    brokers: Annotated[
        int,
        typer.Option(
            min=1, max=9, help="How many brokers; of several one drawn at random is struck, never two at once."
        ),
    ] = 1,
    as_json: Json = False,
) -> None:
    """Kill, freeze, scale and starve services under load, make clocks jump; then audit.

    The trainer is among them with --trainer. Exit code 1 unless all is there, once.
    """
    from generals_console.chaos_command import run

    sys.exit(
        run(
            minutes=minutes,
            seed=seed,
            faults_per_minute=faults_per_minute,
            run_dir=run_dir,
            ticks_per_second=ticks_per_second,
            trainer=trainer,
            brokers=brokers,
            as_json=as_json,
        )
    )


def soak(
    minutes: Annotated[float, typer.Option(min=0.1, help="How long, once all are at work.")] = 120.0,
    only: Annotated[
        list[str] | None, typer.Option(help="One of the services; may be repeated.", show_default="all four")
    ] = None,
    games: Annotated[int, typer.Option(min=1, help="Games the engine plays side by side.")] = 64,
    size: Annotated[int, typer.Option(min=8, max=64, help="Width and height of the boards.")] = 16,
    ticks_per_second: Annotated[float, typer.Option(min=1, help="Pace of the engine.")] = 10_000.0,
    seed: Annotated[int, typer.Option(min=0, help="The games are a function of it.")] = 1,
    run_dir: Annotated[Path | None, typer.Option(help="For logs, data and archive.", show_default="runs/TIME")] = None,
    as_json: Json = False,
) -> None:
    """Run services for long at a gentle pace and watch memory, open files, lag and disk.

    Exit code 1 unless each is known to be flat: one may grow, or be too short or too noisy to tell.
    """
    from generals_console.soak import FED_BY, SERVICES, SoakOptions
    from generals_console.soak_command import run

    if not set(only or ()) <= set(SERVICES):
        raise typer.BadParameter(f"must be one of {', '.join(SERVICES)}", param_hint="--only")
    for name in only or ():
        if FED_BY.get(name, name) not in (only or ()):
            raise typer.BadParameter(f"{name} has nothing to do without --only {FED_BY[name]}", param_hint="--only")
    options = SoakOptions(
        minutes=minutes,
        services=tuple(name for name in SERVICES if not only or name in only),
        games=games,
        side=size,
        ticks_per_second=ticks_per_second,
        seed=seed,
        run_dir=run_dir or Path("runs") / time.strftime("soak-%Y%m%d-%H%M%S"),
    )
    sys.exit(run(options, as_json=as_json))


def _start(text: str) -> str | int | datetime:
    if text == "earliest":
        return text
    if text.isdecimal():
        return int(text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter("must be earliest, an offset or a time", param_hint="--from") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _params(given: list[str] | None) -> dict[str, float]:
    found = {}
    for pair in given or []:
        name, _, value = pair.partition("=")
        try:
            found[name] = float(value)
        except ValueError as error:
            raise typer.BadParameter(f"{pair!r} must be NAME=NUMBER") from error
    return found
