"""Views of players for policies outside the kernel."""

import numpy as np
from numpy.typing import NDArray

from generals_engine.kernel.state import ALIVE, AREA, HEIGHT, PLAYERS, TEAM, TICK, TILES, WIDTH, State
from generals_engine.kernel.view import look, score
from generals_engine.policies.protocol import Observations, Version


def observe(
    state: State,
    places: NDArray[np.int64],
    players: NDArray[np.int32],
    games: NDArray[np.int64],
    versions: tuple[Version, ...],
) -> Observations:
    """What player `players[i]` sees of the game in place `places[i]`; all boards have one size.

    games: the numbers by which policies know the games.  versions: who plays.
    """
    words = state.words[places, :TILES]  # not the sections after it: they would be 300 kB a game
    count, area = len(places), int(words[0, AREA])
    most = int(words[:, PLAYERS].max())
    tiles = np.empty((count, area), np.uint8)
    armies = np.empty((count, area), np.int32)
    obstacles = np.empty((count, area), np.bool_)
    look(state, places, players, tiles, armies, obstacles)
    army, land = np.empty((count, most), np.int64), np.empty((count, most), np.int64)
    score(state, places, army, land)
    teams = words[:, TEAM : TEAM + most].copy()
    teams[np.arange(most) >= words[:, PLAYERS, None]] = -1
    return Observations(
        width=int(words[0, WIDTH]),
        height=int(words[0, HEIGHT]),
        games=games,
        players=players,
        ticks=words[:, TICK].copy(),
        tiles=tiles,
        armies=armies,
        obstacles=obstacles,
        teams=teams,
        army=army,
        land=land,
        alive=words[:, ALIVE].copy(),
        versions=versions,
    )
