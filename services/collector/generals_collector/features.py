"""The planes and scalars that encodings store beyond the base: one small function each, found by the name stored.

A new one is a function here and its name in an encoding's declaration. Each gets a `Feature`, what there is to make it
of; planes give `[N + 1, HW]` truths, scalars `[N + 1]` numbers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generals_collector.rewards import Facts
from generals_collector.views import team_of
from generals_schemas.encodings import BASE_PLANES, Encoding
from generals_schemas.errors import BadRecord
from generals_schemas.jit import jit
from generals_schemas.records import TransitionChunk
from generals_schemas.tiles import IS_GENERAL, KIND_SHIFT, OWNER_MASK, UNSEEN

Plane = NDArray[np.bool_]
Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Feature:
    """One player's part of a chunk.

    visible: `[N + 1, HW]`, what its team sees.  params: all of the encoding's.
    """

    chunk: TransitionChunk
    facts: Facts
    player: int
    visible: Plane
    params: Mapping[str, float]

    @property
    def boards(self) -> int:
        return len(self.visible)

    @property
    def tiles(self) -> NDArray[np.uint8]:
        return self.chunk.tiles[: self.boards]

    @property
    def ticks(self) -> NDArray[np.int64]:
        return self.chunk.first_tick + np.arange(self.boards)


def explored(at: Feature) -> Plane:
    """Seen at some time, the chunk's memory included."""
    seen: Plane = np.logical_or.accumulate(at.visible, axis=0)
    if at.chunk.memory is not None:
        seen |= at.chunk.memory.tiles[at.player] != UNSEEN
    return seen


def enemy_general(at: Feature) -> Plane:
    """A general of another team when last seen: kept in fog until the tile is seen to be something else."""
    now = _is_enemy_general(at, at.tiles)
    before = np.zeros(at.tiles.shape[1], np.bool_)
    if at.chunk.memory is not None:
        remembered = at.chunk.memory.tiles[at.player]
        before = _is_enemy_general(at, remembered) & (remembered != UNSEEN)
    return _last_seen(now, at.visible, before)


def own_general(at: Feature) -> Plane:
    """The player's own: one, or two after a trade."""
    found: Plane = IS_GENERAL[at.tiles >> KIND_SHIFT] & _is_mine(at)
    return found


def ready(at: Feature) -> Plane:
    """Where a move can begin."""
    found: Plane = _is_mine(at) & (at.chunk.armies[: at.boards] > 1)
    return found


def turn_phase(at: Feature) -> Numbers:
    """How far the round of 50 ticks has come."""
    return (at.ticks % 50) / 50


def tick(at: Feature) -> Numbers:
    """The clock, cut at 1."""
    return np.minimum(1.0, at.ticks / at.params["tick_scale"])


def log_own_total(at: Feature) -> Numbers:
    """The scoreboard's army of the team."""
    return _log_total(at, at.facts.army)


def log_others_total(at: Feature) -> Numbers:
    """The scoreboard's army of all others."""
    return _log_total(at, at.facts.others_army)


def land_difference(at: Feature) -> Numbers:
    """Who has more land: -1 … 1."""
    own, others = at.facts.land[: at.boards, at.player], at.facts.others_land[: at.boards, at.player]
    difference: Numbers = (own - others) / np.maximum(1.0, own + others)
    return difference


PLANES: Mapping[str, Callable[[Feature], Plane]] = {
    "explored": explored,
    "enemy_general": enemy_general,
    "own_general": own_general,
    "ready": ready,
}
SCALARS: Mapping[str, Callable[[Feature], Numbers]] = {
    "turn_phase": turn_phase,
    "tick": tick,
    "log_own_total": log_own_total,
    "log_others_total": log_others_total,
    "land_difference": land_difference,
}


def extra_planes(encoding: Encoding) -> tuple[str, ...]:
    """The stored planes behind the base ones."""
    return encoding.planes[len(BASE_PLANES) :]


def check_features(encoding: Encoding) -> None:
    """Raises:
    ValueError: the encoding stores what no function here makes.
    """
    for kind, wanted, known in (("plane", extra_planes(encoding), PLANES), ("scalar", encoding.scalars, SCALARS)):
        for name in wanted:
            if name not in known:
                raise ValueError(
                    f"encoding {encoding.name}: nothing makes {kind} {name!r}; there are {', '.join(known)}"
                )


def check_memory(encoding: Encoding, chunk: TransitionChunk) -> None:
    """Raises:
    BadRecord: the encoding remembers and the chunk does not say what was seen before it.
    """
    if encoding.needs_memory and chunk.memory is None and chunk.first_tick > 0:
        raise BadRecord("no_memory", f"encoding {encoding.name} needs chunks with memory: set engine.memory to true")


def scalars(encoding: Encoding, at: Feature) -> NDArray[np.float32]:
    """`[N + 1, S]`."""
    found = np.empty((at.boards, len(encoding.scalars)), np.float32)
    for k, name in enumerate(encoding.scalars):
        found[:, k] = SCALARS[name](at)
    return found


def _is_mine(at: Feature) -> Plane:
    mine: Plane = (at.tiles & OWNER_MASK) == at.player + 1
    return mine


def _is_enemy_general(at: Feature, tiles: NDArray[np.uint8]) -> Plane:
    """`tiles`: `[..., HW]`."""
    is_enemy = np.zeros(OWNER_MASK + 1, np.bool_)
    is_enemy[1 : at.chunk.players + 1] = ~team_of(at.chunk.teams, at.player)
    found: Plane = IS_GENERAL[tiles >> KIND_SHIFT] & is_enemy[tiles & OWNER_MASK]
    return found


def _log_total(at: Feature, army: Numbers) -> Numbers:
    scaled: Any = np.log1p(army[: at.boards, at.player]) / np.log1p(at.params["total_scale"])
    total: Numbers = np.minimum(1.0, scaled)
    return total


@jit
def _last_seen(now: Plane, visible: Plane, before: Plane) -> Plane:
    """`[N + 1, HW]`: `now` where visible, else what it was when last visible, `before` `[HW]` at first."""
    found = np.empty_like(now)
    for t in range(now.shape[0]):
        for i in range(now.shape[1]):
            if visible[t, i]:
                found[t, i] = now[t, i]
            elif t > 0:
                found[t, i] = found[t - 1, i]
            else:
                found[t, i] = before[i]
    return found
