"""Asking the policies that live outside the kernel: each once a tick, for all games it plays in.

A policy that raises, or answers something else than one whole number a view, is asked again for half of the games at a
time, until it is known which it fails at: those end, the worker and all others go on. Where it has no answer
(`NoAnswer`) its players pass.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from generals_engine.chunks import Seat
from generals_engine.kernel.state import ALIVE, State
from generals_engine.observe import observe
from generals_engine.policies import BatchPolicy
from generals_engine.policies.protocol import NoAnswer, Version


@dataclass(slots=True)
class _Question:
    """One policy, the games' places and the players it is asked for. Boards are of one size."""

    name: str
    policy: BatchPolicy
    area: int
    places: list[int] = field(default_factory=list)
    players: list[int] = field(default_factory=list)
    versions: list[Version] = field(default_factory=list)

    def halves(self) -> list[_Question]:
        """The same asked of half of the games each; nothing if it is of one game."""
        places = self.places  # ascending
        middle = bisect_left(places, places[len(places) // 2]) or bisect_right(places, places[0])
        return [self._part(slice(middle)), self._part(slice(middle, None))] if middle < len(places) else []

    def _part(self, part: slice) -> _Question:
        return _Question(self.name, self.policy, self.area, self.places[part], self.players[part], self.versions[part])


def ask(state: State, seats: Sequence[Seat | None], actions: NDArray[np.int32]) -> None:
    """Fill in `actions` `[G, P]` for the players of batch policies; a failed game's seat gets a `failure`."""
    waiting = _questions(state, seats)
    while waiting:
        question = waiting.pop()
        places, players = np.array(question.places, np.int64), np.array(question.players, np.int32)
        games = np.array([seat.ordinal for place in places if (seat := seats[place]) is not None], np.int64)
        try:
            answer = question.policy.act(observe(state, places, players, games, tuple(question.versions)))
            actions[places, players] = _checked(answer, len(places), question.area)
        except NoAnswer:
            actions[places, players] = 8 * question.area
        except Exception as error:  # whatever a user's policy raises is its games' failure, not the worker's
            actions[places, players] = 8 * question.area
            if halves := question.halves():
                waiting += halves
            elif (failed := seats[question.places[0]]) is not None:
                failed.failure = f"policy {question.name}: {type(error).__name__}: {error}"


def _questions(state: State, seats: Sequence[Seat | None]) -> list[_Question]:
    asked: dict[tuple[int, int, int], _Question] = {}
    for place, seat in enumerate(seats):
        if seat is None:
            continue
        alive, board = int(state.words[place, ALIVE]), seat.board
        for player, policy in enumerate(seat.policies):
            if policy.batch is None or not alive >> player & 1:
                continue
            key = (id(policy.batch), board.width, board.height)
            question = asked.setdefault(key, _Question(policy.name, policy.batch, board.tiles.size))
            question.places.append(place)
            question.players.append(player)
            question.versions.append(seat.versions[player])
    return list(asked.values())


def _checked(answer: NDArray[np.int32], count: int, area: int) -> NDArray[np.int32]:
    """The answer, if it has the right shape; actions that do not exist become passes."""
    actions = np.asarray(answer)
    if actions.shape != (count,) or actions.dtype.kind not in "iu":
        raise ValueError(f"act() must return {count} whole numbers, got {actions.dtype} {actions.shape}")
    return np.where((actions >= 0) & (actions <= 8 * area), actions, 8 * area).astype(np.int32)
