"""The default reward: the end of the game, cities that change hands, and a little for having the larger army.

Winning and dying give `win` and `loss` and nothing else. A general that is captured is a city afterwards and counts as
a city for its captor.

- win, loss: in the tick with which the player's living team wins, in which the player dies.
- city_captured, city_lost: for each city that the tick made the player's, that it took from the player.
- army_advantage: every tick, times (own - others) / (own + others) of the armies of the team and of all others.
"""

import numpy as np
from numpy.typing import NDArray

from generals_collector.rewards.declaration import Reward, Scores
from generals_collector.rewards.facts import Facts, Numbers
from generals_schemas.jit import jit_kernel


def score(facts: Facts, parameters: NDArray[np.float64]) -> Scores:
    """`[T, P]`."""
    scores = np.empty_like(facts.end)
    _score(facts.army, facts.others_army, facts.cities_won, facts.cities_lost, facts.end, parameters, scores)
    return scores


@jit_kernel
def _score(
    army: Numbers,
    others_army: Numbers,
    cities_won: Numbers,
    cities_lost: Numbers,
    end: Numbers,
    parameters: NDArray[np.float64],
    scores: Scores,
) -> None:
    """Takes the arrays, for a named tuple of eight costs numba as much to open as all of this."""
    win, loss, city_captured, city_lost, army_advantage = (
        parameters[0], parameters[1], parameters[2], parameters[3], parameters[4],
    )  # fmt: skip
    for t in range(scores.shape[0]):
        for p in range(scores.shape[1]):
            if end[t, p] != 0.0:
                scores[t, p] = win if end[t, p] > 0.0 else loss
                continue
            cities = city_captured * cities_won[t, p] + city_lost * cities_lost[t, p]
            own, others = army[t + 1, p], others_army[t + 1, p]
            share = (own - others) / (own + others) if own + others > 0.0 else 0.0
            scores[t, p] = cities + army_advantage * share


REWARD = Reward(
    "standard", score, {"win": 1.0, "loss": -1.0, "city_captured": 0.1, "city_lost": -0.1, "army_advantage": 0.05}
)
