"""`generals inspect`: any record, as text and as a picture."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from generals_console.terminal import Config, Json, err, kafka_settings, out, print_facts, print_json, topic_name
from generals_runtime.errors import OperatorError


def register(app: typer.Typer) -> None:
    """Add the command to the top level."""
    app.command(epilog="Example: generals inspect experiences 0 17 --step 5 --png planes.png")(inspect)


def inspect(
    topic: Annotated[str, typer.Argument(help="A topic or its short name.")],
    partition: Annotated[int, typer.Argument(min=0)],
    offset: Annotated[int, typer.Argument(min=0)],
    step: Annotated[int, typer.Option(min=0, help="Which step of the record.")] = 0,
    png: Annotated[Path | None, typer.Option(help="Draw an experience's planes into this file.")] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Look at one record: its header, a board, or a player's planes, mask and reward."""
    from generals_console.board_view import board_text
    from generals_console.inspection import board_of, draw_batch, fetch, step_facts
    from generals_schemas.records import ExperienceBatch, TransitionChunk

    kafka = kafka_settings(config)
    found = fetch(kafka, topic_name(kafka, topic), partition, offset)
    record = found.record
    facts = dict(found.summary)
    if isinstance(record, ExperienceBatch) and record.rejected is None:
        if step >= record.steps:
            raise OperatorError(f"the record has steps 0 … {record.steps - 1}, not {step}")
        facts |= step_facts(record, step)
        if png is not None:
            draw_batch(record, step, png)
            err.print(f"drew {png}")
    if as_json:
        print_json(facts)
        return
    moment = datetime.fromtimestamp(facts.pop("timestamp_ms") / 1000, UTC)
    print_facts({**facts, "time": moment.isoformat(timespec="milliseconds")})
    if isinstance(record, TransitionChunk):
        out.print(board_text(*board_of(record, min(step, record.ticks))))
