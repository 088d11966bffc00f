"""One tick of many games, unrecorded: for environments, whose users keep what they want to keep."""

import numpy as np
from numpy.typing import NDArray

from generals_engine.kernel.deaths import lives
from generals_engine.kernel.state import PLAYERS, POLICY, Bits, Game, State
from generals_engine.kernel.tick import tick
from generals_engine.policies.dispatch import choose
from generals_schemas.actions import DEAD
from generals_schemas.jit import jit_kernel


@jit_kernel
def turn_games(state: State, playing: NDArray[np.bool_], actions: NDArray[np.int32]) -> None:
    """One tick of each game g with `playing[g]`; kernel policies write their actions into `actions` `[G, P]`."""
    for g in range(playing.size):
        if playing[g]:
            _turn(state.words[g], state.bits[g], actions[g])


@jit_kernel
def _turn(game: Game, bits: Bits, actions: NDArray[np.int32]) -> None:
    for player in range(game[PLAYERS]):
        if not lives(game, player):
            actions[player] = DEAD
        elif game[POLICY + player] >= 0:
            actions[player] = choose(game, bits, player)
    tick(game, bits, actions, 0, 0)
