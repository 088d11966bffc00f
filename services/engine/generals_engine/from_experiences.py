"""A whole game out of its experiences, which hold what its players saw and did, and no board.

The first board is put together from what was seen first of each tile: nobody's land keeps its army, and whoever takes a
tile has seen it before. From there the game is played again by the rules, and whatever a player saw in any tick must
come out, so what is made here is the game itself. Land that nobody ever saw stays empty: it had no part in the game.

Swamps, deserts, obstacles and surrenders are not in experiences; games that had them are refused.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from generals_engine import rules
from generals_engine.board import NOBODY
from generals_engine.fog import around, visible_to
from generals_engine.rules import NEWEST_RULES, OLDEST_RULES, GameState
from generals_schemas import tiles
from generals_schemas.actions import DEAD
from generals_schemas.records import ExperienceBatch, Outcome, PolicyRef, TransitionChunk

Scalar = TypeVar("Scalar", bound=np.generic)


class CannotRebuild(ValueError):
    """The experiences are not those of one whole game, or what the players saw does not follow from what they did."""


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """What one player saw before each of its N ticks and after the last one, `[N + 1, HW]`, and did, `[N]`.

    own: the team's.  mine: the player's.  city: structures, generals too.
    """

    player: int
    policy: PolicyRef
    actions: NDArray[np.int32]
    armies: NDArray[np.int64]
    own: NDArray[np.bool_]
    mine: NDArray[np.bool_]
    enemy: NDArray[np.bool_]
    city: NDArray[np.bool_]
    mountain: NDArray[np.bool_]


def rebuild_game(batches: Iterable[ExperienceBatch]) -> TransitionChunk:
    """The game as one chunk, however many ticks it has. Seeds are 0: experiences do not tell them. The rules' version
    is the newest by which all of it follows, as good as the one that was played.

    Args:
        batches: all experiences of one game, in any order.

    Raises:
        CannotRebuild: says which player and tick is the matter.
    """
    ordered = sorted(batches, key=lambda batch: (batch.player, batch.first_tick))
    if not ordered:
        raise CannotRebuild("there are no experiences")
    first = ordered[0]
    for batch in ordered:
        if batch.game_id != first.game_id:
            raise CannotRebuild(f"experiences of two games, {first.game_id} and {batch.game_id}: rebuild one at a time")
    players = [
        _seen([batch for batch in ordered if batch.player == player]) for player in range(ordered[-1].player + 1)
    ]
    why = None
    for version in range(NEWEST_RULES, OLDEST_RULES - 1, -1):
        try:
            states = _played(players, _start(players, first.width, first.height, version))
        except CannotRebuild as error:
            why = why or error
        else:
            return _as_chunk(first, players, states, version)
    raise CannotRebuild(f"game {first.game_id}: {why}")


def _seen(batches: Sequence[ExperienceBatch]) -> _Seen:
    """A player's batches, one after another."""
    if not batches or batches[0].first_tick != 0:
        raise CannotRebuild("not each of its players has experiences from tick 0 on: some are not here any more")
    for before, after in pairwise(batches):
        if after.first_tick != before.first_tick + before.steps:
            raise CannotRebuild(
                f"player {after.player} of game {after.game_id} has no experience of tick "
                f"{before.first_tick + before.steps}: the next is of tick {after.first_tick}"
            )
    area = batches[0].width * batches[0].height

    def plane(name: str) -> NDArray[np.bool_]:
        return _joined(
            [
                np.unpackbits(batch.bits[:, batch.planes.index(name)], axis=1, count=area, bitorder="little").view(
                    np.bool_
                )
                for batch in batches
            ]
        )

    own = plane("own")
    return _Seen(
        player=batches[0].player,
        policy=batches[0].policy,
        actions=np.concatenate([batch.actions for batch in batches]),
        armies=_joined([batch.armies.astype(np.int64) for batch in batches]),
        own=own,
        mine=plane("mine") if all("mine" in batch.planes for batch in batches) else own,
        enemy=plane("enemy"),
        city=plane("city"),
        mountain=plane("mountain"),
    )


def _joined(parts: Sequence[NDArray[Scalar]]) -> NDArray[Scalar]:
    """The first row of each batch is the last one of the batch before."""
    return np.concatenate([parts[0], *(part[1:] for part in parts[1:])])


def _start(players: Sequence[_Seen], width: int, height: int, version: int) -> GameState:
    area = width * height
    kinds, armies = np.zeros(area, np.uint8), np.zeros(area, np.int64)
    owners = np.full(area, NOBODY, np.int8)
    known = np.zeros(area, np.bool_)
    for tick in range(max(len(seen.actions) for seen in players) + 1):
        for seen in players:
            if tick < len(seen.own):
                visible = around(seen.own[tick], width, height)
                new = visible & ~known
                kinds[new & seen.mountain[tick]] = tiles.MOUNTAIN
                kinds[new & seen.city[tick]] = tiles.CITY
                armies[new] = seen.armies[tick][new]
                known |= visible
    for seen in players:
        owners[seen.mine[0]] = seen.player
        kinds[seen.mine[0] & seen.city[0]] = tiles.GENERAL
    teams = [min(other.player for other in players if seen.own[0][other.mine[0]].any()) for seen in players]
    board = (kinds << np.uint8(tiles.KIND_SHIFT)) | (owners + 1).astype(np.uint8)
    try:
        return rules.start(board, armies, width=width, height=height, teams=teams, rules_version=version)
    except ValueError as error:
        raise CannotRebuild(f"its first board cannot be played: {error}") from error


def _played(players: Sequence[_Seen], state: GameState) -> list[GameState]:
    """The game from its first board on, all of what was seen compared."""
    states = [state]
    _compare(players, state)
    while any(state.tick < len(seen.actions) for seen in players):
        if rules.is_over(state):
            raise CannotRebuild(f"it goes on at tick {state.tick}, after its end")
        state, _ = rules.step(state, rules.moves_of(state, _actions(players, state.tick)))
        _compare(players, state)
        states.append(state)
    return states


def _actions(players: Sequence[_Seen], tick: int) -> list[int]:
    return [int(seen.actions[tick]) if tick < len(seen.actions) else DEAD for seen in players]


def _compare(players: Sequence[_Seen], state: GameState) -> None:
    tick, owned = state.tick, state.owners != NOBODY
    for seen in players:
        if tick >= len(seen.own):
            continue
        team = np.array([number == state.teams[seen.player] for number in state.teams])
        own = owned & team[state.owners]
        visible = visible_to(state, seen.player)
        same = (
            np.array_equal(seen.own[tick], own)
            and np.array_equal(seen.mine[tick], state.owners == seen.player)
            and np.array_equal(seen.enemy[tick], visible & owned & ~own)
            and np.array_equal(seen.city[tick], visible & tiles.IS_STRUCTURE[state.kinds])
            and np.array_equal(seen.mountain[tick], visible & tiles.IS_IMPASSABLE[state.kinds])
            and np.array_equal(seen.armies[tick], np.where(visible, state.armies, 0))
        )
        if not same:
            raise CannotRebuild(
                f"what player {seen.player} saw at tick {tick} does not follow from what was done before, by the "
                f"rules of version {state.rules_version}"
            )


def _as_chunk(
    batch: ExperienceBatch, players: Sequence[_Seen], states: Sequence[GameState], version: int
) -> TransitionChunk:
    last = states[-1]
    return TransitionChunk(
        game_id=batch.game_id,
        chunk=0,
        first_tick=0,
        rules_version=version,
        width=batch.width,
        height=batch.height,
        teams=last.teams,
        policies=tuple(seen.policy for seen in players),
        map_seed=0,
        policy_seed=0,
        tiles=np.stack([state.tiles for state in states]),
        armies=np.stack([state.armies for state in states]).astype(np.uint32),
        alive=np.array([state.alive_bits for state in states], np.uint16),
        actions=np.array([_actions(players, tick) for tick in range(len(states) - 1)], np.int32),
        outcome=None if last.reason is None else Outcome(rules.winners(last), last.reason),
    )
