"""What commands share: options that mean the same everywhere, and how they print."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from generals_console.settings import ConsoleSettings
from generals_runtime.errors import OperatorError
from generals_runtime.kafka import connect
from generals_runtime.objects import ObjectStore, open_store
from generals_runtime.settings import KafkaSettings, load
from generals_writer.layout import CLAIMS

WIDE = 200
"""Columns where output is no terminal: what is piped on should not be cut."""

CONNECT_WITHIN_S = 5.0

out = Console(width=None if sys.stdout.isatty() else WIDE)
err = Console(width=None if sys.stderr.isatty() else WIDE, stderr=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Config = Annotated[Path | None, typer.Option("--config", envvar="GENERALS_CONFIG", help="The YAML of all services.")]
Topic = Annotated[str | None, typer.Option("--topic", help="Only this topic of the archive.", show_default="all")]


def group(help_text: str) -> typer.Typer:
    """A group of commands."""
    return typer.Typer(no_args_is_help=True, help=help_text)


def kafka_settings(config: Path | None) -> KafkaSettings:
    """How to reach Kafka, from the YAML and the environment; asked whether it is there, so that no command waits long.

    Raises:
        SettingsError, KafkaUnavailable.
    """
    kafka = load(ConsoleSettings, config=config).kafka
    connect(kafka, timeout_s=CONNECT_WITHIN_S)
    return kafka


def archive_store(address: str, topic: str | None) -> ObjectStore:
    """An archive that is there. One that a writer has begun is, though it may hold nothing yet.

    Raises:
        OperatorError: nothing was ever archived at this address. A verdict on it would be clean, and about a typo.
    """
    store = open_store(address)
    if not any(store.list(f"{CLAIMS}{topic}/" if topic else CLAIMS)):
        raise OperatorError(f"{store.url} is no archive{f' of {topic}' if topic else ''}: it has no claims")
    return store


def topic_name(kafka: KafkaSettings, name: str) -> str:
    """A topic's whole name for its short one (`experiences`, `dead-letter`); another name stays as it is."""
    topics = kafka.topics()
    short = name.replace("-", "_")
    return getattr(topics, short).name if short in type(topics).__dataclass_fields__ else name


def print_json(value: Any, indent: int | None = 2) -> None:
    """One JSON value on standard output."""
    sys.stdout.write(json.dumps(value, indent=indent, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def print_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Rows under headers, numbers with thousands' commas."""
    table = Table(*headers, box=None)
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    out.print(table)


def print_facts(facts: dict[str, Any]) -> None:
    """Names and values, one a line."""
    table = Table(box=None, show_header=False)
    for name, value in facts.items():
        table.add_row(name.replace("_", " "), _cell(value))
    out.print(table)


@contextmanager
def status(quiet: bool, first: str) -> Iterator[Callable[[str], None]]:
    """A spinner with a changing text on a terminal; nothing for programs."""
    if quiet or not err.is_terminal:
        yield lambda _text: None
        return
    with err.status(first) as shown:
        yield shown.update


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
