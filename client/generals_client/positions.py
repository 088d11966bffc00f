"""Where a reader stands, and how it drops repeats: one mark a partition.

Collectors deliver at least once, each in an unbroken ascending run of (source offset, batch index). So whatever is not
above the highest pair seen is a repeat, and a jump over a source offset is a loss. An offset alone does not say what
has been seen: a position is the pair (offset, mark), saved and restored together.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from generals_client.errors import SourceChanged
from generals_client.handed import pack_handed, unpack_handed
from generals_schemas.records import Source

log = logging.getLogger(__name__)

METADATA_BYTES = 4096
"""What a broker takes beside an offset unless `offset.metadata.max.bytes` says otherwise."""


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """The last batch seen of a partition: batch `index` of `count` of the chunk at source `offset`."""

    offset: int
    index: int
    count: int

    @property
    def complete(self) -> bool:
        """Whether the chunk's last batch has been seen."""
        return self.index + 1 >= self.count

    def covers(self, source: Source) -> bool:
        """Whether a batch is a repeat of what has been seen."""
        if source.offset != self.offset:
            return source.offset < self.offset
        return self.complete or source.index <= self.index

    def misses(self, source: Source) -> int:
        """How many chunks stand, wholly or in part, between the mark and a batch that it does not cover."""
        if source.offset == self.offset:
            return int(source.index != self.index + 1)
        partly = int(not self.complete) + int(source.index != 0)
        return source.offset - self.offset - 1 + partly


@dataclass(frozen=True, slots=True)
class Position:
    """Where a reader of one partition stands.

    offset: the first record not wholly handed on.  mark: what was seen before it; None if nothing was.
    source_id: the id of the transitions topic that the mark belongs to.
    handed: of the records at and after `offset`, how many leading steps were handed on already.
    """

    topic: str
    partition: int
    offset: int
    mark: Mark | None = None
    source_id: str = ""
    handed: Mapping[int, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "mark": [self.mark.offset, self.mark.index, self.mark.count] if self.mark else None,
            "source_id": self.source_id,
            "handed": {str(offset): steps for offset, steps in self.handed.items()},
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> "Position":
        mark = saved["mark"]
        return cls(
            topic=str(saved["topic"]),
            partition=int(saved["partition"]),
            offset=int(saved["offset"]),
            mark=Mark(*map(int, mark)) if mark else None,
            source_id=str(saved["source_id"]),
            handed={int(offset): int(steps) for offset, steps in saved.get("handed", {}).items()},
        )

    def to_metadata(self) -> str:
        """What is stored beside the offset in a group's commit; never more than METADATA_BYTES.

        What was handed on out of order is packed; should it still not fit, its tail is left out and comes again.
        """
        handed = dict(sorted(self.handed.items()))
        while len(text := self._metadata(handed)) > METADATA_BYTES:
            kept = len(handed) * 3 // 4
            log.warning("a commit cannot hold all that was handed on; some of it will come again", extra={"kept": kept})
            handed = dict(list(handed.items())[:kept])
        return text

    def _metadata(self, handed: Mapping[int, int]) -> str:
        mark = self.to_json()["mark"]
        saved = {"mark": mark, "source_id": self.source_id, "handed": pack_handed(self.offset, handed)}
        return json.dumps(saved, separators=(",", ":"))

    @classmethod
    def from_metadata(cls, topic: str, partition: int, offset: int, metadata: str | None) -> "Position":
        """The position of a group's commit; without a mark if another program committed it."""
        if metadata and metadata.startswith('{"mark"'):
            try:
                saved = json.loads(metadata)
                saved["handed"] = unpack_handed(offset, saved["handed"])
                return cls.from_json({**saved, "topic": topic, "partition": partition, "offset": offset})
            except (ValueError, KeyError, TypeError) as error:
                log.warning("the metadata of a commit is not ours", extra={"partition": partition, "error": str(error)})
        return cls(topic, partition, offset)

    def joined(self, other: "Position") -> "Position":
        """The further of two positions of one partition, with what either has handed on beyond it."""
        further = max(self, other, key=lambda position: position.offset)
        handed = dict(self.handed)
        for offset, steps in other.handed.items():
            handed[offset] = max(steps, handed.get(offset, 0))
        kept = {offset: steps for offset, steps in handed.items() if offset >= further.offset}
        return Position(self.topic, self.partition, further.offset, further.mark, further.source_id, kept)


class Deduplicator:
    """Drops the repeats of one partition and counts what is missing.

    repeats: batches dropped.  lost: chunks jumped over.
    """

    def __init__(self, partition: int, mark: Mark | None = None, source_id: str = "") -> None:
        self.partition = partition
        self.mark = mark
        self.source_id = source_id
        self.repeats = 0
        self.lost = 0

    def accept(self, source: Source) -> bool:
        """Whether the batch is new; moves the mark if it is.

        Raises:
            SourceChanged: it was made from another topic than those before it.
        """
        if self.source_id and source.topic_id != self.source_id:
            raise SourceChanged(self.partition, self.source_id, source.topic_id)
        self.source_id = source.topic_id
        if self.mark is not None:
            if self.mark.covers(source):
                self.repeats += 1
                return False
            self.lost += self.mark.misses(source)
        elif source.index:
            self.lost += 1
        self.mark = Mark(source.offset, source.index, source.count)
        return True
