"""The default reward: the end of the game, cities that change hands, and a little for having the larger army.

Winning and dying give `win` and `loss` and nothing else. A general that is captured is a city afterwards and counts as
a city for its captor.
"""

import numpy as np
from numpy.typing import NDArray

from generals_collector.rewards.declaration import Reward, Scores
from generals_collector.rewards.facts import Facts
from generals_schemas.jit import jit


@jit
def score(facts: Facts, parameters: NDArray[np.float64]) -> Scores:
    """`[T, P]`."""
    win, loss, city_captured, city_lost, army_advantage = parameters
    scores = np.empty_like(facts.end)
    for t in range(scores.shape[0]):
        for p in range(scores.shape[1]):
            if facts.end[t, p] != 0.0:
                scores[t, p] = win if facts.end[t, p] > 0.0 else loss
                continue
            cities = city_captured * facts.cities_won[t, p] + city_lost * facts.cities_lost[t, p]
            own, others = facts.army[t + 1, p], facts.others_army[t + 1, p]
            share = (own - others) / (own + others) if own + others > 0.0 else 0.0
            scores[t, p] = cities + army_advantage * share
    return scores


REWARD = Reward(
    "standard", score, {"win": 1.0, "loss": -1.0, "city_captured": 0.1, "city_lost": -0.1, "army_advantage": 0.05}
)
