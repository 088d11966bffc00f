"""`generals dead-letter`: list, show, resend."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from generals_console.dead_letters import DeadLetter, dead_letters, send_again
from generals_console.terminal import (
    Config,
    Json,
    err,
    group,
    kafka_settings,
    out,
    print_facts,
    print_json,
    print_table,
)
from generals_runtime.errors import OperatorError

app = group("Records that failed validation, with the reason and where they stood.")
Offset = Annotated[int, typer.Argument(min=0, help="Its offset in the dead-letter topic.")]
Partition = Annotated[int, typer.Option(min=0, help="Its partition there.")]


@app.command("list", epilog="Example: generals dead-letter list --json")
def list_letters(config: Config = None, as_json: Json = False) -> None:
    """All of them: offset, reason, source coordinates."""
    rows = [
        {"partition": letter.partition, "offset": letter.offset, "bytes": len(letter.value), **letter.headers}
        for letter in dead_letters(kafka_settings(config))
    ]
    if as_json:
        print_json(rows)
    elif not rows:
        out.print("none")
    else:
        columns = tuple(dict.fromkeys(name for row in rows for name in row))
        print_table(columns, [[row.get(name) for name in columns] for row in rows])


@app.command(epilog="Example: generals dead-letter show 17 > record.bin")
def show(offset: Offset, partition: Partition = 0, config: Config = None) -> None:
    """One record: its headers on standard error, its bytes, as they came, on standard output."""
    letter = _find(config, partition, offset)
    if sys.stdout.isatty():
        print_facts({**letter.headers, "key": letter.key, "bytes": len(letter.value)})
        out.print(letter.value[:256].hex(" "), highlight=False)
        return
    for name, value in letter.headers.items():
        err.print(f"{name}: {value}", markup=False)
    sys.stdout.buffer.write(letter.value)


@app.command(epilog="Example: generals dead-letter resend 17")
def resend(
    offset: Offset,
    partition: Partition = 0,
    to: Annotated[str | None, typer.Option(help="Another topic.", show_default="transitions")] = None,
    config: Config = None,
) -> None:
    """Send a record to the transitions topic again, after what was wrong has been mended."""
    kafka = kafka_settings(config)
    topic = to or kafka.topics().transitions.name
    letter = _find(config, partition, offset)
    if "left_out_bytes" in letter.headers:
        where = "{source_topic}[{source_partition}] at {source_offset}".format_map(letter.headers)
        raise OperatorError(
            f"its {letter.headers['left_out_bytes']} bytes were too many for a dead letter: see {where}"
        )
    send_again(kafka, [letter], topic)
    out.print(f"sent to {topic}")


def _find(config: Path | None, partition: int, offset: int) -> DeadLetter:
    for letter in dead_letters(kafka_settings(config)):
        if (letter.partition, letter.offset) == (partition, offset):
            return letter
    raise OperatorError(
        f"no dead letter at partition {partition}, offset {offset}; `generals dead-letter list` shows all"
    )
