"""Exports a game from its transition chunks to the JSON format of recorded games.

The game is played again from its first board, tick by tick, and every board must come out as recorded: what is exported
can be replayed, by construction. Chunks do not say who surrendered; a death that the moves do not explain was one.
Moves off the board are left out, for the format cannot say them. A game that was cut short gets `ticks`, where it
stops.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from generals_engine import rules
from generals_engine.board import NOBODY
from generals_engine.moves import Move
from generals_engine.recorded import parse, replay
from generals_engine.rules import GameState, StepEvents
from generals_schemas import tiles
from generals_schemas.records import TransitionChunk


class CannotExport(ValueError):
    """The chunks are not one whole game, or hold what the format cannot say."""


def export_game(chunks: Iterable[TransitionChunk]) -> dict[str, object]:
    """The game in the JSON format of recorded games, with `expected` as its replay gives it.

    Args:
        chunks: all chunks of one game, in any order.

    Raises:
        CannotExport: says which chunk or tick is the matter.
    """
    ordered = sorted(chunks, key=lambda chunk: chunk.chunk)
    _check_sequence(ordered)
    state = _first_state(ordered[0])
    record = _map_fields(ordered[0], state)
    moves: list[list[int]] = []
    surrenders: list[list[int]] = []
    for before, tick_moves, surrendered, after, events in _play_again(state, ordered):
        moves += [[move.player, move.source, move.target, int(move.split), before.tick] for move in tick_moves]
        surrenders += [[player, before.tick] for player in (*events.neutralised, *surrendered)]
        state = after
    record |= {"moves": moves, "surrenders": surrenders}
    if not rules.is_over(state):
        record["ticks"] = state.tick
    record["expected"] = replay(parse(record)).to_json()
    return record


def _check_sequence(chunks: Sequence[TransitionChunk]) -> None:
    if not chunks:
        raise CannotExport("there are no chunks")
    tick = 0
    for number, chunk in enumerate(chunks):
        if chunk.game_id != chunks[0].game_id:
            raise CannotExport(f"chunks of two games, {chunks[0].game_id} and {chunk.game_id}; export one at a time")
        if chunk.chunk != number or chunk.first_tick != tick:
            raise CannotExport(
                f"chunk {number} of game {chunk.game_id} is missing: the next is chunk {chunk.chunk} "
                f"from tick {chunk.first_tick}, where tick {tick} was expected"
            )
        tick += chunk.ticks


def _first_state(chunk: TransitionChunk) -> GameState:
    try:
        state = rules.start(
            chunk.tiles[0],
            chunk.armies[0],
            width=chunk.width,
            height=chunk.height,
            teams=chunk.teams,
            rules_version=chunk.rules_version,
        )
    except ValueError as error:
        raise CannotExport(f"the first board of game {chunk.game_id} cannot be played: {error}") from error
    if state.alive_bits != int(chunk.alive[0]):
        raise CannotExport(f"game {chunk.game_id} does not begin with all who have a general alive, and no others")
    return state


def _map_fields(chunk: TransitionChunk, state: GameState) -> dict[str, object]:
    """All fields but the moves and what came out."""

    def places(*kinds: int) -> list[int]:
        return [int(tile) for tile in np.flatnonzero(tiles.kinds_where(*kinds)[state.kinds])]

    generals = _generals(state)
    land = np.flatnonzero((state.owners != NOBODY) & ~tiles.IS_GENERAL[state.kinds])
    if land.size or any(state.armies[tile] != 1 for tile in generals if tile is not None):
        raise CannotExport("players begin with more than a general with an army of 1, which the format cannot say")
    cities = np.flatnonzero(tiles.IS_CITY[state.kinds])
    open_armies = np.flatnonzero((state.armies != 0) & ~tiles.IS_STRUCTURE[state.kinds])
    free_for_all = len(set(chunk.teams)) == len(chunk.teams)
    return {
        "name": chunk.game_id,
        "source": "generals.transitions",
        "rules_version": chunk.rules_version,
        "width": chunk.width,
        "height": chunk.height,
        "players": chunk.players,
        "teams": None if free_for_all else list(chunk.teams),
        "modifiers": [],
        "mountains": places(tiles.MOUNTAIN),
        "obstacles": places(tiles.OBSTACLE),
        "swamps": places(tiles.SWAMP, tiles.SWAMP_CITY, tiles.SWAMP_GENERAL),
        "deserts": places(tiles.DESERT, tiles.DESERT_CITY, tiles.DESERT_GENERAL),
        "cities": [[int(tile), int(state.armies[tile])] for tile in cities],
        "neutral_armies": [[int(tile), int(state.armies[tile])] for tile in open_armies],
        "generals": generals,
    }


def _generals(state: GameState) -> list[int | None]:
    found = np.flatnonzero((state.owners != NOBODY) & tiles.IS_GENERAL[state.kinds])
    by_player = {int(state.owners[tile]): int(tile) for tile in found}
    return [by_player.get(player) for player in range(state.players)]


def _play_again(
    state: GameState, chunks: Sequence[TransitionChunk]
) -> Iterator[tuple[GameState, list[Move], tuple[int, ...], GameState, StepEvents]]:
    """(before, moves, surrendered, after, events) of every tick."""
    for chunk in chunks:
        for row in range(chunk.ticks):
            if rules.is_over(state):
                raise CannotExport(f"game {chunk.game_id} goes on at tick {state.tick}, after its end")
            moves = _moves_at(chunk, row, state)
            surrendered, after, events = _explain(chunk, row, state, moves)
            yield state, moves, surrendered, after, events
            state = after


def _moves_at(chunk: TransitionChunk, row: int, state: GameState) -> list[Move]:
    try:
        return rules.moves_of(state, [int(action) for action in chunk.actions[row]])
    except ValueError as error:
        raise CannotExport(f"tick {state.tick} of game {chunk.game_id}: {error}") from error


def _explain(
    chunk: TransitionChunk, row: int, state: GameState, moves: list[Move]
) -> tuple[tuple[int, ...], GameState, StepEvents]:
    """Who must have surrendered for the next board to come about, and the tick played so."""
    for surrendered in _suspects(chunk, row):
        after, events = rules.step(state, moves, surrendered)
        if _is_next_board(chunk, row + 1, after):
            return surrendered, after, events
    raise CannotExport(
        f"tick {state.tick} of game {chunk.game_id}: the next board does not follow from the actions by the rules "
        f"of version {chunk.rules_version}"
    )


def _suspects(chunk: TransitionChunk, row: int) -> Iterator[tuple[int, ...]]:
    """Guesses at who surrendered in a tick: nobody, those who died and kept their general, all who died."""
    yield ()
    died = int(chunk.alive[row]) & ~int(chunk.alive[row + 1])
    dead = tuple(player for player in range(chunk.players) if died >> player & 1)
    if not dead:
        return
    board = chunk.tiles[row + 1]
    generals = board[tiles.IS_GENERAL[board >> np.uint8(tiles.KIND_SHIFT)]] & np.uint8(tiles.OWNER_MASK)
    kept = tuple(player for player in dead if player + 1 in generals)
    if kept and kept != dead:
        yield kept
    yield dead


def _is_next_board(chunk: TransitionChunk, row: int, state: GameState) -> bool:
    return (
        np.array_equal(chunk.tiles[row], state.tiles)
        and np.array_equal(chunk.armies[row], state.armies)
        and int(chunk.alive[row]) == state.alive_bits
    )
