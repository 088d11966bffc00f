"""What a policy outside the kernel sees and answers."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from generals_schemas.records import PolicyRef


@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """Who plays in a seat for a chunk.

    ref: what the chunk says.  network: what plays, of a policy that has several; only the policy looks at it.
    """

    ref: PolicyRef
    network: Any = None


@dataclass(frozen=True, slots=True, eq=False)
class Observations:
    """N views of players on boards of one size, in the order of (game, player).

    tiles: `[N, HW]` u1, owner and kind, `tiles.UNSEEN` in the fog.  armies: `[N, HW]` i4, 0 in the fog.
    obstacles: `[N, HW]`, fog that hides a mountain, an obstacle or a city, not told apart.
    players, ticks: `[N]`.  teams: `[N, P]`, -1 beyond the game's players.
    army, land: `[N, P]`, the scoreboard.  alive: `[N]` bit p: player p lives.
    games: `[N]`, a number that no other game of the worker has: the key for a policy's memory of a game.
    versions: `[N]`, who plays: what the policy said when the game's chunk began.
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
    versions: tuple[Version, ...]

    def __len__(self) -> int:
        return len(self.players)


class NoAnswer(Exception):
    """A policy has no answer this time, and it is nobody's fault in the game: its players pass."""


class BatchPolicy(Protocol):
    """A policy that answers for many games at once. In a worker it has a deadline, see `generals_engine.deadline`."""

    @property
    def ref(self) -> PolicyRef:
        """Name and version. Chunks say what it was when they began; one that changes is a `ChangingPolicy`."""

    def act(self, observations: Observations) -> NDArray[np.int32]:
        """`[N]` flat actions, one for each observation. What is not legal is a pass.

        After an exception it is asked again in the same tick, for fewer games, to find those that it fails at.
        """


@runtime_checkable
class ChangingPolicy(BatchPolicy, Protocol):
    """A policy of which newer versions come while games go on.

    A chunk has one version from its first tick to its last. So a game's next version is asked for when a chunk begins,
    and `act` must play each observation by the one in `observations.versions`. Who has none any more can be forgotten.
    """

    def next_version(self, before: Version | None) -> Version:
        """Who plays the next chunk of a game; `before` played the last one, None in a new game."""


def next_version(policy: BatchPolicy, before: Version | None) -> Version:
    """Who plays the next chunk, of any policy."""
    return policy.next_version(before) if isinstance(policy, ChangingPolicy) else Version(policy.ref)


class WrappedPolicy:
    """A policy behind another one that watches over it: what `act` adds is the subclass's."""

    def __init__(self, policy: BatchPolicy) -> None:
        self._policy = policy

    @property
    def ref(self) -> PolicyRef:
        return self._policy.ref

    def next_version(self, before: Version | None) -> Version:
        return next_version(self._policy, before)

    def act(self, observations: Observations) -> NDArray[np.int32]:
        return self._policy.act(observations)
