"""PettingZoo: every player is an agent, and all move at once."""

from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from pettingzoo import ParallelEnv

from generals_engine.envs.table import Observation, Table, TableSettings, seated


class GeneralsParallelEnv(ParallelEnv[str, Observation, int]):  # type: ignore[misc]  # PettingZoo is untyped
    """Agents are `player_0`, `player_1`, …; who dies is terminated and leaves. See `GeneralsEnv` for the rest."""

    metadata: ClassVar[dict[str, Any]] = {
        "name": "generals_v0",
        "render_modes": ["ansi"],
        "is_parallelizable": True,
        "render_fps": 4,
    }

    def __init__(self, render_mode: str | None = None, **table: Any) -> None:
        settings = TableSettings(**table)
        self.render_mode = render_mode
        self.possible_agents = [f"player_{player}" for player in range(settings.players)]
        self.agents: list[str] = []
        self._players = {agent: player for player, agent in enumerate(self.possible_agents)}
        self._observations, self._moves = settings.spaces()
        self._table = Table(settings, seated((), settings, agents=settings.players))
        self._random = np.random.default_rng()

    def observation_space(self, agent: str) -> spaces.Space[Observation]:
        return self._observations

    def action_space(self, agent: str) -> spaces.Discrete[Any]:
        return self._moves

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Observation], dict[str, dict[str, Any]]]:
        if seed is not None:
            self._random = np.random.default_rng(seed)
        self._table.start(0, int(self._random.integers(1 << 62)))
        self.agents = self.possible_agents[:]
        return self._observe(self.agents), {agent: {} for agent in self.agents}

    def step(
        self, actions: dict[str, int]
    ) -> tuple[dict[str, Observation], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        table, present = self._table, self.agents
        pass_action = int(self._moves.n) - 1
        taken = np.full((1, len(self.possible_agents)), pass_action, np.int32)
        for agent, action in actions.items():
            taken[0, self._players[agent]] = action
        table.step(np.ones(1, np.bool_), taken)
        outcome = table.outcome(0)
        cut = outcome is not None and outcome.truncated
        dead = {agent: not bool(table.alive(self._players[agent])[0]) for agent in present}
        terminated = {agent: dead[agent] or (outcome is not None and not cut) for agent in present}
        truncated = {agent: cut and not dead[agent] for agent in present}
        rewards = {agent: float(table.rewards(self._players[agent])[0]) for agent in present}
        info = {} if outcome is None else {"outcome": outcome.reason, "winners": outcome.winners}
        self.agents = [agent for agent in present if not (terminated[agent] or truncated[agent])]
        return self._observe(present), rewards, terminated, truncated, {agent: dict(info) for agent in present}

    def render(self) -> str | None:
        """The whole board, without fog, as text."""
        return self._table.text(0) if self.render_mode == "ansi" else None

    def _observe(self, agents: list[str]) -> dict[str, Observation]:
        players = np.array([self._players[agent] for agent in agents], np.int32)
        seen = self._table.observe(np.zeros(len(agents), np.int64), players)
        return {agent: {name: array[i] for name, array in seen.items()} for i, agent in enumerate(agents)}
