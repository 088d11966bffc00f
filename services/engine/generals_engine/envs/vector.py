"""Gymnasium's vector environment: many games in one kernel call, one agent in each.

A game that has ended starts anew in the next step, whose action is ignored (`AutoresetMode.NEXT_STEP`).
"""

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from generals_engine.envs.table import Observation, Table, TableSettings, seated

_SEEDS = 1 << 62


class GeneralsVectorEnv(VectorEnv[Observation, NDArray[np.int64], NDArray[Any]]):
    """`num_envs` games, the agent is player 0 in each. See `GeneralsEnv` for the rest."""

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012 - as the base has it

    def __init__(
        self, num_envs: int = 64, opponents: tuple[str, ...] | str = ("expander",), render_mode: str | None = None,
        **table: Any,
    ) -> None:  # fmt: skip
        settings = TableSettings(**table)
        named = (opponents,) if isinstance(opponents, str) else tuple(opponents)
        self.num_envs, self.render_mode = num_envs, render_mode
        self.single_observation_space, self.single_action_space = settings.spaces()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._table = Table(settings, seated(named, settings, agents=1), num_envs)
        self._places, self._players = np.arange(num_envs), np.zeros(num_envs, np.int32)
        self._ended = np.zeros(num_envs, np.bool_)
        self._streams: list[np.random.Generator] = []

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """`seed` n seeds the games with n, n + 1, …"""
        seeds = (
            [None if seed is None else seed + i for i in range(self.num_envs)] if not isinstance(seed, list) else seed
        )
        if not self._streams or any(one is not None for one in seeds):
            self._streams = [np.random.default_rng(one) for one in seeds]
        for place in range(self.num_envs):
            self._start(place)
        return self._table.observe(self._places, self._players), {}

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[Observation, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        restarted = self._ended.copy()
        for place in np.flatnonzero(restarted):
            self._start(int(place))
        table = self._table
        taken = np.zeros((self.num_envs, table.settings.players), np.int32)
        taken[:, 0] = actions
        table.step(~restarted, taken)
        rewards = table.rewards(0)
        cut = np.array([found is not None and found.truncated for found in map(table.outcome, range(self.num_envs))])
        truncated = cut & table.alive(0) & ~restarted
        terminated = (table.over | ~table.alive(0)) & ~truncated & ~restarted
        rewards[restarted] = 0.0
        self._ended = terminated | truncated
        return table.observe(self._places, self._players), rewards, terminated, truncated, {}

    def _start(self, place: int) -> None:
        self._table.start(place, int(self._streams[place].integers(_SEEDS)))
        self._ended[place] = False
