"""`_index.json` in each hour's folder: what objects are there. Derived; the claims and seals are the truth.

Several writers may add to one index at the same time, and the last one wins: an index may lack an object, never name
one that was not stored. `rebuild_indices` makes all of them anew.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from generals_runtime.objects import NotFound, ObjectStore
from generals_writer.claims import Claim, Stored
from generals_writer.layout import hour_folder

INDEX = "_index.json"
VERSION = 1


def add_to_indices(store: ObjectStore, claim: Claim, stored: Iterable[Stored]) -> None:
    """Add a sealed claim's objects to the indices of their folders."""
    sealed = {entry.key: entry for entry in stored}
    for folder, entries in _by_folder([(claim, sealed)]).items():
        found = read_index(store, folder)
        found.update(entries)
        _write(store, folder, found)


def rebuild_indices(store: ObjectStore, sealed: Iterable[tuple[Claim, dict[str, Stored]]]) -> list[str]:
    """Write the index of every folder anew, from claims and their seals; the names of the indices."""
    names = []
    for folder, entries in sorted(_by_folder(sealed).items()):
        _write(store, folder, entries)
        names.append(folder + INDEX)
    return names


def read_index(store: ObjectStore, folder: str) -> dict[str, dict[str, Any]]:
    """The entries of a folder's index by object name; empty if there is none or it is damaged."""
    try:
        found = json.loads(store.get(folder + INDEX))
    except (NotFound, ValueError):
        return {}
    if not isinstance(found, dict) or found.get("version") != VERSION:
        return {}
    return {entry["name"]: entry for entry in found["objects"]}


def _by_folder(sealed: Iterable[tuple[Claim, dict[str, Stored]]]) -> dict[str, dict[str, dict[str, Any]]]:
    folders: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for claim, stored in sealed:
        for planned in claim.objects:
            entry = stored.get(planned.key)
            if entry is None:
                continue
            folder = hour_folder(claim.topic, planned.hour)
            name = planned.key.removeprefix(folder)
            folders[folder][name] = {
                "name": name,
                "format": claim.format,
                "partition": claim.partition,
                "segment": [claim.first, claim.end],
                "offsets": [planned.first_offset, planned.last_offset],
                "rows": planned.rows,
                "batches": planned.batches,
                "bytes": entry.bytes,
                "sha256": entry.sha256,
            }
    return dict(folders)


def _write(store: ObjectStore, folder: str, entries: dict[str, dict[str, Any]]) -> None:
    whole = {
        "version": VERSION,
        "rows": sum(entry["rows"] for entry in entries.values()),
        "bytes": sum(entry["bytes"] for entry in entries.values()),
        "objects": [entries[name] for name in sorted(entries)],
    }
    store.put(folder + INDEX, (json.dumps(whole, indent=1, sort_keys=True) + "\n").encode(), if_absent=False)
