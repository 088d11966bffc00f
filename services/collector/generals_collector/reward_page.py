"""The rewards' documentation, made from their declarations and the docstrings of their modules."""

import inspect
from collections.abc import Iterator
from importlib import import_module

from generals_collector import rewards
from generals_collector.rewards import Facts, get_reward, reward_names

HEAD = """\
# Rewards

Made by `python -m generals_collector.rewards`; a test says when it is out of date. Change a declaration in
`services/collector/generals_collector/rewards`, not this page.

`collector.reward` names one and `collector.reward_params` overrides its defaults; both may change while a collector
runs. Records carry the name and the parameters that differ from the defaults. `generals retensorise --to TOPIC
--reward NAME --reward-param NAME=VALUE` makes the past again with another one. Every reward has the parameter `clip`
besides: c cuts it to -c … c, 0 is off.

```yaml
collector:
  reward: standard+potential
  reward_params: {standard.army_advantage: 0.0, potential.gamma: 0.997, potential.weight: 0.5}
```

`+` adds rewards. The parameters of each part are then named `part.parameter`, and `part.weight`, 1 by default,
multiplies it.
"""

OWN = """\
## One of your own

A reward is a `Reward` of any module that the collector can import, named `module:attribute`. Its function gets the
facts of a whole chunk of T ticks and P players and the parameters, in their order without `clip`, and gives `[T, P]`.
It has to be pure, for a chunk may be converted again. A name's defaults must never change, for records leave them
out: give the changed one another name. Write it into a file `land_reward.py`:

```python
import numpy as np

from generals_collector.rewards import Facts, Reward


def score(facts: Facts, parameters: np.ndarray) -> np.ndarray:
    (per_tile,) = parameters
    return per_tile * np.diff(facts.land, axis=0)


REWARD = Reward("land_reward:REWARD", score, {"per_tile": 0.01})
```

and say `reward: land_reward:REWARD`, with the file's folder in the collector's `PYTHONPATH`. The facts:

"""


def document() -> str:
    """The page."""
    sections = "\n".join(line for name in reward_names() for line in _section(name))
    facts = inspect.getdoc(Facts) or ""
    return f"{HEAD}\n{sections}\n{OWN}{_listed(facts)}"


def _section(name: str) -> Iterator[str]:
    yield f"## {name}"
    yield ""
    yield inspect.getdoc(import_module(f"{rewards.__name__}.{name}")) or ""
    yield ""
    yield "| parameter | default |"
    yield "|---|---:|"
    for parameter, default in get_reward(name).params.items():
        yield f"| `{parameter}` | {default:g} |"
    yield ""


def _listed(facts: str) -> str:
    """The lines `names: meaning` of a docstring, as a list."""
    return "".join(f"- {line}\n" for line in facts.split("\n\n", 1)[1].splitlines())
