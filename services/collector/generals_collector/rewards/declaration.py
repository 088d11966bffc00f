"""What a reward declares."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from generals_collector.rewards.facts import Facts

CLIP = "clip"

Scores: TypeAlias = NDArray[np.float64]
Score: TypeAlias = Callable[[Facts, NDArray[np.float64]], Scores]
"""`(facts, parameters [K])`, which `clip` is not among, to rewards `[T, P]`: pure, compiled or plain numpy. For the
dead it is not used."""


@dataclass(frozen=True, slots=True)
class Reward:
    """A reward by name.

    score: gets the parameters as an array, in the order of `params` without `clip`.
    params: the defaults, which a configuration may override. Every reward has `clip` besides:
        c cuts to -c … c, 0 is off.
    """

    name: str
    score: Score
    params: Mapping[str, float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "params", MappingProxyType({**self.params, CLIP: 0.0}))

    def parameters(self, overrides: Mapping[str, float]) -> NDArray[np.float64]:
        """`[K]`: all parameters, `overrides` applied.

        Raises:
            ValueError: a parameter that the reward does not have, or one that is no finite number.
        """
        for name, value in overrides.items():
            if name not in self.params:
                raise ValueError(f"reward {self.name} has no parameter {name!r}; it has {', '.join(self.params)}")
            if not np.isfinite(value):
                raise ValueError(f"reward {self.name}: parameter {name} is {value}, must be a finite number")
        return np.array([overrides.get(name, default) for name, default in self.params.items()], np.float64)

    def evaluate(self, facts: Facts, parameters: NDArray[np.float64]) -> Scores:
        """`[T, P]`: the rewards of a chunk. `parameters` `[K]` are those of `parameters()`."""
        scores = self.score(facts, parameters[:-1])
        clip = parameters[-1]
        return np.clip(scores, -clip, clip) if clip > 0.0 else scores

    def changed(self, overrides: Mapping[str, float]) -> dict[str, float]:
        """Those of `overrides` that differ from the defaults: what records carry."""
        return {name: float(value) for name, value in sorted(overrides.items()) if value != self.params[name]}
