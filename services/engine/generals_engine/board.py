"""The board in the middle of a tick: the one mutable thing in the readable rules.

`rules.step` copies a `GameState` into a `Board`, the phases of the tick change it, and `rules.step` freezes it again.
Owners are -1 for nobody, else the player. Tiles are row-major: index = y * W + x.
"""

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from generals_schemas import tiles

Owners: TypeAlias = NDArray[np.int8]
Kinds: TypeAlias = NDArray[np.uint8]
Armies: TypeAlias = NDArray[np.int32]

NOBODY = -1

CITY_OF = np.arange(16, dtype=np.uint8)
"""`[16]`: the kind that a general's tile turns into when it stops being one; other kinds stay."""
CITY_OF[[tiles.GENERAL, tiles.SWAMP_GENERAL, tiles.DESERT_GENERAL]] = (
    tiles.CITY,
    tiles.SWAMP_CITY,
    tiles.DESERT_CITY,
)


@dataclass(slots=True)
class Board:
    """Tiles, who lives, and what has happened in this tick so far.

    owners: `[HW]` i1.  kinds: `[HW]` u1, see `generals_schemas.tiles`.  armies: `[HW]` i4.
    teams: `[P]`, two players are in one team if their numbers are equal.
    winning_team: set by the death that leaves one team alive, and never changed again: who then surrenders in the same
        tick has won all the same.
    """

    width: int
    height: int
    rules_version: int
    tick: int
    teams: tuple[int, ...]
    owners: Owners
    kinds: Kinds
    armies: Armies
    alive: list[bool]
    winning_team: int | None = None
    captures: list[tuple[int, int]] = field(default_factory=list)
    deaths: list[int] = field(default_factory=list)
    trades: list[tuple[int, int]] = field(default_factory=list)
    neutralised: list[int] = field(default_factory=list)

    def is_general(self, tile: int) -> bool:
        return bool(tiles.IS_GENERAL[self.kinds[tile]])

    def is_passable(self, tile: int) -> bool:
        return not tiles.IS_IMPASSABLE[self.kinds[tile]]

    def is_own_team(self, player: int, tile: int) -> bool:
        """Whether the tile belongs to the player or a team mate."""
        owner = self.owners[tile]
        return bool(owner != NOBODY and self.teams[owner] == self.teams[player])

    def are_neighbours(self, one: int, other: int) -> bool:
        """Whether both tiles are on the board and share an edge."""
        size = self.width * self.height
        if not (0 <= one < size and 0 <= other < size):
            return False
        (y, x), (v, u) = divmod(one, self.width), divmod(other, self.width)
        return abs(y - v) + abs(x - u) == 1

    def general_of(self, player: int) -> int | None:
        """The tile of the general that the player still owns."""
        found = np.flatnonzero((self.owners == player) & tiles.IS_GENERAL[self.kinds])
        return int(found[0]) if found.size else None

    def kill(self, player: int) -> None:
        """The player dies. What happens to the land is the caller's business."""
        self.alive[player] = False
        self.deaths.append(player)
        if self.winning_team is None:
            self.winning_team = last_team(self.teams, self.alive)

    def hand_over(self, player: int, heir: int) -> None:
        """All the player's tiles, with their whole armies, pass to `heir`, who may be NOBODY."""
        self.owners[self.owners == player] = heir

    def make_city(self, tile: int) -> None:
        self.kinds[tile] = CITY_OF[self.kinds[tile]]


def last_team(teams: tuple[int, ...], alive: list[bool]) -> int | None:
    """The only team with a living player, or None if there are several or none."""
    living = {team for team, lives in zip(teams, alive, strict=True) if lives}
    return living.pop() if len(living) == 1 else None


def half_up(armies: Armies) -> Armies:
    """`ceil(army / 2)`, what a captor gets of each army."""
    return -(-armies // 2)
