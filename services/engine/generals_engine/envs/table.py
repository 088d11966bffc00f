"""Games for environments: the kernel's state without recording, seats for agents and for heuristics.

One `Table` serves all three environments; they differ in what they make of it, not in how it plays.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from generals_engine.asking import ask
from generals_engine.chunks import Seat, outcome_of
from generals_engine.drawing import picture
from generals_engine.kernel.planes import PLANES, see_planes
from generals_engine.kernel.start import GameRules, start_game
from generals_engine.kernel.state import ALIVE, ARMIES, OVER, PLAYING, TILES, allocate
from generals_engine.kernel.turn import turn_games
from generals_engine.map_files import load_map
from generals_engine.maps import MapError, generate_map
from generals_engine.policies import Policy, find_policy, next_versions
from generals_engine.policies.codes import EXTERNAL
from generals_engine.rng import derive
from generals_engine.rules import start
from generals_schemas.records import Outcome

Observation = dict[str, NDArray[np.float32] | NDArray[np.int8]]

AGENT = Policy("agent", EXTERNAL)
"""In a seat whose actions come from the environment's user."""

_MAP, _POLICY = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSettings:
    """What is played. Each game has a map of its own, unless a map file (of this size) is given."""

    players: int = 2
    teams: tuple[int, ...] | None = None
    width: int = 20
    height: int = 20
    map_file: str | None = None
    tick_limit: int = 1000
    army_scale: float = 1000.0
    rules_version: int = 18

    def spaces(self) -> tuple[gymnasium.Space[Observation], spaces.Discrete]:
        """Of one player's observations and actions."""
        actions = 8 * self.width * self.height + 1
        planes = spaces.Box(0.0, 1.0, (PLANES, self.height, self.width), np.float32)
        mask = spaces.Box(0, 1, (actions,), np.int8)
        observations: gymnasium.Space[Any] = spaces.Dict({"observation": planes, "action_mask": mask})
        return observations, spaces.Discrete(actions)


class Table:
    """`games` games side by side. `seats` `[P]`: AGENT, or the policy that plays there."""

    def __init__(self, settings: TableSettings, seats: tuple[Policy, ...], games: int = 1) -> None:
        self.settings, self.seats, self.games = settings, seats, games
        self._board = None if settings.map_file is None else load_map(Path(settings.map_file))
        if self._board is not None and (self._board.width, self._board.height) != (settings.width, settings.height):
            size = f"{self._board.width} x {self._board.height}"
            raise MapError(f"map {settings.map_file} is {size}, but width and height say otherwise")
        self.state = allocate(games=games, slots=1, record_tiles=1, chunk_ticks=1, players=1)
        self._guests: list[Seat | None] = [None] * games
        self._started = 0
        self._asks = any(policy.batch is not None for policy in seats)

    def start(self, place: int, seed: int) -> None:
        """A new game in a place. The same seed gives the same map and the same heuristics' draws."""
        settings = self.settings
        teams = settings.teams or tuple(range(settings.players))
        board = self._board or generate_map(
            derive(seed, _MAP),
            players=settings.players,
            teams=len(set(teams)),
            width=settings.width,
            height=settings.height,
        )
        rules = GameRules(
            teams=teams,
            policies=[policy.code for policy in self.seats],
            version=settings.rules_version,
            tick_limit=settings.tick_limit,
        )
        start_game(self.state, place, board, rules, derive(seed, _POLICY))
        self._started += 1
        self._guests[place] = Seat(
            game_id="",
            ordinal=self._started,
            board=board,
            policies=self.seats,
            policy_seed=0,
            started_ms=0,
            versions=next_versions(self.seats, (None,) * len(self.seats)),
            memory=None,
        )

    def step(self, playing: NDArray[np.bool_], actions: NDArray[np.int32]) -> None:
        """One tick of the games of `playing` `[G]`; `actions` `[G, P]` hold the agents', and get the others'."""
        if self._asks:
            ask(self.state, self._guests, actions)
            for guest in self._guests:
                if guest is not None and guest.failure is not None:
                    raise RuntimeError(guest.failure)
        turn_games(self.state, playing, actions)

    def observe(self, places: NDArray[np.int64], players: NDArray[np.int32]) -> Observation:
        """`observation` `[N, 9, H, W]` and `action_mask` `[N, 8 * HW + 1]`; fresh arrays."""
        settings = self.settings
        area = settings.width * settings.height
        planes = np.empty((len(places), PLANES, area), np.float32)
        mask = np.empty((len(places), 8 * area + 1), np.int8)
        see_planes(self.state, places, players, settings.army_scale, planes, mask)
        return {"observation": planes.reshape(-1, PLANES, settings.height, settings.width), "action_mask": mask}

    def outcome(self, place: int) -> Outcome | None:
        return outcome_of(self.state, place)

    @property
    def over(self) -> NDArray[np.bool_]:
        """`[G]`."""
        return np.asarray(self.state.words[:, OVER] != PLAYING)

    def alive(self, player: int) -> NDArray[np.bool_]:
        """`[G]`."""
        return (self.state.words[:, ALIVE] >> player & 1).astype(np.bool_)

    def text(self, place: int) -> str:
        """The whole board, without fog, as text."""
        words, settings = self.state.words[place], self.settings
        area = settings.width * settings.height
        board = words[TILES : TILES + area].astype(np.uint8)
        teams = settings.teams or tuple(range(settings.players))
        armies = words[ARMIES : ARMIES + area]
        return picture(start(board, armies, width=settings.width, height=settings.height, teams=teams))

    def rewards(self, player: int) -> NDArray[np.float32]:
        """`[G]`: +1 for a winner who lives, -1 for the dead and for who lost, else 0. Counts at an end or a death."""
        rewards = np.where(self.alive(player), 0.0, -1.0).astype(np.float32)
        for place in np.flatnonzero(self.over):
            found = self.outcome(int(place))
            if found is not None and not found.truncated:
                rewards[place] = 1.0 if player in found.winners else -1.0
        return rewards


def seated(opponents: tuple[str, ...], settings: TableSettings, *, agents: int) -> tuple[Policy, ...]:
    """`[P]`: agents in the first seats, then the opponents in turn."""
    found = [find_policy(name) for name in opponents]
    others = [found[i % len(found)] for i in range(settings.players - agents)]
    return (*[AGENT] * agents, *others)
