"""Many games side by side: started, played a chunk at a time, finished and replaced without a pause.

While all policies are kernels, games advance by whole chunks, a few games a call, recorded in slots that stay in cache
until they are encoded. As soon as one policy is not, all games advance tick by tick and it is asked once for all.

Everything random comes from (seed, workers, worker, ordinal of the game): the same settings give the same chunks byte
for byte, whatever the clock says. Isolation: a game whose invariants break, or whose policy raises, is dropped and
reported, and its place goes to the next game.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from generals_engine.asking import ask
from generals_engine.chunks import Seat, chunk_of, outcome_of, packed_chunk, summary_of
from generals_engine.curriculum import Climb
from generals_engine.kernel.check import BROKEN_NAMES, SOUND
from generals_engine.kernel.memory import remember
from generals_engine.kernel.pack import ARRAYS, pack_chunks
from generals_engine.kernel.play import begin_chunks, play_chunks, step_games
from generals_engine.kernel.start import GameRules, start_game
from generals_engine.kernel.state import BROKEN, CHUNK_TICKS, FILLED, OVER, PLAYING, allocate
from generals_engine.play_settings import PlaySettings
from generals_engine.policies import next_versions
from generals_engine.rng import derive
from generals_schemas.records import GameSummary, Memory, Outcome, TransitionChunk
from generals_schemas.tiles import UNSEEN
from generals_schemas.zstd_rows import scratch

CHUNKS_A_CALL = 8
"""Games played between two encodings: enough to pay for the call, few enough that their boards stay in cache."""

_MAP, _POLICY, _SEATS = 0, 1, 2
"""What a game's seeds are for."""

_ABORTED = Outcome((), "aborted")


@dataclass(frozen=True, slots=True)
class Played:
    """What came of one game in one advance.

    chunk: its arrays are views that hold until the next advance.  packed: they, as a record carries them, where the
    pool has packed them.  summary: of a game that has ended.
    failure: why a game was dropped. It then has a summary ("aborted"), and a chunk only if its boards are sound.
    """

    chunk: TransitionChunk | None
    summary: GameSummary | None = None
    failure: str | None = None
    packed: bytes | None = None


class GamePool:
    """The games of one worker. `now_ms` is the only clock, and shows in summaries only.

    pack: the chunks will be sent, so pack them many at a time.  climb: where its curriculum stands, if it has one.
    """

    def __init__(self, play: PlaySettings, now_ms: Callable[[], int], *, pack: bool = False) -> None:
        self.play = play
        self._now_ms = now_ms
        self._stages = play.stages
        self.climb = None if play.curriculum is None else Climb(play.curriculum)
        self._by_tick = any(policy.batch is not None for stage in self._stages for policy in stage.policies)
        self._pack = pack and not self._by_tick and not play.memory
        self._slots = play.games if self._by_tick else min(play.games, CHUNKS_A_CALL)
        self.state = allocate(
            games=play.games,
            slots=self._slots,
            record_tiles=play.record_tiles,
            chunk_ticks=play.chunk_ticks,
            players=play.players,
            pack=self._pack,
        )
        self.seats: list[Seat | None] = [None] * play.games
        self.started = 0
        self._playing = np.zeros(play.games, np.bool_)
        self._open = np.zeros(play.games, np.bool_)  # a chunk is being recorded in the place's slot
        self._next = 0
        self._ending = False
        for place in range(play.games):
            self._start(place)

    @property
    def running(self) -> int:
        return int(self._playing.sum())

    def advance(self) -> list[Played]:
        """Play on: a chunk of the next few games, or a tick of all. The arrays of the last advance are overwritten."""
        return list(self._advance_by_tick() if self._by_tick else self._advance_by_chunk())

    def end(self) -> Iterator[Played]:
        """Abort all games that have begun a chunk: what they recorded becomes their last one. No other game begins.

        Games that stand between two chunks cannot be marked as aborted any more; they stay unfinished.
        """
        self._ending = True
        for place in np.flatnonzero(self._open).tolist():
            seat = self.seats[place]
            if seat is not None:
                yield self._close(place, place, seat, _ABORTED)

    def _advance_by_chunk(self) -> Iterator[Played]:
        first = self._next
        count = min(self._slots, len(self.seats) - first)
        self._next = (first + count) % len(self.seats)
        play_chunks(self.state, self._playing, first, count)
        if self._pack:
            pack_chunks(self.state, self._playing, first, count, np.empty((ARRAYS, 4), np.int64), *scratch())
        for slot in range(count):
            seat = self.seats[first + slot]
            if seat is not None:
                yield self._close(first + slot, slot, seat)

    def _advance_by_tick(self) -> Iterator[Played]:
        state, playing = self.state, self._playing
        begin_chunks(state, playing & ~self._open)
        self._open |= playing
        actions = np.full((len(self.seats), self.play.players), -1, np.int32)
        ask(state, self.seats, actions)
        step_games(state, playing, actions, np.zeros(len(self.seats), np.int32))
        failed = np.array([seat is not None and seat.failure is not None for seat in self.seats])
        full = (state.words[:, OVER] != PLAYING) | (state.words[:, FILLED] == state.words[:, CHUNK_TICKS])
        for place in np.flatnonzero(playing & (full | failed)).tolist():
            seat = self.seats[place]
            if seat is not None:
                yield self._close(place, place, seat, _ABORTED if seat.failure else None)

    def _start(self, place: int) -> None:
        """The next game, or none if all there shall be have been started."""
        play = self._stages[0 if self.climb is None else self.climb.stage]
        if self._ending or (play.max_games is not None and self.started >= play.max_games):
            self.seats[place] = None
            self._playing[place] = False
            return
        ordinal, self.started = self.started, self.started + 1
        seat = self._seat(play, ordinal)
        if self.climb is not None:
            seat.trial = self.climb.begin(seat.refs, play.team_numbers)
        rules = GameRules(
            teams=play.team_numbers,
            policies=[policy.code for policy in seat.policies],
            version=play.rules_version,
            tick_limit=play.tick_limit or 0,
            chunk_ticks=play.ticks_a_chunk(seat.board.tiles.size),
            split_percent=play.split_percent,
        )
        start_game(self.state, place, seat.board, rules, seat.policy_seed)
        self.seats[place] = seat
        self._playing[place] = True

    def _seat(self, play: PlaySettings, ordinal: int) -> Seat:
        seed = (play.seed, play.workers, play.worker, ordinal)
        board = play.new_map(derive(*seed, _MAP))
        policies = play.seated(derive(*seed, _SEATS))
        return Seat(
            game_id=f"{play.run}-{play.worker}-{ordinal}",
            ordinal=ordinal,
            board=board,
            policies=policies,
            policy_seed=derive(*seed, _POLICY),
            started_ms=self._now_ms(),
            versions=next_versions(policies, (None,) * len(policies)),
            memory=_nothing_seen(play.players, board.tiles.size) if play.memory else None,
        )

    def _close(self, place: int, slot: int, seat: Seat, cut: Outcome | None = None) -> Played:
        """End the chunk of a place, and the game with it if it is over, cut short or broken."""
        self._open[place] = False
        fault = int(self.state.words[place, BROKEN])
        if fault != SOUND:
            seat.failure = f"invariant broken: {BROKEN_NAMES[fault]}"
            return self._finish(place, seat, None, _ABORTED)
        outcome = outcome_of(self.state, place) or cut
        chunk = chunk_of(self.state, place, slot, seat, self.play, outcome)
        packed = packed_chunk(self.state, slot) if self._pack else None
        if outcome is not None:
            return self._finish(place, seat, chunk, outcome, packed)
        self._go_on(place, slot, seat, chunk.ticks)
        return Played(chunk, packed=packed)

    def _finish(
        self, place: int, seat: Seat, chunk: TransitionChunk | None, outcome: Outcome, packed: bytes | None = None
    ) -> Played:
        summary = summary_of(self.state, place, seat, self.play, outcome, self._now_ms())
        if self.climb is not None and seat.trial is not None:
            self.climb.end(seat.trial, summary)
        self._start(place)
        return Played(chunk, summary, seat.failure, packed)

    def _go_on(self, place: int, slot: int, seat: Seat, ticks: int) -> None:
        """The game goes on in another chunk; a policy's new version plays from there."""
        seat.first_tick += ticks
        seat.chunk += 1
        if self._by_tick:
            seat.versions = next_versions(seat.policies, seat.versions)
        if seat.memory is not None:
            tiles, armies = seat.memory.tiles.copy(), seat.memory.armies.astype(np.uint32)
            remember(self.state, self.state.words[place], slot, tiles, armies)
            seat.memory = Memory(tiles, armies)


def _nothing_seen(players: int, area: int) -> Memory:
    return Memory(np.full((players, area), UNSEEN, np.uint8), np.zeros((players, area), np.uint32))
