"""Fewer, larger objects: the small ones of an hour and partition become one, which readers switch to at once.

Order of events: the merged object is stored and read back, the generation that names it is published, the small ones
are replaced by empty ones. A crash leaves small ones that are still whole; the next `compact` empties them.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Any

from generals_runtime.objects import ObjectStore
from generals_writer.catalog import Chain, read_chains
from generals_writer.errors import CorruptObject
from generals_writer.formats import Format, get_format, require_format
from generals_writer.generations import Generation, Held, publish_generation
from generals_writer.index import rebuild_indices
from generals_writer.layout import merged_key
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
    before = chain.generation or Generation(chain.log)
    generation = replace(before, number=before.number + 1, replaced=dict(before.replaced), merged=dict(before.merged))
    for form, small in _groups(chain, small_bytes, merged_rows):
        held = _merge(store, chain, form, small, generation.number)
        sources = {held_before.key for held_before in small}
        for key, by in before.replaced.items():  # merged before, and now again
            if by in sources:
                generation.replaced[key] = held.key
        generation.replaced.update({key: held.key for key in sources})
        generation.merged[held.key] = held
        for key in sources & generation.merged.keys():
            del generation.merged[key]
        report.merged += len(small)
        report.objects += 1
        report.rows += held.rows
        report.bytes_before += sum(one.bytes for one in small)
        report.bytes_after += held.bytes
        progress(held.key, len(small))
    if generation.merged != before.merged:
        publish_generation(store, generation)
    else:
        generation = before
    _empty(store, generation, report)


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


def _merge(store: ObjectStore, chain: Chain, form: Format, small: list[Held], generation: int) -> Held:
    first = min(held.first_offset for held in small)
    key = merged_key(chain.log, first, small[0].hour, generation, form.extension)
    entries = (entry for held in small for entry in read_object(store, held))
    sources = [held.key for held in small]
    held, data = merge(entries, key=key, hour=small[0].hour, log=chain.log, sources=sources, form=form)
    if held.rows != sum(one.rows for one in small):
        raise CorruptObject(f"{key} would hold {held.rows} rows, its sources held {sum(one.rows for one in small)}")
    # A crash may have left one of this name that no generation names.
    store.put(key, data, if_absent=False)
    if sha256(store.get(key)).hexdigest() != held.sha256:
        raise CorruptObject(f"{key} was read back differently from what was stored")
    return held


def _empty(store: ObjectStore, generation: Generation, report: CompactReport) -> None:
    for key, by in generation.replaced.items():
        if by in generation.pruned:
            continue
        empty = tombstone(require_format(key), by)
        if store.head(key).size != len(empty):
            store.put(key, empty, if_absent=False)
            report.emptied += 1
