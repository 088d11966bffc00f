"""The end of the game alone: nothing is given before it.

- win: in the tick with which the player's living team wins.
- loss: in the tick in which the player dies.
"""

import numpy as np
from numpy.typing import NDArray

from generals_collector.rewards.declaration import Reward, Scores
from generals_collector.rewards.facts import Facts


def score(facts: Facts, parameters: NDArray[np.float64]) -> Scores:
    """`[T, P]`."""
    win, loss = parameters
    scores: Scores = win * (facts.end > 0.0) + loss * (facts.end < 0.0)
    return scores


REWARD = Reward("outcome", score, {"win": 1.0, "loss": -1.0})
