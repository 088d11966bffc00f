"""The wire form of an experience batch, written by hand: fastavro takes 25 µs for each.

The bytes are those of fastavro with `avro/experience_batch.avsc`, and a test says so. What stays the same from batch to
batch of a policy is kept.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from generals_schemas.avro_binary import FALSE, ONE, TRUE, ZERO, array, doubles, long, seldom, text
from generals_schemas.blocks import checked, pack
from generals_schemas.framing import schema
from generals_schemas.records import End, ExperienceBatch, PolicyRef
from generals_schemas.zstd_tables import ARMIES, NUMBERS, PLANES

_BATCH = schema("experience_batch")
_ENDS: tuple[End, ...] = ("none", "terminated", "truncated")
_ZSTD_ROWS = ZERO

_I4, _F4, _U1, _U2, _U4 = (np.dtype(name) for name in ("<i4", "<f4", "u1", "<u2", "<u4"))

_Parameters = tuple[tuple[str, float], ...]


def write_batch(batch: ExperienceBatch) -> bytes:
    """The record of a batch.

    Raises:
        ValueError: an array has a wrong dtype or shape.
    """
    army = _U4 if batch.armies.dtype == _U4 else _U2
    arrays = _pack(batch, army)
    source = batch.source
    return _BATCH.seal(
        b"".join(
            (
                text(batch.game_id), long(batch.chunk), long(batch.player), long(batch.first_tick), long(batch.steps),
                long(batch.width), long(batch.height),
                _recipe(
                    batch.encoding, tuple(batch.encoding_params.items()), batch.reward,
                    tuple(batch.reward_params.items()), batch.policy, batch.config_version, batch.planes,
                    batch.scalar_names,
                ),
                ONE if army is _U4 else ZERO,
                FALSE if batch.log_probs is None else TRUE,
                long(_ENDS.index(batch.end)),
                _topic(source.topic, source.topic_id), long(source.partition), seldom(source.offset),
                long(source.index), long(source.count),
                ZERO if batch.rejected is None else ONE + text(batch.rejected),
                _ZSTD_ROWS, long(len(arrays)), arrays,
            )
        )
    )  # fmt: skip


def _pack(batch: ExperienceBatch, army: np.dtype[Any]) -> bytes:
    """The batch's arrays in the order of falling item size, checked and packed."""
    steps, area = batch.steps, batch.width * batch.height
    arrays = [
        checked("scalars", batch.scalars, _F4, (steps + 1, len(batch.scalar_names))),
        checked("actions", batch.actions, _I4, (steps,)),
        checked("rewards", batch.rewards, _F4, (steps,)),
    ]
    if batch.log_probs is not None:
        arrays.append(checked("log_probs", batch.log_probs, _F4, (steps,)))
    kinds = [*[NUMBERS] * len(arrays), ARMIES, PLANES]
    arrays.append(checked("armies", batch.armies, army, (steps + 1, area)))
    arrays.append(checked("bits", batch.bits, _U1, (steps + 1, len(batch.planes), (area + 7) // 8)))
    return pack(arrays, kinds)


@lru_cache(maxsize=1024)
def _recipe(
    encoding: str, encoding_params: _Parameters, reward: str, reward_params: _Parameters, policy: PolicyRef,
    config_version: str, planes: tuple[str, ...], scalar_names: tuple[str, ...],
) -> bytes:  # fmt: skip
    """The fields from `encoding` to `scalars`: all batches of a policy share them."""
    how = text(encoding) + doubles(encoding_params) + text(reward) + doubles(reward_params)
    who = text(policy.name) + long(policy.version) + text(config_version)
    return how + who + array([text(name) for name in planes]) + array([text(name) for name in scalar_names])


@lru_cache(maxsize=64)
def _topic(name: str, topic_id: str) -> bytes:
    return text(name) + text(topic_id)
