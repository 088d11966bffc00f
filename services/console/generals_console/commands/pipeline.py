"""`generals demo`, `audit`, `tail`, and the four services."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from generals_console.terminal import (
    Config,
    Json,
    archive_store,
    err,
    kafka_settings,
    out,
    print_facts,
    print_json,
    status,
    topic_name,
)

SERVICES = {
    "engine": "GENERALS_ENGINE__GAMES=256 generals engine",
    "collector": "generals collector --config config/dev.yaml",
    "writer": "GENERALS_WRITER__ROTATION__OPEN_SECONDS=20 generals writer",
    "trainer": "GENERALS_TRAINER__RUN_DIR=runs/mine generals trainer",
}


def register(app: typer.Typer) -> None:
    """Add the commands to the top level."""
    app.command(epilog="Example: generals demo --seconds 30 --run-dir runs/demo")(demo)
    app.command(epilog="Example: generals audit --archive s3://generals/archive --json")(audit)
    app.command(epilog="Example: generals tail experiences --group my-analytics --limit 10")(tail)
    for name, example in SERVICES.items():
        _service(app, name, example)


def demo(
    seconds: Annotated[float, typer.Option(min=1, help="How long to play once all stages work.")] = 60.0,
    run_dir: Annotated[
        Path | None, typer.Option(help="For logs, Kafka's data, archive and report.", show_default="runs/TIME")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The games are a function of it.")] = 1,
    games: Annotated[int, typer.Option(min=1, help="Games played side by side.")] = 64,
    size: Annotated[int, typer.Option(min=8, max=64, help="Width and height of the boards.")] = 12,
    ticks_per_second: Annotated[int, typer.Option(min=0, help="Pace of the engine; 0 is as fast as it goes.")] = 2000,
    external: Annotated[
        bool,
        typer.Option(
            "--external",
            help="Use the configured Kafka, start none; so too if GENERALS_KAFKA__BOOTSTRAP_SERVERS is set.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Run the whole pipeline here for a while, then prove that nothing was lost.

    Exit code 1 unless everything arrived once.
    """
    from generals_console.demo_command import run

    sys.exit(
        run(
            seconds=seconds,
            run_dir=run_dir,
            seed=seed,
            games=games,
            size=size,
            ticks_per_second=ticks_per_second or None,
            external=external or "GENERALS_KAFKA__BOOTSTRAP_SERVERS" in os.environ,
            as_json=as_json,
        )
    )


def audit(
    archive: Annotated[
        str | None, typer.Option(help="The archive to compare with: a folder or s3:// address.", show_default=False)
    ] = None,
    collector_group: Annotated[str, typer.Option(help="The collectors' consumer group.")] = "generals-collector",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Count every experience in the topics and the archive: lost, duplicate, pending.

    Exit code 1 unless it is clean: nothing lost, twice, unreadable or damaged, and both ways of counting agree.
    """
    from generals_console.archive_rows import archived_rows
    from generals_console.audit import audit as run_audit

    kafka = kafka_settings(config)
    experiences = kafka.topics().experiences.name
    if archive:
        archive_store(archive, experiences)
    with status(as_json, "reading the topics") as say:
        report = run_audit(
            kafka,
            collector_group=collector_group,
            archive=(lambda: archived_rows(archive, experiences)) if archive else None,
            progress=lambda stage, count: say(f"{stage}: {count:,} records"),
        )
    if as_json:
        print_json(report.to_json())
    else:
        print_facts({k: v for k, v in report.to_json().items() if v is not None and k != "details"})
        for detail in report.details:
            out.print(f"[yellow]{detail}")
        out.print("[green]clean[/green]: nothing lost, nothing twice" if report.clean else "[red]not clean")
    sys.exit(0 if report.clean else 1)


def tail(
    topic: Annotated[str, typer.Argument(help="A topic, or its short name: transitions, experiences, games, …")],
    group: Annotated[str, typer.Option(help="The consumer group to attach.")] = "generals-tail",
    start: Annotated[str, typer.Option(help="Where a new group begins: earliest or latest.")] = "latest",
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many records.", show_default="never")] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Attach a consumer group to a topic and look at what comes. The group's position is committed."""
    from generals_console.tail import follow

    if start not in ("earliest", "latest"):
        raise typer.BadParameter("must be earliest or latest", param_hint="--start")
    kafka = kafka_settings(config)
    for record in follow(kafka, topic_name(kafka, topic), group, start=start, limit=limit):
        if as_json:
            print_json(record, indent=None)
        else:
            text = "  ".join(f"{key}={value}" for key, value in record.items() if value is not None)
            out.print(text, markup=False, soft_wrap=True)


def _service(app: typer.Typer, name: str, example: str) -> None:
    module = f"generals_{name}"

    def start(config: Config = None) -> None:
        if config is not None:
            os.environ["GENERALS_CONFIG"] = str(config)
        err.file.flush()
        os.execv(sys.executable, [sys.executable, "-m", module])  # noqa: S606 - becomes the service, signals and all

    start.__doc__ = f"Run the {name} until Ctrl-C, as `python -m {module}` does."
    app.command(name, epilog=f"Example: {example}")(start)
