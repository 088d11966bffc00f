"""The engine worker: plays games and sends their chunks and summaries.

`run_once` plays for a fraction of a second, so that signals and the watchdog are served, and never leaves a record
behind: one that found no room is offered again before the next is played, so order and completeness hold whatever the
broker does. A stop aborts the games of policies that are asked tick by tick and sends what they have recorded; those
that are played by whole chunks stay as they are, unfinished.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from generals_engine.curriculum import Climb
from generals_engine.deadline import punctual
from generals_engine.games import GamePool, Played
from generals_engine.outbox import NotNow, Outbox
from generals_engine.outbox_choice import open_outbox
from generals_engine.partitions import partition_of
from generals_engine.settings import EngineSettings
from generals_engine.timing import timed
from generals_runtime import logs, metrics, tracing
from generals_runtime.errors import OperatorError
from generals_runtime.kafka import TopicMissing, connect
from generals_runtime.service import Finished
from generals_schemas.codec import encode_chunk, encode_game
from generals_schemas.records import GameSummary, TransitionChunk

_log = structlog.get_logger("generals_engine.worker")

_PLAY_S = 0.2
"""How long one `run_once` plays: short beside the watchdog's patience, long beside its own overhead."""

_NOT_READY_S = 10.0
"""Without room to send for so long, a worker says that it is not ready. A pause of the broker is shorter."""


@dataclass(frozen=True, slots=True)
class _Record:
    topic: str
    partition: int
    key: bytes
    value: bytes
    timestamp_ms: int
    span: tracing.Span | None = None


class CannotPlay(OperatorError):
    """What the settings ask for cannot be played: a map, a policy."""


class Pace:
    """At most so many ticks a second: the rest comes after play, whose own time is not made up for, nor is a pause."""

    def __init__(self, ticks_per_second: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = ticks_per_second, clock
        self._free_at = clock()

    def played(self, ticks: int) -> None:
        if self._rate is not None:
            self._free_at = max(self._free_at, self._clock()) + ticks / self._rate

    def wait_s(self) -> float:
        """How long to wait before playing on."""
        return 0.0 if self._rate is None else max(0.0, self._free_at - self._clock())


class EngineWorker:
    """A service: see `generals_runtime.service.Service`."""

    def __init__(
        self,
        settings: EngineSettings,
        *,
        outbox: Outbox | None = None,
        observed: metrics.Metrics | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._settings = settings
        try:
            play = settings.play()
        except ValueError as error:  # a map or a policy; the message names it
            raise CannotPlay(str(error)) from error
        self._topics = settings.kafka.topics()
        self._metrics = observed or metrics.default()
        self._play = timed(punctual(play, settings.answer_within_s, self._metrics.engine), self._metrics.engine)
        self._now_ms = now_ms
        self._tracing = tracing.default()
        self._outbox = outbox
        self._partitions: dict[str, int] = {}
        self._waiting: deque[_Record] = deque()
        self._pace = Pace(settings.ticks_per_second)
        self._pool: GamePool | None = None
        self._stuck_since: float | None = None
        self._stage = 0

    def start(self) -> None:
        """Find the topics, then set up all games (and compile the kernels, once a machine)."""
        self._partitions = self._count_partitions()
        if self._outbox is None:
            self._outbox = open_outbox(self._settings, self._partitions, self._metrics.engine)
        self._pool = GamePool(self._play, self._now_ms, pack=True)
        self._metrics.engine.games_running.set(self._pool.running)
        self._metrics.engine.games_started.inc(self._pool.started)
        play = self._play
        self._metrics.engine.game_memory.set(sum(array.nbytes for array in self._pool.state) / play.games)
        _log.info("playing", run=play.run, worker=play.worker, seed=play.seed, games=play.games, players=play.players)

    def run_once(self, timeout_s: float) -> None:
        """Send what waits, then play a while. Raises Finished after `max_games`."""
        if not self._send_waiting():
            return
        until = time.monotonic() + min(timeout_s, _PLAY_S)
        while self._may_play(until):
            self._advance()
            if not self._send_waiting() or time.monotonic() >= until:
                break
        finished = self._games.running == 0 and not self._waiting
        self._box.pump(min(timeout_s, _PLAY_S) if finished and self._box.unsent else 0.0)
        if finished and not self._box.unsent:
            raise Finished(f"played {self._games.started} games")

    def stop(self) -> None:
        """Abort what is being recorded, flush and close. What could not be sent is said; its games are unfinished."""
        if self._pool is not None:
            self._metrics.engine.ticks.inc(self._take_all(self._pool.end()))
            self._metrics.engine.games_running.set(self._pool.running)
        lost = len(self._waiting) if not self._send_waiting() else 0
        lost += self._box.close()
        if lost:
            _log.warning("records were not sent: the broker did not take them in time", records=lost)

    def not_ready(self) -> str | None:
        """Why not: nobody takes what has been played."""
        since = self._stuck_since
        stuck = 0.0 if since is None else time.monotonic() - since
        return f"there has been no room to send for {stuck:.0f} s" if stuck > _NOT_READY_S else None

    @property
    def _games(self) -> GamePool:
        if self._pool is None:
            raise RuntimeError("start() comes before run_once()")
        return self._pool

    @property
    def _box(self) -> Outbox:
        if self._outbox is None:
            raise RuntimeError("start() comes before run_once()")
        return self._outbox

    def _count_partitions(self) -> dict[str, int]:
        """How many partitions there are now. Games begun by this worker keep to these numbers."""
        found = connect(self._settings.kafka).list_topics(timeout=15).topics
        names = (self._topics.transitions.name, self._topics.games.name)
        for name in names:
            if name not in found:
                raise TopicMissing(name)
        return {name: len(found[name].partitions) for name in names}

    def _may_play(self, until: float) -> bool:
        """Wait for the pace, at most until `until`; whether it is time to play."""
        wait_s = self._pace.wait_s()
        if wait_s > 0:
            time.sleep(min(wait_s, max(0.0, until - time.monotonic())))
        return self._pace.wait_s() == 0 and self._games.running > 0

    def _advance(self) -> None:
        engine, before = self._metrics.engine, self._games.started
        ticks = self._take_all(self._games.advance())
        self._pace.played(ticks)
        engine.ticks.inc(ticks)
        engine.games_started.inc(self._games.started - before)
        engine.games_running.set(self._games.running)
        if self._games.climb is not None:
            self._show(self._games.climb)

    def _show(self, climb: Climb) -> None:
        if climb.stage != self._stage:
            self._stage = climb.stage
            _log.info("the learner is promoted", stage=climb.stage, games=self._games.started)
        engine = self._metrics.engine
        engine.curriculum_stage.labels(climb.learner).set(climb.stage)
        if climb.score is not None:
            engine.curriculum_score.labels(climb.learner).set(climb.score)

    def _take_all(self, everything: Iterable[Played]) -> int:
        """How many ticks were played."""
        ticks = 0
        for played in everything:
            if played.chunk is not None:
                ticks += played.chunk.ticks
                self._take_chunk(played.chunk, played.packed)
            if played.summary is not None:
                self._take_summary(played.summary, played)
        return ticks

    def _take_chunk(self, chunk: TransitionChunk, packed: bytes | None) -> None:
        span = None
        if self._tracing is not None:
            span = self._tracing.sample(
                "send chunk", {"game": chunk.game_id, "chunk": chunk.chunk, "ticks": chunk.ticks}
            )
        begun = time.perf_counter()
        value = encode_chunk(chunk, packed)
        self._metrics.runtime.serialise_seconds.labels("transition_chunk").observe(time.perf_counter() - begun)
        self._metrics.engine.chunk_bytes.observe(len(value))
        self._take(self._topics.transitions.name, chunk.game_id, value, span)

    def _take_summary(self, summary: GameSummary, played: Played) -> None:
        engine = self._metrics.engine
        engine.games_finished.labels(summary.reason).inc()
        engine.game_ticks.observe(summary.ticks)
        engine.game_seconds.observe(summary.duration_ms / 1000)
        if played.failure is not None:
            engine.game_failures.labels(played.failure.partition(":")[0][:40]).inc()
            _log.error("game dropped", game_id=summary.game_id, tick=summary.ticks, reason=played.failure)
        self._take(self._topics.games.name, summary.game_id, encode_game(summary))

    def _take(self, topic: str, game_id: str, value: bytes, span: tracing.Span | None = None) -> None:
        key = game_id.encode()
        partition = partition_of(key, self._partitions[topic])
        self._waiting.append(_Record(topic, partition, key, value, self._now_ms(), span))

    def _send_waiting(self) -> bool:
        """Offer what waits, oldest first; False if there was no room for all of it."""
        while self._waiting:
            record = self._waiting[0]
            headers = None if record.span is None else tracing.headers_with(record.span)
            try:
                self._box.put(record.topic, record.partition, record.key, record.value, record.timestamp_ms, headers)
            except NotNow:
                self._stuck_since = self._stuck_since or time.monotonic()
                return False
            if record.span is not None:
                record.span.end()
            self._waiting.popleft()
            self._tell(record)
        self._stuck_since = None
        return True

    def _tell(self, record: _Record) -> None:
        game_id = record.key.decode()
        if logs.tells(game_id):
            what = "chunk" if record.topic == self._topics.transitions.name else "summary"
            _log.debug(f"{what} sent", game_id=game_id, partition=record.partition, bytes=len(record.value))
