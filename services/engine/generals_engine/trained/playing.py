"""Batch policies that play by trained networks."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from generals_client.expand import legal_actions
from generals_engine.policies.protocol import Observations
from generals_engine.trained.network import TrainedNetwork
from generals_engine.trained.views import Viewer, Views
from generals_engine.trained_settings import TrainedSettings
from generals_schemas.encodings import get_encoding
from generals_schemas.records import PolicyRef

FALLBACK = "nine_planes"
"""Seen by a policy that has no network yet: enough for legal moves."""


class NewestPolicy:
    """Plays the best legal action of the network that `current` gives, or at times a random one."""

    def __init__(self, settings: TrainedSettings, current: Callable[[], TrainedNetwork | None], *, seed: int) -> None:
        self._settings = settings
        self._current = current
        self._generator = np.random.default_rng(seed)
        self._viewer = Viewer(get_encoding(FALLBACK), {})
        self._played: TrainedNetwork | None = None

    @property
    def ref(self) -> PolicyRef:
        network = self._current()
        return PolicyRef(self._settings.name) if network is None else network.ref

    def act(self, observations: Observations) -> NDArray[np.int32]:
        network = self._current()
        self._follow(network)
        views = self._viewer.view(observations)
        if network is None:
            return random_moves(without_network(views, observations), self._generator)
        legal = network.legal(views, observations.width, observations.height)
        share = self._settings.exploration(network.trainer_steps)
        actions = best(network.values(views, observations.width, observations.height), legal)
        explores = np.flatnonzero(self._generator.random(len(actions)) < share)
        if len(explores):
            actions[explores] = random_moves(legal[explores], self._generator)
        return actions

    def _follow(self, network: TrainedNetwork | None) -> None:
        """A network of another encoding needs other views; what was remembered is lost then."""
        if network is None or network is self._played:
            return
        if network.encoding != self._viewer.encoding or self._played is None:
            self._viewer = Viewer(network.encoding, network.encoding_params)
        self._played = network


class PastPolicy:
    """Opponents from the past: each game has one of the last versions, drawn when it begins."""

    def __init__(self, name: str, versions: Callable[[], Sequence[TrainedNetwork]], *, seed: int) -> None:
        self._name = name
        self._versions = versions
        self._generator = np.random.default_rng(seed)
        self._viewer = Viewer(get_encoding(FALLBACK), {})
        self._games: dict[tuple[int, int], dict[int, TrainedNetwork]] = {}

    @property
    def ref(self) -> PolicyRef:
        versions = self._versions()
        return PolicyRef(f"{self._name}-past", versions[-1].ref.version if versions else 0)

    def act(self, observations: Observations) -> NDArray[np.int32]:
        versions = self._versions()
        if not versions:
            views = self._viewer.view(observations)
            return random_moves(without_network(views, observations), self._generator)
        if versions[0].encoding != self._viewer.encoding:
            self._viewer = Viewer(versions[0].encoding, versions[0].encoding_params)
        views = self._viewer.view(observations)
        networks = self._drawn(observations, versions)
        actions = np.empty(len(observations), np.int32)
        for network in set(networks):
            rows = np.flatnonzero([other is network for other in networks])
            part = replace(views, armies=views.armies[rows], bits=views.bits[rows], scalars=views.scalars[rows])
            width, height = observations.width, observations.height
            actions[rows] = best(network.values(part, width, height), network.legal(part, width, height))
        return actions

    def _drawn(self, observations: Observations, versions: Sequence[TrainedNetwork]) -> list[TrainedNetwork]:
        """Of each observation's game. Games on boards of other sizes are asked for apart and keep theirs."""
        size = observations.width, observations.height
        before, games = self._games.get(size, {}), observations.games.tolist()
        drawn = self._games[size] = {game: before.get(game) or self._draw(versions) for game in games}
        return [drawn[game] for game in games]

    def _draw(self, versions: Sequence[TrainedNetwork]) -> TrainedNetwork:
        return versions[int(self._generator.integers(len(versions)))]


def best(values: NDArray[np.float32], legal: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The legal action of the highest value. `[N]`"""
    chosen: NDArray[np.int32] = np.where(legal, values, -np.inf).argmax(axis=1).astype(np.int32)
    return chosen


def random_moves(legal: NDArray[np.bool_], generator: np.random.Generator) -> NDArray[np.int32]:
    """A legal action each; a pass only where nothing else is legal. `[N]`"""
    draws = generator.random(legal.shape, np.float32) * legal
    draws[:, -1] = 0.0
    moves = draws.argmax(axis=1)
    chosen: NDArray[np.int32] = np.where(draws.max(axis=1) > 0.0, moves, legal.shape[1] - 1).astype(np.int32)
    return chosen


def without_network(views: Views, observations: Observations) -> NDArray[np.bool_]:
    """The legal actions of views, for a policy that knows nothing else. `[N, A]`"""
    return legal_actions(
        armies=views.armies,
        bits=views.bits,
        rows=np.arange(len(observations)),
        width=observations.width,
        height=observations.height,
        planes=views.planes,
    )
