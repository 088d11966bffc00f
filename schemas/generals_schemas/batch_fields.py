"""A batch as the fields of its record: checked, and its arrays only unpacked by who wants them.

Who handles very many batches reads fields and arrays; making an ExperienceBatch of them takes as long as a third of the
unpacking.
"""

from functools import lru_cache
from typing import Any

from numpy.typing import NDArray

from generals_schemas.actions import MAX_SIDE
from generals_schemas.batch_reader import read_batch
from generals_schemas.blocks import ArraySpec, Layout, layout, unpack
from generals_schemas.errors import BadRecord
from generals_schemas.records import ExperienceBatch, Source

MAX_PLANES = 64
MAX_SCALARS = 1024


def batch_fields(record: bytes) -> dict[str, Any]:
    """The checked fields of a batch, its arrays still one compressed block.

    Raises:
        BadRecord: see its `reason`.
        UnknownSchema: written by another schema.
    """
    fields = read_batch(record)
    steps, rejected = fields["steps"], fields["rejected"]
    if not 0 <= fields["batch_index"] < fields["batch_count"]:
        raise BadRecord("shape", "the batch index is outside its count")
    if rejected is None:
        if steps <= 0:
            raise BadRecord("shape", f"{steps} steps, not at least one")
        require_board(fields["width"], fields["height"])
    elif not steps == fields["width"] == fields["height"] == 0:
        raise BadRecord("shape", "a rejected marker holds steps")
    if len(fields["planes"]) > MAX_PLANES:
        raise BadRecord("shape", f"more than {MAX_PLANES} planes")
    if len(fields["scalars"]) > MAX_SCALARS:
        raise BadRecord("shape", f"more than {MAX_SCALARS} scalars")
    return fields


def require_board(width: int, height: int) -> None:
    """Raises BadRecord for a board that has no tile or is too large."""
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise BadRecord("shape", f"a board of {width} x {height}: sides are 1 … {MAX_SIDE}")


def fields_source(fields: dict[str, Any]) -> Source:
    """Where the batch of `batch_fields` came from."""
    return Source(
        topic=fields["source_topic"],
        topic_id=fields["source_topic_id"],
        partition=fields["source_partition"],
        offset=fields["source_offset"],
        index=fields["batch_index"],
        count=fields["batch_count"],
    )


def unpack_arrays(fields: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """The arrays of `batch_fields`, read-only, by their names in `ExperienceBatch`; `log_probs` only if it has some.

    Raises:
        BadRecord: they are not of the size that the fields say.
    """
    tiles = fields["width"] * fields["height"]
    planes, scalars = len(fields["planes"]), len(fields["scalars"])
    wanted = _layout(fields["steps"], tiles, planes, scalars, fields["army_dtype"], fields["has_log_probs"])
    return unpack(fields["arrays"], wanted)


def unpack_batch(fields: dict[str, Any]) -> ExperienceBatch:
    """The batch of `batch_fields`. Raises BadRecord if its arrays are not of the size that the fields say."""
    arrays = unpack_arrays(fields)
    return ExperienceBatch(
        game_id=fields["game_id"],
        chunk=fields["chunk"],
        player=fields["player"],
        first_tick=fields["first_tick"],
        width=fields["width"],
        height=fields["height"],
        encoding=fields["encoding"],
        encoding_params=fields["encoding_params"],
        reward=fields["reward"],
        reward_params=fields["reward_params"],
        policy=fields["policy"],
        config_version=fields["config_version"],
        planes=fields["planes"],
        scalar_names=fields["scalars"],
        armies=arrays["armies"],
        bits=arrays["bits"],
        scalars=arrays["scalars"],
        actions=arrays["actions"],
        rewards=arrays["rewards"],
        log_probs=arrays.get("log_probs"),
        end=fields["end"],
        source=fields_source(fields),
        rejected=fields["rejected"],
    )


def fields_of(batch: ExperienceBatch) -> dict[str, Any]:
    """The fields that `batch_fields` gives for a batch, but for those of the packed block."""
    source = batch.source
    return {
        "game_id": batch.game_id,
        "chunk": batch.chunk,
        "player": batch.player,
        "first_tick": batch.first_tick,
        "steps": batch.steps,
        "width": batch.width,
        "height": batch.height,
        "encoding": batch.encoding,
        "encoding_params": batch.encoding_params,
        "reward": batch.reward,
        "reward_params": batch.reward_params,
        "policy": batch.policy,
        "config_version": batch.config_version,
        "planes": batch.planes,
        "scalars": batch.scalar_names,
        "army_dtype": "u4" if batch.armies.dtype.itemsize == 4 else "u2",
        "has_log_probs": batch.log_probs is not None,
        "end": batch.end,
        "source_topic": source.topic,
        "source_topic_id": source.topic_id,
        "source_partition": source.partition,
        "source_offset": source.offset,
        "batch_index": source.index,
        "batch_count": source.count,
        "rejected": batch.rejected,
    }


def arrays_of(batch: ExperienceBatch) -> dict[str, NDArray[Any]]:
    """The arrays that `unpack_arrays` gives for a batch."""
    log_probs = {} if batch.log_probs is None else {"log_probs": batch.log_probs}
    return {
        "scalars": batch.scalars,
        "actions": batch.actions,
        "rewards": batch.rewards,
        **log_probs,
        "armies": batch.armies,
        "bits": batch.bits,
    }


@lru_cache(maxsize=4096)
def _layout(steps: int, tiles: int, planes: int, scalars: int, army: str, log_probs: bool) -> Layout:
    specs: list[ArraySpec] = [
        ("scalars", "<f4", (steps + 1, scalars)),
        ("actions", "<i4", (steps,)),
        ("rewards", "<f4", (steps,)),
        *([("log_probs", "<f4", (steps,))] if log_probs else []),
        ("armies", f"<{army}", (steps + 1, tiles)),
        ("bits", "u1", (steps + 1, planes, (tiles + 7) // 8)),
    ]
    return layout(specs)
