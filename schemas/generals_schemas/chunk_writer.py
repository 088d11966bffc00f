"""The wire form of a chunk, written by hand: the engine writes thousands a second, and fastavro takes 16 µs for each.

The bytes are those of fastavro with `avro/transition_chunk.avsc`, and a test says so. Avro's binary form is plain:
numbers as zigzag varints, strings and bytes behind their length, an array as one block behind its count and a zero,
enums and unions as the index of what follows. What stays the same from chunk to chunk of a game is kept.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generals_schemas.actions import MAX_SIDE
from generals_schemas.blocks import pack
from generals_schemas.framing import schema
from generals_schemas.records import Outcome, PolicyRef, TransitionChunk

_CHUNK = schema("transition_chunk")
_REASONS = ("won", "stalemate", "tick_limit", "aborted")
_ZSTD_ROWS = b"\x00"
_NO_OUTCOME, _AN_OUTCOME = b"\x00", b"\x02"

_I4, _F4, _U1, _U2, _U4 = (np.dtype(name) for name in ("<i4", "<f4", "u1", "<u2", "<u4"))


def write_chunk(chunk: TransitionChunk) -> bytes:
    """The record of a chunk.

    Raises:
        ValueError: an array has a wrong dtype or shape, or the board is wider or higher than 64.
    """
    army = _U4 if chunk.armies.dtype == _U4 else _U2
    arrays = pack(_arrays(chunk, army))
    name = chunk.game_id.encode()
    return _CHUNK.seal(
        b"".join(
            (
                _long(len(name)), name, _long(chunk.chunk), _long(chunk.first_tick), _long(chunk.ticks),
                _constants(
                    chunk.rules_version, chunk.width, chunk.height, chunk.teams, chunk.policies, chunk.map_seed,
                    chunk.policy_seed,
                ),
                b"\x02" if army is _U4 else b"\x00",
                b"\x00" if chunk.log_probs is None else b"\x01",
                b"\x00" if chunk.memory is None else b"\x01",
                _NO_OUTCOME if chunk.outcome is None else _outcome(chunk.outcome),
                _ZSTD_ROWS, _long(len(arrays)), arrays,
            )
        )
    )  # fmt: skip


def _arrays(chunk: TransitionChunk, army: np.dtype[Any]) -> list[NDArray[Any]]:
    """The chunk's arrays in the order of falling item size, checked."""
    ticks, players, area = chunk.ticks, len(chunk.teams), chunk.width * chunk.height
    if not (1 <= chunk.width <= MAX_SIDE and 1 <= chunk.height <= MAX_SIDE):
        raise ValueError(f"a board of {chunk.width} x {chunk.height}: sides are 1 … {MAX_SIDE}")
    arrays = [_checked("actions", chunk.actions, _I4, (ticks, players))]
    if chunk.log_probs is not None:
        arrays.append(_checked("log_probs", chunk.log_probs, _F4, (ticks, players)))
    arrays.append(_checked("armies", chunk.armies, army, (ticks + 1, area)))
    if chunk.memory is not None:
        arrays.append(_checked("memory_armies", chunk.memory.armies, army, (players, area)))
    arrays.append(_checked("alive", chunk.alive, _U2, (ticks + 1,)))
    arrays.append(_checked("tiles", chunk.tiles, _U1, (ticks + 1, area)))
    if chunk.memory is not None:
        arrays.append(_checked("memory_tiles", chunk.memory.tiles, _U1, (players, area)))
    return arrays


def _checked(name: str, array: NDArray[Any], dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(f"{name} is {array.dtype} {array.shape}, must be {dtype} {shape}")
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


@lru_cache(maxsize=65_536)
def _long(value: int) -> bytes:
    """A number as a zigzag varint."""
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def _array(items: list[bytes]) -> bytes:
    return _long(len(items)) + b"".join(items) + b"\x00" if items else b"\x00"


@lru_cache(maxsize=8192)
def _constants(
    rules_version: int, width: int, height: int, teams: tuple[int, ...], policies: tuple[PolicyRef, ...], map_seed: int,
    policy_seed: int,
) -> bytes:  # fmt: skip
    """The fields that a game's chunks share, unless a policy changes its version."""
    named = [_long(len(policy.name.encode())) + policy.name.encode() + _long(policy.version) for policy in policies]
    sizes = _long(rules_version) + _long(width) + _long(height)
    return sizes + _array([_long(team) for team in teams]) + _array(named) + _long(map_seed) + _long(policy_seed)


def _outcome(outcome: Outcome) -> bytes:
    winners = _array([_long(player) for player in outcome.winners])
    return _AN_OUTCOME + winners + _long(_REASONS.index(outcome.reason))
