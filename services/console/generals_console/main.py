"""The `generals` command. Commands print for people, or one JSON value with `--json`.

Exit codes: 0 done, 1 it did not work or the verdict is bad, 2 wrong usage or settings, 130 stopped by Ctrl-C.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from generals_console.settings import ConsoleSettings
from generals_runtime.errors import OperatorError
from generals_runtime.settings import KafkaSettings, SettingsError, load
from generals_schemas.errors import SchemaError

out = Console()
err = Console(stderr=True)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Collect experience for reinforcement learning in Generals.io, on Apache Kafka.",
    epilog="Try: generals demo --seconds 30",
)
topics_app = typer.Typer(no_args_is_help=True, help="The topics of topics.yaml on the cluster.")
rules_app = typer.Typer(no_args_is_help=True, help="The rules of the game.")
app.add_typer(topics_app, name="topics")
app.add_typer(rules_app, name="rules")

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Config = Annotated[
    Path | None,
    typer.Option("--config", envvar="GENERALS_CONFIG", help="The YAML of all services.", show_default=False),
]


def main() -> None:
    """Entry point: known errors are one message, never a stack trace."""
    try:
        app()
    except SettingsError as error:
        for problem in error.problems:
            err.print(problem, style="red", markup=False, highlight=False)
        sys.exit(2)
    except (OperatorError, SchemaError) as error:
        err.print(str(error), style="red", markup=False, highlight=False)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


@app.command(epilog="Example: generals demo --seconds 30 --json")
def demo(
    seconds: Annotated[float, typer.Option(min=1, help="How long to play once all stages work.")] = 60.0,
    run_dir: Annotated[
        Path | None,
        typer.Option(help="For logs, Kafka's data, archive and report.", show_default="runs/TIME"),
    ] = None,
    seed: Annotated[int, typer.Option(help="The games are a function of it.")] = 1,
    games: Annotated[int, typer.Option(min=1, help="Games played side by side.")] = 64,
    size: Annotated[int, typer.Option(min=8, max=64, help="Width and height of the boards.")] = 12,
    ticks_per_second: Annotated[int, typer.Option(min=0, help="Pace of the engine; 0 is as fast as it goes.")] = 2000,
    external: Annotated[bool, typer.Option("--external", help="Use the configured Kafka, start none.")] = False,
    as_json: Json = False,
) -> None:
    """Run the whole pipeline here for a while, then prove that nothing was lost."""
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


@app.command(epilog="Example: generals audit --archive runs/demo/archive --json")
def audit(
    archive: Annotated[str | None, typer.Option(help="Its folder or s3:// address.", show_default=False)] = None,
    collector_group: Annotated[str, typer.Option(help="The collectors' consumer group.")] = "generals-collector",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Count every experience in the topics and the archive: lost, duplicate, pending. Exit code 1 if any is lost."""
    from generals_console.archive_rows import archived_rows
    from generals_console.audit import audit as run_audit

    kafka = _kafka(config)
    experiences = kafka.topics().experiences.name
    with _status(as_json, "reading the topics") as say:
        report = run_audit(
            kafka,
            collector_group=collector_group,
            archive=(lambda: archived_rows(archive, experiences)) if archive else None,
            progress=lambda stage, count: say(f"{stage}: {count:,} records"),
        )
    if as_json:
        _print_json(report.to_json())
    else:
        table = Table("", "", show_header=False, box=None)
        for name, value in report.to_json().items():
            if value is not None and name != "details":
                table.add_row(name.replace("_", " "), f"{value:,}" if isinstance(value, int) else str(value))
        out.print(table)
        for detail in report.details:
            out.print(f"[yellow]{detail}")
        out.print("[green]clean[/green]: nothing lost, nothing twice" if report.clean else "[red]not clean")
    sys.exit(0 if report.clean else 1)


@topics_app.command("create", epilog="Example: generals topics create --partitions 16")
def topics_create(
    partitions: Annotated[
        int | None, typer.Option(min=1, help="Of transitions, experiences.", show_default="8")
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Create the topics that are missing. May be repeated; existing ones are left as they are."""
    from generals_runtime.kafka import ensure_topics

    kafka = _kafka(config)
    specs = kafka.topics().with_partitions(partitions) if partitions else kafka.topics()
    created = ensure_topics(kafka, specs)
    if as_json:
        _print_json({"created": created, "existing": [spec.name for spec in specs if spec.name not in created]})
        return
    for spec in specs:
        out.print(f"{'created ' if spec.name in created else 'existing'} {spec.name}")


@topics_app.command("list", epilog="Example: generals topics list")
def topics_list(config: Config = None, as_json: Json = False) -> None:
    """The topics, their partitions and how many records they hold."""
    from generals_console import topics as module

    states = module.list_topics(_kafka(config))
    if as_json:
        _print_json(module.as_json(states))
        return
    table = Table("topic", "partitions", "records", "purpose", box=None)
    for state in states:
        missing = state.partitions is None
        table.add_row(
            state.name,
            "missing" if missing else str(state.partitions),
            "" if missing else f"{state.records:,}",
            state.purpose,
        )
    out.print(table)


@topics_app.command("lag", epilog="Example: generals topics lag --json")
def topics_lag(config: Config = None, as_json: Json = False) -> None:
    """How far every consumer group is behind, by partition."""
    from generals_console import topics as module

    lags = module.group_lags(_kafka(config))
    if as_json:
        _print_json(module.as_json(lags))
        return
    table = Table("group", "topic", "partition", "committed", "end", "lag", box=None)
    for lag in lags:
        at = "-" if lag.committed is None else f"{lag.committed:,}"
        table.add_row(lag.group, lag.topic, str(lag.partition), at, f"{lag.end:,}", f"{lag.lag:,}")
    out.print(table)


@app.command(epilog="Example: generals tail experiences --group my-analytics --limit 10")
def tail(
    topic: Annotated[str, typer.Argument(help="A topic, or its short name: transitions, experiences, games, …")],
    group: Annotated[str, typer.Option(help="The consumer group to attach.")] = "generals-tail",
    start: Annotated[str, typer.Option(help="Where a new group begins: earliest or latest.")] = "latest",
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many records.", show_default="never")] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Attach a consumer group to a topic and look at what comes."""
    from generals_console.tail import follow

    if start not in ("earliest", "latest"):
        raise typer.BadParameter("must be earliest or latest", param_hint="--start")
    kafka = _kafka(config)
    short = topic.replace("-", "_")
    name = getattr(kafka.topics(), short).name if short in type(kafka.topics()).__dataclass_fields__ else topic
    for record in follow(kafka, name, group, start=start, limit=limit):
        if as_json:
            _print_json(record, indent=None)
        else:
            text = "  ".join(f"{key}={value}" for key, value in record.items() if value is not None)
            out.print(text, markup=False, soft_wrap=True)


@rules_app.command("replay", epilog="Example: generals rules replay tests/data/replays/*.json --json")
def rules_replay(files: Annotated[list[Path], typer.Argument(help="Recorded games.")], as_json: Json = False) -> None:
    """Play recorded games by the rules and say what comes out."""
    from generals_engine.replay_cli import replay_files

    sys.exit(replay_files(files, as_json))


def _service(name: str, module: str, example: str) -> None:
    def start(config: Config = None) -> None:
        if config is not None:
            os.environ["GENERALS_CONFIG"] = str(config)
        os.execv(sys.executable, [sys.executable, "-m", module])  # noqa: S606 - becomes the service, signals and all

    start.__doc__ = f"Run the {name} until Ctrl-C, as `python -m {module}` does."
    app.command(name, epilog=f"Example: {example}")(start)


_service("engine", "generals_engine", "GENERALS_ENGINE__GAMES=256 generals engine")
_service("collector", "generals_collector", "generals collector --config config/dev.yaml")
_service("writer", "generals_writer", "generals writer --config config/dev.yaml")
_service("trainer", "generals_trainer", "generals trainer --config config/dev.yaml")


def _kafka(config: Path | None) -> KafkaSettings:
    return load(ConsoleSettings, config=config).kafka


def _print_json(value: Any, indent: int | None = 2) -> None:
    sys.stdout.write(json.dumps(value, indent=indent, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


@contextmanager
def _status(quiet: bool, first: str) -> Iterator[Any]:
    """A spinner with a text on a terminal; nothing for programs."""
    if quiet or not err.is_terminal:
        yield lambda _text: None
        return
    with err.status(first) as status:
        yield status.update
