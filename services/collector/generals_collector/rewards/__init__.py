"""Rewards by name: one small pure function each, over a whole chunk.

`get_reward` takes the name of a file here, several joined by `+` (`standard+potential`: their sum, parameters then
named `standard.win` and weighted by `standard.weight`), or a program's own as `module:attribute`. A name's defaults
never change: records carry only the parameters that differ from them.
"""

from importlib import import_module
from pkgutil import iter_modules

from generals_collector.rewards.composition import compose
from generals_collector.rewards.declaration import Reward
from generals_collector.rewards.facts import Facts, gather_facts
from generals_schemas.named import attribute_named

__all__ = ["Facts", "Reward", "gather_facts", "get_reward", "reward_names"]

_NO_REWARDS = {"__main__", "composition", "declaration", "facts"}


def reward_names() -> tuple[str, ...]:
    """The names of all rewards in this package."""
    return tuple(sorted(m.name for m in iter_modules(__path__) if m.name not in _NO_REWARDS))


def get_reward(name: str) -> Reward:
    """The reward of a name, of several joined by `+`, or of `module:attribute`.

    Raises:
        KeyError: no such reward; the message lists those there are.
    """
    parts = name.split("+")
    if len(parts) > 1:
        if len(set(parts)) < len(parts):
            raise KeyError(f"reward {name!r} adds the same twice; give it a weight instead")
        return compose(name, [_single(part) for part in parts])
    return _single(name)


def _single(name: str) -> Reward:
    if ":" in name:
        found = attribute_named("reward", name)
    elif name in reward_names():
        found = import_module(f"{__name__}.{name}").REWARD
    else:
        known = ", ".join(reward_names())
        raise KeyError(f"reward {name!r} is unknown; there are {known}, sums of them, or module:attribute")
    if not isinstance(found, Reward):
        raise KeyError(f"{name!r} is no Reward but {type(found).__name__}")
    return found
