"""What became of objects after they were sealed: merged into larger ones by `compact`, taken away by `prune`.

One file a partition and generation, each telling the whole of it, created only if nobody else made that number: a
reader that takes the highest number sees a change at once or not at all. Names are never freed: an object that was
merged away leaves an empty one under its name, so that a writer asleep since before cannot create it a second time.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from generals_runtime.objects import AlreadyExists, NotFound, ObjectStore
from generals_writer.errors import ArchiveError, CorruptObject
from generals_writer.layout import LogPartition, generation_key, parse_generation_key

VERSION = 1


class Overtaken(ArchiveError):
    """Somebody else changed the partition's generation meanwhile; nothing of ours took effect."""


@dataclass(frozen=True, slots=True)
class Held:
    """An object that readers are to read."""

    key: str
    hour: int
    rows: int
    batches: int
    first_offset: int
    last_offset: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Pruned:
    """An object that was taken away by rule. moved_to: the URL of the store that has it now, empty if none."""

    rows: int
    bytes: int
    moved_to: str = ""


@dataclass(slots=True)
class Generation:
    """The state of one partition. replaced: sealed object → the merged one that holds its rows, itself in `merged`."""

    log: LogPartition
    number: int = 0
    replaced: dict[str, str] = field(default_factory=dict)
    merged: dict[str, Held] = field(default_factory=dict)
    pruned: dict[str, Pruned] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        saved = {**asdict(self), "version": VERSION}
        return (json.dumps(saved, sort_keys=True, indent=1) + "\n").encode()

    @classmethod
    def from_bytes(cls, key: str, data: bytes) -> "Generation":
        """Raises CorruptObject."""
        try:
            saved: dict[str, Any] = json.loads(data)
            if saved.pop("version") != VERSION:
                raise ValueError("another version")
            return cls(
                log=LogPartition(**saved["log"]),
                number=saved["number"],
                replaced=saved["replaced"],
                merged={name: Held(**held) for name, held in saved["merged"].items()},
                pruned={name: Pruned(**pruned) for name, pruned in saved["pruned"].items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptObject(f"{key} is no generation of version {VERSION}: {error!r}") from error


def newest_generation(store: ObjectStore, log: LogPartition) -> Generation:
    """The partition's generation in force; number 0 if nothing was ever merged or pruned. Raises CorruptObject."""
    prefix = generation_key(log, 0).rpartition("/")[0] + "/"
    numbers = [found for info in store.list(prefix) if (found := parse_generation_key(info.key)) is not None]
    if not numbers:
        return Generation(log)
    key = generation_key(log, max(numbers))
    try:
        return Generation.from_bytes(key, store.get(key))
    except NotFound as error:
        raise CorruptObject(f"{key} vanished") from error


def publish_generation(store: ObjectStore, generation: Generation) -> None:
    """Put the next generation in force. Raises Overtaken if its number is taken by another."""
    key = generation_key(generation.log, generation.number)
    data = generation.to_bytes()
    try:
        store.put(key, data)
    except AlreadyExists:
        if store.get(key) != data:
            raise Overtaken(f"{key} was created by somebody else; run the command again") from None
