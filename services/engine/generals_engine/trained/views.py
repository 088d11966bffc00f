"""What a policy is shown of a game, in the packed form that the collector makes of the same boards.

A network plays well only on what it was trained on, so this must agree with the collector to the bit; a test plays
games and compares. What an encoding remembers (tiles explored, generals seen) is kept here for each game and player.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from generals_client.expand import legal_actions
from generals_engine.policies.protocol import Observations
from generals_schemas.encodings import BASE_PLANES, Encoding
from generals_schemas.tiles import IS_GENERAL, IS_IMPASSABLE, IS_STRUCTURE, KIND_SHIFT, OWNER_MASK, UNSEEN

Plane = NDArray[np.bool_]

MINE = "mine"
PLAYERS_APART = 16
"""Of a key `game * PLAYERS_APART + player`."""


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """N packed states, as `generals_client.expand` takes them.

    armies: `[N, HW]` u4.  bits: `[N, len(planes), ceil(HW / 8)]` u1.  scalars: `[N, S]` f4.
    """

    planes: tuple[str, ...]
    armies: NDArray[np.uint32]
    bits: NDArray[np.uint8]
    scalars: NDArray[np.float32]

    def of(self, rows: NDArray[np.int64]) -> "Views":
        if len(rows) == len(self.armies):
            return self
        return Views(self.planes, self.armies[rows], self.bits[rows], self.scalars[rows])

    def legal(self, width: int, height: int) -> NDArray[np.bool_]:
        """The legal actions. `[N, A]`"""
        return legal_actions(
            armies=self.armies,
            bits=self.bits,
            rows=np.arange(len(self.armies)),
            width=width,
            height=height,
            planes=self.planes,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Memory:
    """Planes by name, `[N, HW]`, of what (game, player) `keys` `[N]` remember."""

    keys: NDArray[np.int64]
    planes: Mapping[str, Plane]


class Viewer:
    """Views of one encoding. Remembers each (game, player) that it was last asked for on boards of their size; others
    are forgotten."""

    def __init__(self, encoding: Encoding, params: Mapping[str, float]) -> None:
        self.encoding = encoding
        self.params = encoding.with_params(params)
        self._memories: dict[tuple[int, int], _Memory] = {}

    def view(self, seen: Observations) -> Views:
        """The states of all observations, which are of boards of one size; once a tick for each game."""
        sight = _Sight(seen)
        remembered = self._remember(sight) if self.encoding.needs_memory else {}
        mated = (np.sum(seen.teams == sight.team[:, None], axis=1) > 1).any()
        names = (*self.encoding.planes, MINE) if mated else self.encoding.planes
        stored = [remembered[name] if name in remembered else _PLANES[name](sight) for name in _ordered(names)]
        return Views(
            planes=_ordered(names),
            armies=np.where(sight.visible, seen.armies, 0).astype(np.uint32),
            bits=np.packbits(np.stack(stored, axis=1), axis=2, bitorder="little"),
            scalars=self._scalars(sight),
        )

    def _remember(self, sight: "_Sight") -> Mapping[str, Plane]:
        """Tiles explored, and where generals of others were seen last."""
        seen = sight.seen
        keys = seen.games * PLAYERS_APART + seen.players
        explored = sight.visible.copy()
        generals = sight.enemy & IS_GENERAL[sight.kind]
        before = self._memories.get((seen.width, seen.height))
        if before is not None and len(before.keys):
            order = np.argsort(before.keys)
            at = order[np.minimum(np.searchsorted(before.keys[order], keys), len(order) - 1)]
            known = (before.keys[at] == keys)[:, None]
            explored |= known & before.planes["explored"][at]
            generals |= known & before.planes["enemy_general"][at] & ~sight.visible
        planes = {"explored": explored, "enemy_general": generals}
        self._memories[seen.width, seen.height] = _Memory(keys, planes)
        return planes

    def _scalars(self, sight: "_Sight") -> NDArray[np.float32]:
        found = np.empty((len(sight.seen), len(self.encoding.scalars)), np.float32)
        for index, name in enumerate(self.encoding.scalars):
            found[:, index] = _SCALARS[name](sight, self.params)
        return found


class _Sight:
    """Observations taken apart. All `[N, HW]`, but team `[N]`."""

    def __init__(self, seen: Observations) -> None:
        self.seen = seen
        self.team: NDArray[np.int32] = seen.teams[np.arange(len(seen)), seen.players]
        self.visible: Plane = seen.tiles != UNSEEN
        owner = (seen.tiles & OWNER_MASK).astype(np.int64)
        owned = self.visible & (owner > 0)
        theirs = seen.teams[
            np.arange(len(seen))[:, None], np.minimum(np.maximum(owner - 1, 0), seen.teams.shape[1] - 1)
        ]
        self.kind: NDArray[np.int64] = np.where(self.visible, seen.tiles >> KIND_SHIFT, 0).astype(np.int64)
        self.own: Plane = owned & (theirs == self.team[:, None])
        self.enemy: Plane = owned & ~self.own
        self.mine: Plane = owned & (owner == seen.players[:, None] + 1)

    def totals(self, of: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of a scoreboard `[N, P]`: the team's sum and that of all others."""
        same = self.seen.teams == self.team[:, None]
        real = self.seen.teams >= 0
        return (of * same).sum(axis=1).astype(np.float64), (of * (real & ~same)).sum(axis=1).astype(np.float64)


_PLANES: Mapping[str, Callable[[_Sight], Plane]] = {
    "own": lambda at: at.own,
    "enemy": lambda at: at.enemy,
    "city": lambda at: IS_STRUCTURE[at.kind] & at.visible,
    "mountain": lambda at: IS_IMPASSABLE[at.kind] & at.visible,
    "visible": lambda at: at.visible,
    MINE: lambda at: at.mine,
    "own_general": lambda at: IS_GENERAL[at.kind] & at.mine,
    "ready": lambda at: at.mine & (at.seen.armies > 1),
}


def _log_total(total: NDArray[np.float64], params: Mapping[str, float]) -> NDArray[np.float64]:
    scaled: NDArray[np.float64] = np.minimum(1.0, np.log1p(total) / np.log1p(params["total_scale"]))
    return scaled


def _land_difference(at: _Sight, params: Mapping[str, float]) -> NDArray[np.float64]:
    own, others = at.totals(at.seen.land)
    difference: NDArray[np.float64] = (own - others) / np.maximum(1.0, own + others)
    return difference


_SCALARS: Mapping[str, Callable[[_Sight, Mapping[str, float]], NDArray[np.float64]]] = {
    "turn_phase": lambda at, params: (at.seen.ticks % 50) / 50,
    "tick": lambda at, params: np.minimum(1.0, at.seen.ticks / params["tick_scale"]),
    "log_own_total": lambda at, params: _log_total(at.totals(at.seen.army)[0], params),
    "log_others_total": lambda at, params: _log_total(at.totals(at.seen.army)[1], params),
    "land_difference": _land_difference,
}


def _ordered(names: tuple[str, ...]) -> tuple[str, ...]:
    """The base planes, MINE if it is there, the encoding's own: the collector's order."""
    own = tuple(name for name in names if name not in BASE_PLANES and name != MINE)
    return (*BASE_PLANES, *((MINE,) if MINE in names else ()), *own)
