"""From a recorded slot to the records that are sent."""

from dataclasses import dataclass

import numpy as np

from generals_engine.curriculum import Trial
from generals_engine.kernel.pack import NOT_PACKED
from generals_engine.kernel.state import (
    ALIVE,
    CAPTURE_COUNT,
    CAPTURES,
    FILLED,
    OVER,
    PLAYERS,
    PLAYING,
    STALEMATE,
    TEAM,
    TICK,
    TIMED_OUT,
    WIDE,
    WINNING_TEAM,
    State,
)
from generals_engine.maps import GameMap
from generals_engine.play_settings import PlaySettings
from generals_engine.policies import Policy
from generals_engine.policies.protocol import Version
from generals_schemas.records import (
    Armies,
    Capture,
    GameSummary,
    Memory,
    Outcome,
    PolicyRef,
    TransitionChunk,
)

_U2_MAX = 65_535


@dataclass(slots=True)
class Seat:
    """What is known of the game in one place of the state besides its board.

    ordinal: which game of the worker it is.  trial: of a curriculum, if the game counts in one.
    first_tick, chunk, versions, memory: of the chunk being played.
    """

    game_id: str
    ordinal: int
    board: GameMap
    policies: tuple[Policy, ...]
    policy_seed: int
    started_ms: int
    versions: tuple[Version, ...]
    memory: Memory | None
    trial: Trial | None = None
    first_tick: int = 0
    chunk: int = 0
    failure: str | None = None

    @property
    def refs(self) -> tuple[PolicyRef, ...]:
        return tuple(version.ref for version in self.versions)


def outcome_of(state: State, place: int) -> Outcome | None:
    """How the game in a place has ended, or None."""
    words = state.words[place]
    over = int(words[OVER])
    if over == PLAYING:
        return None
    if over == TIMED_OUT:
        return Outcome((), "tick_limit")
    alive, winning = int(words[ALIVE]), int(words[WINNING_TEAM])
    members = [player for player in range(int(words[PLAYERS])) if words[TEAM + player] == winning]
    living = tuple(player for player in members if alive >> player & 1)
    return Outcome(living or tuple(members), "stalemate" if over == STALEMATE else "won")


def chunk_of(
    state: State, place: int, slot: int, seat: Seat, play: PlaySettings, outcome: Outcome | None
) -> TransitionChunk:
    """The chunk recorded in a slot; its arrays are views of the slot."""
    ticks, players, area = int(state.words[place, FILLED]), play.players, seat.board.tiles.size
    boards = (ticks + 1) * area
    armies, memory = _of_one_width(_armies(state, place, slot, boards), seat.memory)
    return TransitionChunk(
        game_id=seat.game_id,
        chunk=seat.chunk,
        first_tick=seat.first_tick,
        rules_version=play.rules_version,
        width=seat.board.width,
        height=seat.board.height,
        teams=play.team_numbers,
        policies=seat.refs,
        map_seed=seat.board.seed,
        policy_seed=seat.policy_seed,
        tiles=state.record_tiles[slot, :boards].reshape(ticks + 1, area),
        armies=armies.reshape(ticks + 1, area),
        alive=state.record_alive[slot, : ticks + 1],
        actions=state.record_actions[slot, : ticks * players].reshape(ticks, players),
        memory=memory,
        outcome=outcome,
    )


def packed_chunk(state: State, slot: int) -> bytes | None:
    """The slot's arrays as `pack_chunks` has packed them, or None where it has not."""
    size = int(state.packed_bytes[slot])
    return None if size == NOT_PACKED else state.record_packed[slot, :size].tobytes()


def _armies(state: State, place: int, slot: int, boards: int) -> Armies:
    """u2 unless an army really outgrew it: recording in u4 begins when one might."""
    if not state.words[place, WIDE]:
        return state.record_armies[slot, :boards]
    wide = state.record_wide[slot, :boards]
    return wide if wide.max() > _U2_MAX else wide.astype(np.uint16)


def _of_one_width(armies: Armies, memory: Memory | None) -> tuple[Armies, Memory | None]:
    """A record has one army dtype, for its boards and what is remembered."""
    if memory is None:
        return armies, None
    if armies.dtype == np.uint16 and memory.armies.max(initial=0) <= _U2_MAX:
        return armies, Memory(memory.tiles, memory.armies.astype(np.uint16))
    return armies.astype(np.uint32), memory


def summary_of(state: State, place: int, seat: Seat, play: PlaySettings, outcome: Outcome, now_ms: int) -> GameSummary:
    """The record of a finished game."""
    words = state.words[place]
    captures = words[CAPTURES : CAPTURES + 3 * int(words[CAPTURE_COUNT])].reshape(-1, 3).tolist()
    return GameSummary(
        game_id=seat.game_id,
        winners=outcome.winners,
        reason=outcome.reason,
        ticks=int(words[TICK]),
        started_ms=seat.started_ms,
        duration_ms=now_ms - seat.started_ms,
        width=seat.board.width,
        height=seat.board.height,
        teams=play.team_numbers,
        policies=seat.refs,
        captures=tuple(Capture(*event) for event in captures),
        map_seed=seat.board.seed,
        policy_seed=seat.policy_seed,
        rules_version=play.rules_version,
    )
