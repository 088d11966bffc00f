"""How good a policy is: win rates with confidence intervals, and Elo ratings from a table of results.

A draw counts as half a win everywhere.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959964
ELO = 400.0 / math.log(10.0)
"""Elo points of one unit of log odds."""


@dataclass(frozen=True, slots=True)
class Score:
    """Games of one policy against another."""

    wins: int
    losses: int
    draws: int

    @property
    def games(self) -> int:
        return self.wins + self.losses + self.draws

    @property
    def win_rate(self) -> float:
        """Draws as half."""
        return (self.wins + 0.5 * self.draws) / self.games if self.games else math.nan

    def interval(self, z: float = Z95) -> tuple[float, float]:
        """Wilson's interval of the win rate, 95% by default.

        Draws make the true spread smaller than a coin's of the same mean: the interval is then on the safe side.
        """
        n, p = self.games, self.win_rate
        if n == 0:
            return 0.0, 1.0
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True, slots=True)
class Rating:
    """A player's Elo and half the width of its 95% interval."""

    name: str
    elo: float
    error: float
    games: int


def rate(results: Mapping[tuple[str, str], Score], *, anchor: str, anchor_elo: float = 0.0) -> list[Rating]:
    """Elo of all players by maximum likelihood (Bradley and Terry's model), best first.

    results: (a, b) to a's score against b.  anchor: the player whose rating is given.
    One virtual draw between each pair that met keeps ratings finite when somebody won every game.

    Raises:
        ValueError: the anchor did not play.
    """
    names = sorted({name for pair in results for name in pair})
    if anchor not in names:
        raise ValueError(f"the anchor {anchor!r} did not play; players: {', '.join(names)}")
    points, games = _tables(results, names)
    strengths = _fit(points, games, names.index(anchor))
    errors = _errors(strengths, games, names.index(anchor))
    rated = [
        Rating(
            name=name,
            elo=anchor_elo + ELO * float(strengths[i] - strengths[names.index(anchor)]),
            error=Z95 * ELO * float(errors[i]),
            games=sum(score.games for pair, score in results.items() if name in pair),
        )
        for i, name in enumerate(names)
    ]
    return sorted(rated, key=lambda rating: -rating.elo)


def _tables(
    results: Mapping[tuple[str, str], Score], names: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`[K, K]`: points of row against column, games between them."""
    size = len(names)
    points, games = np.zeros((size, size)), np.zeros((size, size))
    for (first, second), score in results.items():
        a, b = names.index(first), names.index(second)
        won = score.wins + 0.5 * score.draws
        points[a, b] += won + 0.5
        points[b, a] += score.games - won + 0.5
        games[a, b] += score.games + 1
        games[b, a] += score.games + 1
    return points, games


def _fit(points: NDArray[np.float64], games: NDArray[np.float64], anchor: int) -> NDArray[np.float64]:
    """Log strengths, the anchor's 0, by Newton's method: the likelihood is concave."""
    strengths = np.zeros(len(points))
    free = np.arange(len(points)) != anchor
    for _ in range(100):
        expected = 1.0 / (1.0 + np.exp(strengths[None, :] - strengths[:, None]))
        gradient = (points - games * expected).sum(axis=1)[free]
        step = np.linalg.solve(_information(expected, games)[np.ix_(free, free)], gradient)
        strengths[free] += np.clip(step, -2.0, 2.0)
        if np.abs(step).max(initial=0.0) < 1e-10:
            break
    return strengths


def _information(expected: NDArray[np.float64], games: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = games * expected * (1.0 - expected)
    return np.diag(weights.sum(axis=1)) - weights


def _errors(strengths: NDArray[np.float64], games: NDArray[np.float64], anchor: int) -> NDArray[np.float64]:
    """Standard errors of log strengths relative to the anchor's."""
    expected = 1.0 / (1.0 + np.exp(strengths[None, :] - strengths[:, None]))
    free = np.arange(len(strengths)) != anchor
    errors = np.zeros(len(strengths))
    errors[free] = np.sqrt(np.diag(np.linalg.inv(_information(expected, games)[np.ix_(free, free)])))
    return errors
