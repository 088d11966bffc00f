"""`generals inspect`: any record, archived object or checkpoint, as text and as a picture."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from generals_console.terminal import Config, Json, err, kafka_settings, out, print_facts, print_json, topic_name
from generals_runtime.errors import OperatorError
from generals_schemas.records import ExperienceBatch


def register(app: typer.Typer) -> None:
    """Add the command to the top level."""
    app.command(epilog="Example: generals inspect experiences 0 17 --step 5 --png planes.png")(inspect)


def inspect(
    what: Annotated[
        str, typer.Argument(help="A topic or its short name; or the path of an archived object or checkpoint.")
    ],
    partition: Annotated[int | None, typer.Argument(min=0, help="Partition of the topic.")] = None,
    offset: Annotated[int | None, typer.Argument(min=0, help="Offset of the record.")] = None,
    step: Annotated[int, typer.Option(min=0, help="Which step of the record, or which row of the object.")] = 0,
    png: Annotated[
        Path | None, typer.Option(help="Draw an experience's planes, or a chunk's board, into this file.")
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Look at one record (its header, a board, or a player's planes, mask and reward), object or checkpoint."""
    if partition is not None and offset is not None:
        _inspect_record(what, partition, offset, step, png, config, as_json=as_json)
    elif partition is not None:
        raise OperatorError("a record has a topic, a partition and an offset: the offset is missing")
    else:
        _inspect_file(what, step, png, as_json=as_json)


def _inspect_record(
    topic: str, partition: int, offset: int, step: int, png: Path | None, config: Path | None, *, as_json: bool
) -> None:
    from generals_console.board_picture import draw_chunk
    from generals_console.board_view import board_text
    from generals_console.inspection import fetch
    from generals_schemas.records import TransitionChunk

    kafka = kafka_settings(config)
    found = fetch(kafka, topic_name(kafka, topic), partition, offset)
    record = found.record
    facts = dict(found.summary)
    if isinstance(record, ExperienceBatch) and record.rejected is None:
        if step >= record.steps:
            raise OperatorError(f"the record has steps 0 … {record.steps - 1}, not {step}")
        facts |= _look(record, step, png)
    elif isinstance(record, TransitionChunk):
        if step > record.ticks:
            raise OperatorError(f"the chunk has boards 0 … {record.ticks}, not {step}")
        if png is not None:
            draw_chunk(record, step, png)
            err.print(f"drew {png}")
    elif png is not None:
        raise OperatorError("this record has nothing to draw: pictures are made of chunks and of experiences")
    if as_json:
        print_json(facts)
        return
    moment = datetime.fromtimestamp(facts.pop("timestamp_ms") / 1000, UTC)
    print_facts({**facts, "time": moment.isoformat(timespec="milliseconds")})
    if isinstance(record, TransitionChunk):
        out.print(board_text(record.tiles[step], record.armies[step], record.width))


def _inspect_file(place: str, step: int, png: Path | None, *, as_json: bool) -> None:
    from generals_console.file_inspection import CHECKPOINT, checkpoint_facts, read_object

    if place.endswith(CHECKPOINT):
        facts = checkpoint_facts(Path(place))
    else:
        found = read_object(place)
        facts = found.summary()
        if facts["experiences"]:
            batch, at = found.batch_of(step)
            facts |= {"game": batch.game_id, "player": batch.player, **_look(batch, at, png)}
    (print_json if as_json else print_facts)(facts)


def _look(batch: ExperienceBatch, step: int, png: Path | None) -> dict[str, Any]:
    """The facts of a step; its picture, if that is asked for."""
    from generals_console.inspection import draw_batch, step_facts

    if png is not None:
        draw_batch(batch, step, png)
        err.print(f"drew {png}")
    return step_facts(batch, step)
