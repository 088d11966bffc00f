"""Environments over the kernel: Gymnasium (single and vector) and PettingZoo. Needs the `envs` extra.

Importing this registers the Gymnasium ones: `gymnasium.make("generals_engine.envs:Generals/Duel-v0")`, and
`gymnasium.make_vec` of the same name for many games in one call. `parallel_env(**arguments)` makes PettingZoo's.
"""

import gymnasium

from generals_engine.envs.parallel import GeneralsParallelEnv
from generals_engine.envs.single import GeneralsEnv
from generals_engine.envs.table import TableSettings
from generals_engine.envs.vector import GeneralsVectorEnv

__all__ = ["NAMES", "GeneralsEnv", "GeneralsParallelEnv", "GeneralsVectorEnv", "TableSettings", "parallel_env"]

NAMES = {
    "Generals/Duel-v0": {"players": 2, "width": 20, "height": 20},
    "Generals/SmallDuel-v0": {"players": 2, "width": 8, "height": 8, "tick_limit": 250},
    "Generals/FreeForAll-v0": {"players": 8, "width": 28, "height": 28},
}
"""Registered names, and what is played under each. Arguments of `make` override it."""

parallel_env = GeneralsParallelEnv

for _name, _arguments in NAMES.items():
    if _name not in gymnasium.registry:
        gymnasium.register(
            _name,
            entry_point="generals_engine.envs.single:GeneralsEnv",
            vector_entry_point="generals_engine.envs.vector:GeneralsVectorEnv",
            kwargs=_arguments,
        )
