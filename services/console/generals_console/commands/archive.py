"""`generals archive`: look at an archive, check it, mend it, read it."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from generals_console.terminal import (
    Config,
    Json,
    Topic,
    archive_store,
    group,
    kafka_settings,
    out,
    print_facts,
    print_json,
    print_table,
    status,
)

app = group("Archives of experiences, in a folder or in s3://bucket/prefix.")
Archive = Annotated[str, typer.Argument(help="The archive: its folder or s3:// address.")]


@app.command(epilog="Example: generals archive ls runs/demo/archive")
def ls(archive: Archive, topic: Topic = None, as_json: Json = False) -> None:
    """What an archive holds, by partition."""
    from generals_writer.archive import ls as listing

    found = listing(archive_store(archive, topic), topic)
    _print(found.to_json(), as_json)


@app.command(epilog="Example: generals archive verify runs/demo/archive --json")
def verify(
    archive: Archive,
    topic: Topic = None,
    log: Annotated[bool, typer.Option("--log", help="Also compare with the log's end.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Check every object: continuous offsets, right checksums, no duplicates. Exit code 1 if anything is wrong."""
    from generals_writer.archive import KafkaLog
    from generals_writer.archive import verify as check

    against = KafkaLog(kafka_settings(config)) if log else None
    with status(as_json, "verifying") as say:
        report = check(archive_store(archive, topic), topic, log=against, progress=lambda key, _rows: say(key))
    _print(report.to_json(), as_json)
    sys.exit(0 if report.clean else 1)


@app.command(epilog="Example: generals archive repair runs/demo/archive")
def repair(archive: Archive, topic: Topic = None, config: Config = None, as_json: Json = False) -> None:
    """Make missing or corrupt objects again from the log. Exit code 1 if some could not be."""
    from generals_writer.archive import KafkaLog
    from generals_writer.archive import repair as mend

    with status(as_json, "repairing") as say:
        report = mend(archive_store(archive, topic), KafkaLog(kafka_settings(config)), topic, progress=say)
    _print(report.to_json(), as_json)
    sys.exit(0 if report.clean else 1)


@app.command(epilog="Example: generals archive compact runs/demo/archive")
def compact(archive: Archive, topic: Topic = None, as_json: Json = False) -> None:
    """Merge small objects into large ones. Readers switch to the new generation at once."""
    from generals_writer.archive import compact as merge

    with status(as_json, "compacting") as say:
        report = merge(archive_store(archive, topic), topic, progress=lambda key, _rows: say(key))
    _print(report.to_json(), as_json)


@app.command(epilog="Example: generals archive index runs/demo/archive")
def index(archive: Archive, topic: Topic = None, as_json: Json = False) -> None:
    """Write the index of every hour anew, from claims and seals."""
    from generals_writer.archive import rebuild_indices

    with status(as_json, "indexing"):
        written = rebuild_indices(archive_store(archive, topic), topic)
    _print({"indices": len(written), "written": written}, as_json)


@app.command(epilog="Example: generals archive prune runs/demo/archive --days 30 --dry-run")
def prune(
    archive: Archive,
    days: Annotated[float, typer.Option(min=0, help="Hours older than this go.")],
    topic: Topic = None,
    move_to: Annotated[
        str | None,
        typer.Option(help="A store that gets the objects (no archive: without claims).", show_default="deleted"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: Json = False,
) -> None:
    """Delete old hours, or move them elsewhere."""
    from generals_writer.archive import open_store
    from generals_writer.archive import prune as take_away

    try:
        before = datetime.now(UTC) - timedelta(days=days)
    except OverflowError as error:
        raise typer.BadParameter(f"{days:g} days ago is before any date", param_hint="--days") from error
    report = take_away(
        archive_store(archive, topic),
        topic,
        before_ms=int(before.timestamp() * 1000),
        move_to=open_store(move_to) if move_to else None,
        dry_run=dry_run,
    )
    _print(report.to_json(), as_json)


@app.command(epilog="Example: generals archive export runs/demo/archive --to export --format npz")
def export(
    archive: Archive,
    to: Annotated[str, typer.Option(help="A folder or s3:// address.")],
    form: Annotated[str, typer.Option("--format", help="parquet, npz or tfrecord.")] = "parquet",
    topic: Topic = None,
    as_json: Json = False,
) -> None:
    """Write the archive's experiences elsewhere, in another format."""
    from generals_writer.archive import export as copy
    from generals_writer.archive import open_store
    from generals_writer.formats import FORMAT_NAMES

    if form not in FORMAT_NAMES:
        raise typer.BadParameter(f"must be one of {', '.join(FORMAT_NAMES)}", param_hint="--format")
    with status(as_json, "exporting") as say:
        report = copy(
            archive_store(archive, topic), open_store(to), topic, format_name=form, progress=lambda key, _rows: say(key)
        )
    _print(report.to_json(), as_json)


@app.command(epilog="Example: generals archive read runs/demo/archive --limit 3")
def read(
    archive: Archive,
    topic: Topic = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Experiences a batch.")] = 256,
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many batches.", show_default="all")] = None,
    npz: Annotated[Path | None, typer.Option(help="Write the batches' arrays to this folder.")] = None,
    as_json: Json = False,
) -> None:
    """Read experiences back as the batches that the live stream gives."""
    import numpy as np

    from generals_writer.archive import read as batches

    rows = []
    for number, batch in enumerate(batches(archive_store(archive, topic), topic, batch_size=batch_size)):
        if limit is not None and number >= limit:
            break
        if npz is not None:
            npz.mkdir(parents=True, exist_ok=True)
            names = ("state", "action", "reward", "next_state", "terminated", "truncated", "game_id", "player", "tick")
            np.savez_compressed(npz / f"batch-{number:06d}.npz", **{name: getattr(batch, name) for name in names})
        rows.append((number, len(batch), str(batch.state.shape[1:]), round(float(batch.reward.sum()), 4)))
    if as_json:
        print_json([dict(zip(("batch", "experiences", "shape", "reward"), row, strict=True)) for row in rows])
        return
    print_table(("batch", "experiences", "shape", "reward"), rows)


def _print(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    print_facts({name: value for name, value in report.items() if not isinstance(value, list | tuple | dict)})
    for name, value in report.items():
        rows = [item for item in value if isinstance(item, dict)] if isinstance(value, list | tuple) else []
        if rows:
            out.print(f"\n{name}")
            print_table(tuple(rows[0]), [tuple(row.values()) for row in rows])
