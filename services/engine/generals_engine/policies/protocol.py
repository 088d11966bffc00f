"""What a policy outside the kernel sees and answers."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from generals_schemas.records import PolicyRef


@dataclass(frozen=True, slots=True, eq=False)
class Observations:
    """N views of players on boards of one size, in the order of (game, player).

    tiles: `[N, HW]` u1, owner and kind, `tiles.UNSEEN` in the fog.  armies: `[N, HW]` i4, 0 in the fog.
    obstacles: `[N, HW]`, fog that hides a mountain, an obstacle or a city, not told apart.
    players, ticks: `[N]`.  teams: `[N, P]`, -1 beyond the game's players.
    army, land: `[N, P]`, the scoreboard.  alive: `[N]` bit p: player p lives.
    games: `[N]`, a number that no other game of the worker has: the key for a policy's memory of a game.
    """

    width: int
    height: int
    games: NDArray[np.int64]
    players: NDArray[np.int32]
    ticks: NDArray[np.int32]
    tiles: NDArray[np.uint8]
    armies: NDArray[np.int32]
    obstacles: NDArray[np.bool_]
    teams: NDArray[np.int32]
    army: NDArray[np.int64]
    land: NDArray[np.int64]
    alive: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.players)


class NoAnswer(Exception):
    """A policy has no answer this time, and it is nobody's fault in the game: its players pass."""


class BatchPolicy(Protocol):
    """A policy that answers for many games at once. In a worker it has a deadline, see `generals_engine.deadline`."""

    @property
    def ref(self) -> PolicyRef:
        """Name and version. A new version is taken into account at the next chunk of each game."""

    def act(self, observations: Observations) -> NDArray[np.int32]:
        """`[N]` flat actions, one for each observation. What is not legal is a pass."""
