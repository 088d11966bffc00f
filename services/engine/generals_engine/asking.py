"""Asking the policies that live outside the kernel: each once a tick, for all games it plays in.

A policy that raises, or answers something else than one whole number a view, fails the games it was asked for; the
worker and the other games go on. Where it has no answer (`NoAnswer`) its players pass.
"""

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


def ask(state: State, seats: Sequence[Seat | None], actions: NDArray[np.int32]) -> None:
    """Fill in `actions` `[G, P]` for the players of batch policies; a failed game's seat gets a `failure`."""
    for question in _questions(state, seats):
        places, players = np.array(question.places, np.int64), np.array(question.players, np.int32)
        games = np.array([seat.ordinal for place in places if (seat := seats[place]) is not None], np.int64)
        try:
            answer = question.policy.act(observe(state, places, players, games, tuple(question.versions)))
            actions[places, players] = _checked(answer, len(places), question.area)
        except NoAnswer:
            actions[places, players] = 8 * question.area
        except Exception as error:  # whatever a user's policy raises is its games' failure, not the worker's
            actions[places, players] = 8 * question.area
            for place in question.places:
                seat = seats[place]
                if seat is not None:
                    seat.failure = f"policy {question.name}: {type(error).__name__}: {error}"


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
