"""What rewards are made of: the true boards and the outcome, counted a tick and a player, whole chunks at a time."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from generals_collector.survey import Counts, Survey
from generals_schemas.jit import jit_kernel
from generals_schemas.records import TransitionChunk

Numbers = NDArray[np.float64]


class Facts(NamedTuple):
    """Arrays of one chunk; kernels take them one by one.

    army, others_army: `[T + 1, P]` armies of the player's team and of all other teams, on each board.
    land, others_land: `[T + 1, P]` tiles likewise.
    cities_won, cities_lost: `[T, P]` tiles that are cities after the tick and became, stopped being the player's in it.
    end: `[T, P]` 1 if the player's living team wins with the tick, -1 if the player dies in it, else 0.
    cut: `[T, P]` 1 if the tick limit ends the game with the tick, else 0.
    """

    army: Numbers
    others_army: Numbers
    land: Numbers
    others_land: Numbers
    cities_won: Numbers
    cities_lost: Numbers
    end: Numbers
    cut: Numbers


def gather_facts(chunk: TransitionChunk, found: Survey) -> Facts:
    """The facts of a chunk."""
    _, boards, players = found.counts.shape
    sums = np.empty((4, boards, players))
    changes = np.empty((4, boards - 1, players))
    winners, truncated = 0, chunk.outcome is not None and chunk.outcome.truncated
    if chunk.outcome is not None and not truncated:
        winning = {chunk.teams[player] for player in chunk.outcome.winners}
        winners = sum(1 << player for player, team in enumerate(chunk.teams) if team in winning)
    cut = (
        chunk.outcome is not None and chunk.outcome.reason == "tick_limit"
    )  # an aborted game is worth what it was worth
    _gather(found.counts, chunk.alive, _array(chunk.teams), winners, cut, sums, changes)
    return Facts(*sums, *changes)


@lru_cache(maxsize=256)
def _array(teams: tuple[int, ...]) -> Counts:
    return np.array(teams, np.int64)


@jit_kernel
def _gather(
    counts: Counts,
    alive: NDArray[np.uint16],
    teams: Counts,
    winners: int,
    cut: bool,
    sums: Numbers,
    changes: Numbers,
) -> None:
    """Fill `sums` `[4, T + 1, P]` and `changes` `[4, T, P]`, in the order of `Facts`. winners: a bit a player."""
    players = teams.shape[0]
    army, land, won, lost = counts[0], counts[1], counts[2], counts[3]
    for t in range(army.shape[0]):
        for p in range(players):
            for total in range(4):
                sums[total, t, p] = 0.0
            for other in range(players):
                apart = 1 if teams[other] != teams[p] else 0
                sums[apart, t, p] += army[t, other]
                sums[2 + apart, t, p] += land[t, other]
    for t in range(1, army.shape[0]):
        for p in range(players):
            changes[0, t - 1, p] = won[t, p]
            changes[1, t - 1, p] = lost[t, p]
            died = (alive[t - 1] >> p) & 1 and not (alive[t] >> p) & 1
            changes[2, t - 1, p] = -1.0 if died else 0.0
            changes[3, t - 1, p] = 0.0
    last = army.shape[0] - 1
    for p in range(players):
        if (winners >> p) & 1 and (alive[last] >> p) & 1:
            changes[2, last - 1, p] = 1.0
        if cut:
            changes[3, last - 1, p] = 1.0
