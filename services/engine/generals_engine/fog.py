"""Fog of war: what one player sees of a game.

A player sees the 3 x 3 tiles around each of the team's. Elsewhere there is fog, or a fogged obstacle: a mountain, an
obstacle or a city, not told apart. A general in the fog looks like open land, until it is captured: then it is a city.
A team mate who surrendered still lends sight, for as long as the land is theirs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from generals_engine.board import NOBODY, Armies
from generals_engine.rules import GameState, scoreboard
from generals_schemas import tiles

_FOGGED_OBSTACLE = tiles.IS_IMPASSABLE | tiles.IS_CITY


@dataclass(frozen=True, slots=True, eq=False)
class PlayerView:
    """A game as one player sees it.

    visible: `[HW]`.
    obstacles: `[HW]`, true for a fogged obstacle; false wherever the player sees.
    tiles: `[HW]` u1, owner and kind, `UNSEEN` in the fog.
    armies: `[HW]` i4, 0 in the fog.
    army, land, alive: `[P]`, the scoreboard, which everybody sees.
    """

    player: int
    width: int
    height: int
    tick: int
    visible: NDArray[np.bool_]
    obstacles: NDArray[np.bool_]
    tiles: NDArray[np.uint8]
    armies: Armies
    army: NDArray[np.int64]
    land: NDArray[np.int64]
    alive: tuple[bool, ...]


def visible_to(state: GameState, player: int) -> NDArray[np.bool_]:
    """`[HW]`: the tiles within one step, diagonals too, of a tile of the player's team."""
    team = np.array([number == state.teams[player] for number in state.teams])
    return around((state.owners != NOBODY) & team[state.owners], state.width, state.height)


def around(owned: NDArray[np.bool_], width: int, height: int) -> NDArray[np.bool_]:
    """`[HW]`: the tiles within one step, diagonals too, of those of `owned` `[HW]`."""
    padded = np.pad(owned.reshape(height, width), 1)
    seen = np.zeros((height, width), np.bool_)
    for down in range(3):
        for right in range(3):
            seen |= padded[down : down + height, right : right + width]
    return seen.ravel()


def view(state: GameState, player: int) -> PlayerView:
    """What the player sees."""
    visible = visible_to(state, player)
    army, land = scoreboard(state)
    return PlayerView(
        player=player,
        width=state.width,
        height=state.height,
        tick=state.tick,
        visible=visible,
        obstacles=~visible & _FOGGED_OBSTACLE[state.kinds],
        tiles=np.where(visible, state.tiles, np.uint8(tiles.UNSEEN)),
        armies=np.where(visible, state.armies, np.int32(0)),
        army=army,
        land=land,
        alive=state.alive,
    )
