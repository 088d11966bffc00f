"""A part of an archive in another form: the same columns in another format, or one file for other tools."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from generals_runtime.objects import AlreadyExists, ObjectStore
from generals_writer.errors import ArchiveError
from generals_writer.formats import get_format
from generals_writer.formats.entries import PackedEntry, packed
from generals_writer.reading import ALL, Wanted, read_entries

ROWS = 1_000_000
Progress = Callable[[str, int], None]


@dataclass(slots=True)
class ExportReport:
    """objects: names written."""

    objects: list[str]
    rows: int = 0
    bytes: int = 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def export(
    store: ObjectStore,
    target: ObjectStore,
    topic: str | None = None,
    *,
    format_name: str = "parquet",
    wanted: Wanted = ALL,
    rows: int = ROWS,
    progress: Progress | None = None,
) -> ExportReport:
    """Write what is `wanted` to `target` as `experiences-<number>.<extension>`, about `rows` rows each.

    Raises:
        ArchiveError: a file of that name is there already.
    """
    form = get_format(format_name)
    report = ExportReport([])
    for number, run in enumerate(_runs(store, topic, wanted, rows)):
        key = f"experiences-{number:05d}.{form.extension}"
        data = form.write(run, {"exported_from": store.url, "topic": topic, "version": 1})
        try:
            target.put(key, data)
        except AlreadyExists as error:
            raise ArchiveError(f"{key} is in {target.url} already; export to an empty folder") from error
        count = sum(entry.steps for entry in run)
        report.objects.append(key)
        report.rows += count
        report.bytes += len(data)
        if progress is not None:
            progress(key, count)
    return report


def _runs(store: ObjectStore, topic: str | None, wanted: Wanted, rows: int) -> Iterator[list[PackedEntry]]:
    """Held compressed: a million rows of large boards would be gigabytes."""
    run: list[PackedEntry] = []
    count = 0
    for _, entry in read_entries(store, topic, wanted=wanted, order="stored"):
        run.append(packed(entry))
        count += entry.steps
        if count >= rows:
            yield run
            run, count = [], 0
    if run:
        yield run
