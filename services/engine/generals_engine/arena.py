"""Matches: one policy against another, seats changed half way, on maps that training does not see.

Training draws its maps from (seed, workers, worker, ordinal); matches do too, under a number of workers that no run
has.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from generals_engine.games import GamePool
from generals_engine.play_settings import PlaySettings, wrap_batch_policies
from generals_engine.policies import HEURISTICS, Policy, find_policy
from generals_engine.policies.protocol import NoAnswer, Observations, WrappedPolicy
from generals_runtime.published_policies import PolicyDirectory, PolicyError, fetch_policy
from generals_schemas.records import PolicyRef

MATCH_WORKERS = 1_000_003
"""Marks the seeds of matches."""
SIDE_BY_SIDE = 64


@dataclass(frozen=True, slots=True)
class MatchResult:
    """Games of `first` against `second`. A game nobody won is a draw."""

    first: str
    second: str
    wins: int
    losses: int
    draws: int
    ticks: float


def play_match(
    first: Policy, second: Policy, *, games: int, size: int | None = None, tick_limit: int = 1000, seed: int = 0
) -> MatchResult:
    """Both seats get the same number of games, and the same maps."""
    wins = losses = draws = ticks = 0
    for swapped in (False, True):
        share = (games + 1) // 2 if not swapped else games // 2
        if not share:
            continue
        play = PlaySettings(
            run="match",
            policies=(second, first) if swapped else (first, second),
            width=size,
            height=size,
            games=min(SIDE_BY_SIDE, share),
            max_games=share,
            tick_limit=tick_limit,
            seed=seed,
            workers=MATCH_WORKERS,
        )
        for winners, length in _outcomes(play):
            wins += winners == (int(swapped),)
            losses += winners == (1 - int(swapped),)
            draws += not winners
            ticks += length
    return MatchResult(first.name, second.name, wins, losses, draws, ticks / max(1, games))


def find_player(spec: str, published: Callable[[], PolicyDirectory]) -> Policy:
    """A heuristic's name, `module:factory`, an .onnx file, or `name[@version]` among the published policies.

    published: asked only for the last of these.

    Raises:
        PolicyError: it was never published, or cannot be read or loaded.
        UnknownPolicy: there is no such heuristic or factory.
    """
    if spec in HEURISTICS or ":" in spec:
        return find_policy(spec)
    if spec.endswith(".onnx"):
        try:
            artefact = Path(spec).read_bytes()
        except OSError as error:
            raise PolicyError(f"player {spec}: the file cannot be read: {error.strerror}") from error
        return trained(artefact, PolicyRef(Path(spec).stem))
    name, at, version = spec.partition("@")
    if at and not version.isdecimal():
        raise PolicyError(f"player {spec!r}: a version is a number, as in {name}@3")
    pointer = published().find(name, int(version) if at else None)
    return trained(fetch_policy(pointer), PolicyRef(pointer.name, pointer.version))


def trained(artefact: bytes, ref: PolicyRef) -> Policy:
    """A policy that always plays the best action of one network."""
    from generals_engine.policies import codes
    from generals_engine.trained.network import load_network
    from generals_engine.trained.playing import NewestPolicy
    from generals_engine.trained_settings import TrainedSettings

    network = load_network(artefact, ref)
    name = f"{ref.name}@{ref.version}" if ref.version else ref.name
    return Policy(name, codes.EXTERNAL, NewestPolicy(TrainedSettings(name=ref.name), lambda: network, seed=0))


class _MustAnswer(WrappedPolicy):
    """A policy of a match: one that cannot be asked has not lost, there was no match."""

    def act(self, observations: Observations) -> NDArray[np.int32]:
        try:
            return super().act(observations)
        except NoAnswer as error:
            raise PolicyError(f"no answer: {error}") from error


def _outcomes(play: PlaySettings) -> list[tuple[tuple[int, ...], int]]:
    """Winners and ticks of all games."""
    pool = GamePool(wrap_batch_policies(play, _MustAnswer), now_ms=lambda: 0)
    found = []
    while pool.running:
        for played in pool.advance():
            if played.failure is not None:
                raise PolicyError(f"a game of the match failed: {played.failure}")
            if played.summary is not None:
                found.append((played.summary.winners, played.summary.ticks))
    return found
