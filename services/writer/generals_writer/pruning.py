"""Retention: hours older than a rule says are deleted, or moved to another store."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Any

from generals_runtime.objects import ObjectStore
from generals_writer.catalog import Chain, read_chains
from generals_writer.errors import CorruptObject
from generals_writer.generations import Generation, Held, Pruned, publish_generation
from generals_writer.index import rebuild_indices
from generals_writer.layout import HOUR_MS

Progress = Callable[[str, int], None]


@dataclass(slots=True)
class PruneReport:
    """objects, rows, bytes: taken away (or that would be, in a dry run)."""

    objects: int = 0
    rows: int = 0
    bytes: int = 0
    moved_to: str = ""
    dry_run: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def prune(
    store: ObjectStore,
    topic: str | None = None,
    *,
    before_ms: int,
    move_to: ObjectStore | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> PruneReport:
    """Take away the objects of hours that end at or before `before_ms` (record time, milliseconds since 1970).

    Claims and seals stay: they say that the offsets were archived, and the generation says that the rows were pruned.
    With `move_to` each object is copied there under its name, and compared, before it is deleted here.

    Raises:
        CorruptObject: an object to be moved is not what was sealed; nothing of its partition was deleted.
        Overtaken: another `compact` or `prune` was at work on the same partition.
    """
    report = PruneReport(moved_to=move_to.url if move_to else "", dry_run=dry_run)
    for chain in read_chains(store, topic):
        old = [held for held in chain.held() if (held.hour + 1) * HOUR_MS <= before_ms]
        for held in old:
            report.objects += 1
            report.rows += held.rows
            report.bytes += held.bytes
            if not dry_run and move_to is not None:
                _copy(store, move_to, held)
            if progress is not None:
                progress(held.key, held.rows)
        if not dry_run:
            _take_away(store, chain, old, report.moved_to)
    if report.objects and not dry_run:
        rebuild_indices(store, topic)
    return report


def _take_away(store: ObjectStore, chain: Chain, old: list[Held], moved_to: str) -> None:
    before = chain.generation or Generation(chain.log)
    if old:
        pruned = {held.key: Pruned(held.rows, held.bytes, moved_to) for held in old}
        after = replace(before, number=before.number + 1, pruned={**before.pruned, **pruned})
        publish_generation(store, after)
        before = after
    # Those of a prune that crashed are deleted too, and the empty ones whose rows went into a pruned object.
    for key in before.pruned:
        store.delete(key)
    for key, by in before.replaced.items():
        if by in before.pruned:
            store.delete(key)


def _copy(store: ObjectStore, target: ObjectStore, held: Held) -> None:
    data = store.get(held.key)
    if sha256(data).hexdigest() != held.sha256:
        raise CorruptObject(f"{held.key} is not what was sealed; `generals archive repair` first, then prune")
    target.put(held.key, data, if_absent=False)
    if target.get(held.key) != data:
        raise CorruptObject(f"{held.key} was read back from {target.url} differently from what was stored")
