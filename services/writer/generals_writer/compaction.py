"""Fewer, larger objects: the small ones of an hour and partition become one, which readers switch to at once.

Order of events: the merged object is stored and read back, the generation that names it is published, the small ones
are replaced by empty ones. A crash leaves small ones that are still whole; the next `compact` empties them. It also
takes away merged objects that no generation came to name. Each run gives names of its own, so that of two runs at once
neither can change what the other publishes.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from secrets import token_hex
from typing import Any

from generals_runtime.objects import NotFound, ObjectStore
from generals_writer.catalog import Chain, read_chains
from generals_writer.errors import ArchiveError, CorruptObject
from generals_writer.formats import Format, get_format, require_format
from generals_writer.generations import Generation, Held, Overtaken, publish_generation
from generals_writer.index import rebuild_indices
from generals_writer.layout import merged_key, parse_merged_key
from generals_writer.merged import merge, tombstone
from generals_writer.reading import read_object

SMALL_BYTES = 16 * 1024 * 1024
MERGED_ROWS = 4_000_000
Progress = Callable[[str, int], None]
"""Called with a merged object's name and how many objects it replaces."""


@dataclass(slots=True)
class CompactReport:
    """merged: small objects that are gone into `objects` new ones.  emptied: names now held by empty objects."""

    merged: int = 0
    objects: int = 0
    rows: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    emptied: int = 0

    def add(self, small: list[Held], held: Held) -> None:
        self.merged += len(small)
        self.objects += 1
        self.rows += held.rows
        self.bytes_before += sum(one.bytes for one in small)
        self.bytes_after += held.bytes

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def compact(
    store: ObjectStore,
    topic: str | None = None,
    *,
    small_bytes: int = SMALL_BYTES,
    merged_rows: int = MERGED_ROWS,
    progress: Progress | None = None,
) -> CompactReport:
    """Merge objects below `small_bytes`, those of the same partition, hour and format, to at most `merged_rows` rows.

    Raises:
        CorruptObject: an object is not what was sealed; nothing was changed for its partition.
        Overtaken: another `compact` or `prune` was at work on the same partition.
    """
    report = CompactReport()
    for chain in read_chains(store, topic):
        _compact_chain(store, chain, small_bytes, merged_rows, report, progress or (lambda _name, _count: None))
    if report.merged:
        rebuild_indices(store, topic)
    return report


def _compact_chain(
    store: ObjectStore, chain: Chain, small_bytes: int, merged_rows: int, report: CompactReport, progress: Progress
) -> None:
    before, run = chain.generation or Generation(chain.log), token_hex(4)
    generation = replace(before, number=before.number + 1, merged=dict(before.merged))
    try:
        for form, small in _groups(chain, small_bytes, merged_rows):
            held = _merge(store, chain, form, small, generation.number, run)
            _replace(generation, small, held)
            report.add(small, held)
            progress(held.key, len(small))
        if generation.merged != before.merged:
            publish_generation(store, generation)
        else:
            generation = before
    except ArchiveError:
        for key in generation.merged.keys() - before.merged.keys():
            store.delete(key)
        raise
    if generation.number > 0:
        sizes = {info.key: info.size for info in store.list(f"topic={chain.log.topic}/")}
        _empty(store, generation, sizes, report)
        _delete_unnamed(store, generation, sizes)


def _replace(generation: Generation, small: list[Held], held: Held) -> None:
    sources = {one.key for one in small}
    again = {key for key, by in generation.replaced.items() if by in sources}  # merged before, and now again
    generation.replaced = {**generation.replaced, **dict.fromkeys(again | sources, held.key)}
    generation.merged[held.key] = held
    for key in sources & generation.merged.keys():
        del generation.merged[key]


def _groups(chain: Chain, small_bytes: int, merged_rows: int) -> Iterator[tuple[Format, list[Held]]]:
    """At least two small neighbours of an hour and format, as many as fit in one object."""
    sealed = chain.sealed
    end = sealed[-1].claim.end if sealed else 0
    hours: dict[tuple[int, str], list[Held]] = defaultdict(list)
    for held in chain.held():
        if held.bytes < small_bytes and held.last_offset < end:
            hours[held.hour, require_format(held.key).name].append(held)
    for (_, name), helds in sorted(hours.items()):
        form = get_format(name)
        group: list[Held] = []
        for held in helds:
            if sum(one.rows for one in group) + held.rows > merged_rows:
                if len(group) > 1:
                    yield form, group
                group = []
            group.append(held)
        if len(group) > 1:
            yield form, group


def _merge(store: ObjectStore, chain: Chain, form: Format, small: list[Held], generation: int, run: str) -> Held:
    first = min(held.first_offset for held in small)
    key = merged_key(chain.log, first, small[0].hour, generation, run, form.extension)
    entries = (entry for held in small for entry in read_object(store, held))
    sources = [held.key for held in small]
    held, data = merge(entries, key=key, hour=small[0].hour, log=chain.log, sources=sources, form=form)
    if held.rows != sum(one.rows for one in small):
        raise CorruptObject(f"{key} would hold {held.rows} rows, its sources held {sum(one.rows for one in small)}")
    store.put(key, data, if_absent=False)
    try:
        found = store.get(key)
    except NotFound as error:
        raise Overtaken(f"{key} was taken away by another `compact`; run the command again") from error
    if sha256(found).hexdigest() != held.sha256:
        raise CorruptObject(f"{key} was read back differently from what was stored")
    rows = sum(
        entry.steps for entry in form.read(found)
    )  # what it replaces is emptied: it must be readable, not only there
    if rows != held.rows:
        raise CorruptObject(f"{key} was read back with {rows} rows of {held.rows}")
    return held


def _empty(store: ObjectStore, generation: Generation, sizes: Mapping[str, int], report: CompactReport) -> None:
    """Replace what was merged. sizes: of all objects, listed at once: names ever merged are many."""
    for key, by in generation.replaced.items():
        if by in generation.pruned:
            continue
        empty = tombstone(require_format(key), by)
        if sizes.get(key) != len(empty):
            store.put(key, empty, if_absent=False)
            report.emptied += 1


def _delete_unnamed(store: ObjectStore, generation: Generation, keys: Iterable[str]) -> None:
    """What crashed runs merged for this generation or an earlier one; a later one can no longer come to name it."""
    named = generation.merged.keys() | generation.replaced.keys()
    for key in keys:
        made_for = parse_merged_key(generation.log, key)
        if made_for is not None and made_for <= generation.number and key not in named:
            store.delete(key)
