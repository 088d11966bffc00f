"""A file of ours as text: an archived object in any of its formats, or the trainer's checkpoint."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from generals_runtime.errors import OperatorError
from generals_runtime.objects import NotFound, open_store
from generals_schemas.records import ExperienceBatch
from generals_writer.errors import CorruptObject
from generals_writer.formats import EXTENSIONS, Format, format_of

CHECKPOINT = ".pt"


@dataclass(frozen=True, slots=True, eq=False)
class ArchivedObject:
    """One object of an archive, read. `place` is a path or an `s3://` address."""

    place: str
    form: Format
    data: bytes

    def summary(self) -> dict[str, Any]:
        """What is in it, and what its writer said of it.

        Raises:
            OperatorError: it is damaged.
        """
        try:
            keys, metadata = self.form.keys(self.data), self.form.metadata(self.data)
        except CorruptObject as error:
            raise OperatorError(f"{self.place}: {error}") from error
        facts: dict[str, Any] = {"format": self.form.name, "bytes": len(self.data), "experiences": len(keys)}
        if len(keys):
            facts |= {
                "bytes_per_experience": round(len(self.data) / len(keys), 1),
                "games": len({keys.game_id.values[code] for code in np.unique(keys.game_id.codes)}),
                "players": sorted({int(player) for player in np.unique(keys.player)}),
                "ticks": f"{int(keys.tick.min())} … {int(keys.tick.max())}",
            }
        # What the columns mean is the same in all objects and stands in the documentation.
        return facts | {name: value for name, value in metadata.items() if name != "columns"}

    def batch_of(self, row: int) -> tuple[ExperienceBatch, int]:
        """The batch that experience `row` lies in, counted as stored, and which of its steps it is.

        Raises:
            OperatorError: there are fewer.
        """
        left = row
        for batch in self._batches():
            if left < batch.steps:
                return batch, left
            left -= batch.steps
        raise OperatorError(f"{self.place} holds {row - left} experiences; --step counts from 0")

    def _batches(self) -> Iterator[ExperienceBatch]:
        for entry in self.form.read(self.data):
            if entry.batch.rejected is None:
                yield entry.batch


def read_object(place: str) -> ArchivedObject:
    """Read an object by its path or `s3://` address.

    Raises:
        OperatorError: there is none, or its name ends in none of the archive's extensions.
    """
    form = format_of(place)
    if form is None:
        ends = ", ".join((*EXTENSIONS.values(), CHECKPOINT[1:]))
        raise OperatorError(f"{place} is neither a topic with partition and offset nor a file that ends in {ends}")
    folder, _, name = place.rpartition("/")
    try:
        data = open_store(folder).get(name) if "://" in place else Path(place).read_bytes()
    except (NotFound, OSError) as error:
        raise OperatorError(f"{place} cannot be read: {error}") from error
    return ArchivedObject(place, form, data)


def checkpoint_facts(path: Path) -> dict[str, Any]:
    """What a trainer's checkpoint holds.

    Raises:
        OperatorError: it is not there or damaged.
    """
    from generals_trainer.checkpoint import load

    saved = load(path.parent, path.name)
    if saved is None:
        raise OperatorError(f"there is no checkpoint {path}")
    weights = saved.learner.get("online", {})
    return {
        "board": f"{saved.layout.width} x {saved.layout.height}",
        "encoding": saved.layout.encoding,
        **saved.progress,
        "weights": sum(tensor.numel() for tensor in weights.values()),
        "buffered_batches": sum(len(buffer.blocks) for buffer in saved.buffers.buffers),
        "buffered_steps": sum(int(np.count_nonzero(buffer.leaves)) for buffer in saved.buffers.buffers),
        "positions": {f"{one.topic}[{one.partition}]": one.offset for one in saved.positions},
    }
