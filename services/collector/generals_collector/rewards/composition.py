"""Sums of rewards."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from generals_collector.rewards.declaration import Reward, Scores
from generals_collector.rewards.facts import Facts

WEIGHT = "weight"


def compose(name: str, parts: Sequence[Reward]) -> Reward:
    """The weighted sum of `parts`. Parameters: each part's own under `part.`, and `part.weight`, 1 by default."""
    params = {f"{part.name}.{key}": value for part in parts for key, value in {WEIGHT: 1.0, **part.params}.items()}

    def score(facts: Facts, parameters: NDArray[np.float64]) -> Scores:
        total = np.zeros_like(facts.end)
        start = 0
        for part in parts:
            stop = start + 1 + len(part.params)
            total += parameters[start] * part.evaluate(facts, parameters[start + 1 : stop])
            start = stop
        return total

    return Reward(name, score, params)
