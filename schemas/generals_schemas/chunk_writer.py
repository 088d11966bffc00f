"""The wire form of a chunk, written by hand: the engine writes thousands a second, and fastavro takes 16 µs for each.

The bytes are those of fastavro with `avro/transition_chunk.avsc`, and a test says so. What all games of a worker
share, and the chunks of a game, is kept.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generals_schemas.actions import MAX_SIDE
from generals_schemas.avro_binary import FALSE, ONE, TRUE, ZERO, array, long, seldom, text
from generals_schemas.blocks import checked, pack
from generals_schemas.framing import schema
from generals_schemas.records import Outcome, PolicyRef, TransitionChunk
from generals_schemas.zstd_tables import GENERAL

_CHUNK = schema("transition_chunk")
_REASONS = ("won", "stalemate", "tick_limit", "aborted")
_ZSTD_ROWS, _NO_OUTCOME, _AN_OUTCOME = ZERO, ZERO, ONE

_I4, _F4, _U1, _U2, _U4 = (np.dtype(name) for name in ("<i4", "<f4", "u1", "<u2", "<u4"))


def write_chunk(chunk: TransitionChunk, packed: bytes | None = None) -> bytes:
    """The record of a chunk. packed: its arrays as `pack` gives them, from one who made both and knows that they fit.

    Raises:
        ValueError: an array has a wrong dtype or shape, or the board is wider or higher than 64.
    """
    army = _U4 if chunk.armies.dtype == _U4 else _U2
    if packed is None:
        filled = _arrays(chunk, army)
        packed = pack(filled, [GENERAL] * len(filled))
    return _CHUNK.seal(
        b"".join(
            (
                text(chunk.game_id), long(chunk.chunk), long(chunk.first_tick), long(chunk.ticks),
                _shared(chunk.rules_version, chunk.width, chunk.height, chunk.teams, chunk.policies),
                _seeds(chunk.map_seed, chunk.policy_seed),
                ONE if army is _U4 else ZERO,
                FALSE if chunk.log_probs is None else TRUE,
                FALSE if chunk.memory is None else TRUE,
                _NO_OUTCOME if chunk.outcome is None else _outcome(chunk.outcome),
                _ZSTD_ROWS, long(len(packed)), packed,
            )
        )
    )  # fmt: skip


def _arrays(chunk: TransitionChunk, army: np.dtype[Any]) -> list[NDArray[Any]]:
    """The chunk's arrays in the order of falling item size, checked."""
    ticks, players, area = chunk.ticks, len(chunk.teams), chunk.width * chunk.height
    if not (1 <= chunk.width <= MAX_SIDE and 1 <= chunk.height <= MAX_SIDE):
        raise ValueError(f"a board of {chunk.width} x {chunk.height}: sides are 1 … {MAX_SIDE}")
    arrays = [checked("actions", chunk.actions, _I4, (ticks, players))]
    if chunk.log_probs is not None:
        arrays.append(checked("log_probs", chunk.log_probs, _F4, (ticks, players)))
    arrays.append(checked("armies", chunk.armies, army, (ticks + 1, area)))
    if chunk.memory is not None:
        arrays.append(checked("memory_armies", chunk.memory.armies, army, (players, area)))
    arrays.append(checked("alive", chunk.alive, _U2, (ticks + 1,)))
    arrays.append(checked("tiles", chunk.tiles, _U1, (ticks + 1, area)))
    if chunk.memory is not None:
        arrays.append(checked("memory_tiles", chunk.memory.tiles, _U1, (players, area)))
    return arrays


@lru_cache(maxsize=1024)
def _shared(
    rules_version: int, width: int, height: int, teams: tuple[int, ...], policies: tuple[PolicyRef, ...]
) -> bytes:
    """The fields from `rules_version` to `policies`."""
    named = [text(policy.name) + long(policy.version) for policy in policies]
    sizes = long(rules_version) + long(width) + long(height)
    return sizes + array([long(team) for team in teams]) + array(named)


@lru_cache(maxsize=1024)
def _seeds(map_seed: int, policy_seed: int) -> bytes:
    """Kept for about as many games as are played at a time."""
    return seldom(map_seed) + seldom(policy_seed)


def _outcome(outcome: Outcome) -> bytes:
    winners = array([long(player) for player in outcome.winners])
    return _AN_OUTCOME + winners + long(_REASONS.index(outcome.reason))
