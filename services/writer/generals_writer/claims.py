"""Claims and seals: who archives which part of the log, and what came of it.

A claim says: the records [first, end) of this partition become these objects, deduplicated from this mark on. It is
created before any of its objects, only if nobody else has claimed the same first offset, and never changed. A seal
says that all its objects are there, with their sizes and checksums. Claims chained end to first, each sealed, are the
archive's proof of completeness; only the last of a partition may lack its seal.
"""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from generals_client.positions import Mark
from generals_writer.errors import CorruptObject
from generals_writer.layout import LogPartition

VERSION = 1


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a partition's archive ends: the next offset, and what of the source was seen before it."""

    offset: int
    mark: Mark | None = None
    source_id: str = ""


@dataclass(frozen=True, slots=True)
class Planned:
    """An object that a claim promises."""

    key: str
    hour: int
    rows: int
    batches: int
    first_offset: int
    last_offset: int


@dataclass(frozen=True, slots=True)
class Counts:
    """What the records of a segment were. records = batches + repeats + rejected + unreadable.

    lost: source chunks jumped over.  rows: experiences.  expired: offsets that the log no longer held.
    """

    records: int = 0
    batches: int = 0
    rows: int = 0
    repeats: int = 0
    rejected: int = 0
    unreadable: int = 0
    lost: int = 0
    expired: int = 0


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where the archive of a partition begins; fixed by the first writer, so that the chain has one first claim."""

    topic: str
    topic_id: str
    partition: int
    first: int
    version: int = VERSION

    def to_bytes(self) -> bytes:
        return _dump(asdict(self))

    @classmethod
    def from_bytes(cls, key: str, data: bytes) -> "Beginning":
        """Raises CorruptObject."""
        try:
            return cls(**_load(data))
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptObject(f"{key} is no beginning of version {VERSION}: {error!r}") from error


@dataclass(frozen=True, slots=True)
class Claim:
    """The records [first, end) of one partition. `writer`, `writer_version` and `created_ms` say who made it and when;
    all else is the cut.

    topic_id: the Kafka id of the experiences topic.  before, after: the cursors at first and at end.
    """

    topic: str
    topic_id: str
    partition: int
    format: str
    before: Cursor
    after: Cursor
    counts: Counts
    objects: tuple[Planned, ...]
    rejected_reasons: dict[str, int]
    writer: str = ""
    writer_version: str = ""
    created_ms: int = 0
    version: int = VERSION

    @property
    def log(self) -> LogPartition:
        return LogPartition(self.topic, self.partition)

    @property
    def first(self) -> int:
        return self.before.offset

    @property
    def end(self) -> int:
        return self.after.offset

    @property
    def cut(self) -> "Claim":
        """The claim without who made it and when: equal cuts have equal objects."""
        return replace(self, writer="", writer_version="", created_ms=0)

    def to_bytes(self) -> bytes:
        return _dump(asdict(self))

    @classmethod
    def from_bytes(cls, key: str, data: bytes) -> "Claim":
        """Raises CorruptObject."""
        try:
            saved = _load(data)
            return cls(
                **{
                    **saved,
                    "before": _cursor(saved["before"]),
                    "after": _cursor(saved["after"]),
                    "counts": Counts(**saved["counts"]),
                    "objects": tuple(Planned(**planned) for planned in saved["objects"]),
                }
            )
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptObject(f"{key} is no claim of version {VERSION}: {error!r}") from error


@dataclass(frozen=True, slots=True)
class Stored:
    """An object that is there."""

    key: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Seal:
    """All objects of a claim are there. Derived from them, so it may be made again."""

    topic: str
    partition: int
    first: int
    end: int
    objects: tuple[Stored, ...]
    version: int = VERSION

    def to_bytes(self) -> bytes:
        return _dump(asdict(self))

    @classmethod
    def from_bytes(cls, key: str, data: bytes) -> "Seal":
        """Raises CorruptObject."""
        try:
            saved = _load(data)
            return cls(**{**saved, "objects": tuple(Stored(**stored) for stored in saved["objects"])})
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptObject(f"{key} is no seal of version {VERSION}: {error!r}") from error


def _cursor(saved: dict[str, Any]) -> Cursor:
    mark = saved["mark"]
    return Cursor(int(saved["offset"]), Mark(**mark) if mark else None, str(saved["source_id"]))


def _dump(fields: dict[str, Any]) -> bytes:
    return (json.dumps(fields, sort_keys=True, indent=1) + "\n").encode()


def _load(data: bytes) -> dict[str, Any]:
    saved = json.loads(data)
    if not isinstance(saved, dict) or saved.get("version") != VERSION:
        raise ValueError(f"version is {saved.get('version') if isinstance(saved, dict) else None}, not {VERSION}")
    return saved
