"""Gymnasium: one agent against named opponents."""

from typing import Any

import gymnasium
import numpy as np

from generals_engine.envs.table import Observation, Table, TableSettings, seated

_SEEDS = 1 << 62


class GeneralsEnv(gymnasium.Env[Observation, np.int64]):
    """Player 0 is the agent. Observations: the nine planes and the mask of legal actions.

    Reward: +1 for winning, -1 for dying or losing, 0 otherwise; the tick limit truncates.
    Arguments beyond `opponents` are those of `TableSettings`.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 4}  # noqa: RUF012 - as the base has it

    def __init__(
        self, opponents: tuple[str, ...] | str = ("expander",), render_mode: str | None = None, **table: Any
    ) -> None:
        settings = TableSettings(**table)
        named = (opponents,) if isinstance(opponents, str) else tuple(opponents)
        self.render_mode = render_mode
        self.observation_space, self.action_space = settings.spaces()
        self._table = Table(settings, seated(named, settings, agents=1))
        self._actions = np.zeros((1, settings.players), np.int32)
        self._places, self._players = np.zeros(1, np.int64), np.zeros(1, np.int32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        self._table.start(0, int(self.np_random.integers(_SEEDS)))
        return self._observe(), {}

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        self._actions[0, 0] = action
        self._table.step(np.ones(1, np.bool_), self._actions)
        outcome = self._table.outcome(0)
        alive = bool(self._table.alive(0)[0])
        truncated = alive and outcome is not None and outcome.truncated
        terminated = not truncated and (outcome is not None or not alive)
        info = {} if outcome is None else {"outcome": outcome.reason, "winners": outcome.winners}
        return self._observe(), float(self._table.rewards(0)[0]), terminated, truncated, info

    def render(self) -> str | None:
        """The whole board, without fog, as text."""
        return self._table.text(0) if self.render_mode == "ansi" else None

    def _observe(self) -> Observation:
        return {name: array[0] for name, array in self._table.observe(self._places, self._players).items()}
