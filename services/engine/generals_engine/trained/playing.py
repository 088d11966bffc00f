"""Batch policies that play by trained networks."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from generals_engine.policies.protocol import Observations, Version
from generals_engine.trained.network import TrainedNetwork
from generals_engine.trained.views import Viewer, Views
from generals_engine.trained_settings import TrainedSettings
from generals_schemas.encodings import get_encoding
from generals_schemas.records import PolicyRef

FALLBACK = "nine_planes"
"""Seen by a policy that has no network yet: enough for legal moves."""


class _NetworksPolicy:
    """Plays each game by the network of its chunk. While games change over to a newer one both are asked."""

    def __init__(self, *, seed: int) -> None:
        self._generator = np.random.default_rng(seed)
        self._viewers: dict[tuple[str, tuple[tuple[str, float], ...]], Viewer] = {}

    def act(self, observations: Observations) -> NDArray[np.int32]:
        networks = [version.network for version in observations.versions]
        actions = np.empty(len(observations), np.int32)
        seen: dict[Viewer, Views] = {}
        for network in dict.fromkeys(networks):
            viewer = self._viewer(network)
            if viewer not in seen:  # all games, also others' networks': a viewer forgets who it is not shown
                seen[viewer] = viewer.view(observations)
            rows = np.flatnonzero([other is network for other in networks])
            actions[rows] = self._choose(network, seen[viewer].of(rows), observations.width, observations.height)
        return actions

    def _choose(self, network: TrainedNetwork | None, views: Views, width: int, height: int) -> NDArray[np.int32]:
        if network is None:
            return random_moves(views.legal(width, height), self._generator)
        legal = network.legal(views, width, height)
        actions = best(network.values(views, width, height), legal)
        explores = np.flatnonzero(self._generator.random(len(actions)) < self._exploration(network))
        if len(explores):
            actions[explores] = random_moves(legal[explores], self._generator)
        return actions

    def _exploration(self, network: TrainedNetwork) -> float:
        """The share of random moves."""
        return 0.0

    def _viewer(self, network: TrainedNetwork | None) -> Viewer:
        """A network of another encoding needs other views; what was remembered for the old one is not in them."""
        encoding, params = (
            (get_encoding(FALLBACK), {}) if network is None else (network.encoding, network.encoding_params)
        )
        key = encoding.name, tuple(sorted(params.items()))
        if key not in self._viewers:
            self._viewers[key] = Viewer(encoding, params)
        return self._viewers[key]


class NewestPolicy(_NetworksPolicy):
    """Plays the best legal action, or at times a random one, of the network that `current` gives for a chunk."""

    def __init__(self, settings: TrainedSettings, current: Callable[[], TrainedNetwork | None], *, seed: int) -> None:
        super().__init__(seed=seed)
        self._settings = settings
        self._current = current

    @property
    def ref(self) -> PolicyRef:
        return self.next_version(None).ref

    def next_version(self, before: Version | None) -> Version:
        network = self._current()
        return Version(PolicyRef(self._settings.name) if network is None else network.ref, network)

    def _exploration(self, network: TrainedNetwork) -> float:
        return self._settings.exploration(network.trainer_steps)


class PastPolicy(_NetworksPolicy):
    """Opponents from the past: each game has one of the last versions, drawn when it begins."""

    def __init__(self, name: str, versions: Callable[[], Sequence[TrainedNetwork]], *, seed: int) -> None:
        super().__init__(seed=seed)
        self._name = f"{name}-past"
        self._versions = versions

    @property
    def ref(self) -> PolicyRef:
        versions = self._versions()
        return PolicyRef(self._name, versions[-1].ref.version if versions else 0)

    def next_version(self, before: Version | None) -> Version:
        versions = self._versions()
        if before is not None and (before.network is not None or not versions):
            return before
        network = versions[int(self._generator.integers(len(versions)))] if versions else None
        return Version(PolicyRef(self._name, network.ref.version if network else 0), network)


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
