"""`_index.json` in each hour's folder: what objects are there. Derived; the claims and seals are the truth.

Several writers may add to one index at the same time, and the last one wins: an index may lack an object, never name
one that was not stored. `rebuild_indices` makes all of them anew.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from generals_runtime.objects import NotFound, ObjectStore
from generals_writer.catalog import read_chains
from generals_writer.claims import Claim, Stored
from generals_writer.formats import require_format
from generals_writer.generations import Held

INDEX = "_index.json"
VERSION = 1
Entries = dict[str, dict[str, Any]]


def add_to_indices(store: ObjectStore, claim: Claim, stored: Iterable[Stored]) -> None:
    """Add a sealed claim's objects to the indices of their folders."""
    sealed = {entry.key: entry for entry in stored}
    held = [
        Held(**asdict(planned), bytes=sealed[planned.key].bytes, sha256=sealed[planned.key].sha256)
        for planned in claim.objects
        if planned.key in sealed
    ]
    for folder, entries in _by_folder(held).items():
        _write(store, folder, {**read_index(store, folder), **entries})
        _index_rows(store, folder, entries)


def rebuild_indices(store: ObjectStore, topic: str | None = None) -> list[str]:
    """Write the index of every hour anew, from claims, seals and generations; the names of the indices."""
    held = [held for chain in read_chains(store, topic) for held in chain.held()]
    folders: dict[str, Entries] = {
        info.key.removesuffix(INDEX): {}  # of hours that were pruned
        for info in store.list(f"topic={topic}/" if topic else "topic=")
        if info.key.endswith(f"/{INDEX}")
    }
    folders.update(_by_folder(held))
    for folder, entries in sorted(folders.items()):
        if entries:
            _write(store, folder, entries)
            _index_rows(store, folder, entries)
        else:
            store.delete(folder + INDEX)
    return [folder + INDEX for folder, entries in sorted(folders.items()) if entries]


def read_index(store: ObjectStore, folder: str) -> Entries:
    """The entries of a folder's index by object name; empty if there is none or it is damaged."""
    try:
        found = json.loads(store.get(folder + INDEX))
        if found["version"] != VERSION:
            return {}
        return {entry["name"]: entry for entry in found["objects"] if {"rows", "bytes"} <= entry.keys()}
    except (NotFound, ValueError, LookupError, TypeError, AttributeError):  # derived: `rebuild_indices` makes it anew
        return {}


def _index_rows(store: ObjectStore, folder: str, entries: Mapping[str, dict[str, Any]]) -> None:
    """`_<object>.idx` for formats that do not say where their rows begin."""
    for name in entries:
        form = require_format(name)
        if form.index is not None:
            store.put(f"{folder}_{name}.idx", form.index(store.get(folder + name)), if_absent=False)


def _by_folder(helds: Iterable[Held]) -> dict[str, Entries]:
    folders: dict[str, Entries] = defaultdict(dict)
    for held in helds:
        folder, _, name = held.key.rpartition("/")
        entry = asdict(held)
        del entry["key"]
        folders[folder + "/"][name] = {**entry, "name": name}
    return dict(folders)


def _write(store: ObjectStore, folder: str, entries: Mapping[str, dict[str, Any]]) -> None:
    whole = {
        "version": VERSION,
        "rows": sum(entry["rows"] for entry in entries.values()),
        "bytes": sum(entry["bytes"] for entry in entries.values()),
        "objects": [entries[name] for name in sorted(entries)],
    }
    store.put(folder + INDEX, (json.dumps(whole, indent=1, sort_keys=True) + "\n").encode(), if_absent=False)
