"""Shaping by a potential: `gamma * phi(after) - phi(before)` of the shares of land and army.

With `end` 0, as by default, the potential vanishes where an episode ends, and adding this to any reward leaves the
optimal policy as it is (for a learner with the same gamma). `end` 0.5 is the recipe that learnt fastest here: it adds
what amounts to a larger reward for winning. A truncated game keeps its potential, for a learner goes on from there;
with `cut` 0 it vanishes there, for a learner that takes it for a draw.

- gamma: the learner's discount.
- land, army: weights of the team's share of all land and of all army, each less one half.
- end: the potential after a win; after a death it is the same below zero.
- cut: by what the potential is multiplied where the tick limit ends the game.
"""

import numpy as np
from numpy.typing import NDArray

from generals_collector.rewards.declaration import Reward, Scores
from generals_collector.rewards.facts import Facts, Numbers


def score(facts: Facts, parameters: NDArray[np.float64]) -> Scores:
    """`[T, P]`."""
    gamma, land, army, end, cut = parameters
    potential = land * _share(facts.land, facts.others_land) + army * _share(facts.army, facts.others_army)
    kept = np.where(facts.cut != 0.0, cut * potential[1:], potential[1:])
    after = np.where(facts.end != 0.0, end * facts.end, kept)
    shaped: Scores = gamma * after - potential[:-1]
    return shaped


def _share(own: Numbers, others: Numbers) -> Numbers:
    """`[T + 1, P]`: -0.5 … 0.5, 0 if there is nothing to share."""
    total = own + others
    share: Numbers = np.divide(own, total, out=np.full_like(own, 0.5), where=total > 0.0) - 0.5
    return share


REWARD = Reward("potential", score, {"gamma": 0.99, "land": 0.5, "army": 0.5, "end": 0.0, "cut": 1.0})
