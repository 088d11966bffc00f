"""The worker's own logic, apart from Kafka: order when there is no room, pace, where games lie, settings."""

from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from pydantic import ValidationError
from structlog.testing import capture_logs

from generals_engine import worker as worker_module
from generals_engine.outbox import NotNow
from generals_engine.partitions import murmur2, partition_of
from generals_engine.policies import Observations
from generals_engine.settings import EngineSettings
from generals_engine.worker import CannotPlay, EngineWorker, Pace
from generals_runtime import logs
from generals_runtime.kafka import Headers
from generals_runtime.metrics import Metrics
from generals_runtime.service import Finished
from generals_schemas.codec import decode_chunk, decode_game
from generals_schemas.records import PolicyRef


@pytest.mark.parametrize(
    ("key", "hashed"),
    [("21", -973932308), ("foobar", -790332482), ("a-little-bit-long-string", -985981536), ("abc", 479470107)],
)
def test_partitions_are_hashed_as_kafkas_own_clients_do(key: str, hashed: int) -> None:
    """The vectors of Kafka's UtilsTest."""
    assert murmur2(key.encode()) == hashed & 0xFFFFFFFF
    assert partition_of(key.encode(), 8) == (hashed & 0x7FFFFFFF) % 8


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_pace_is_kept_on_average_and_a_pause_is_not_made_up_for() -> None:
    clock = Clock()
    pace = Pace(1000.0, clock)
    assert pace.wait_s() == 0
    pace.played(500)
    pace.played(500)
    assert pace.wait_s() == pytest.approx(1.0)
    clock.now += 60
    assert pace.wait_s() == 0
    pace.played(100)
    assert pace.wait_s() == pytest.approx(0.1)


def test_without_a_rate_nothing_waits() -> None:
    pace = Pace(None, Clock())
    pace.played(1_000_000)
    assert pace.wait_s() == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"policies": ("os:getcwd",)}, "policy 'os:getcwd' must have act"),
        ({"policies": ("os:path",)}, "policy 'os:path' cannot be loaded: .* not callable"),
        ({"map": "/nowhere/map.json"}, r"map /nowhere/map\.json: cannot be read"),
        ({"teams": (1, 1)}, "two at least"),
    ],
)
def test_what_cannot_be_played_is_refused_by_name(settings: dict[str, object], message: str) -> None:
    with pytest.raises(CannotPlay, match=message):
        EngineWorker(EngineSettings(**settings))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"worker": 2, "workers": 2}, "worker 2 is not below workers 2"),
        ({"players": 3, "teams": (0, 1)}, "must have one number for each of 3 players"),
        ({"players": 13}, "less than or equal to 12"),
        ({"run": "a b"}, "match pattern"),
        ({"speed": 3}, "Extra inputs"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        EngineSettings(**settings)  # type: ignore[arg-type]


def test_every_run_gets_an_id_of_its_own() -> None:
    assert EngineSettings().run != EngineSettings().run


class TakesAll:
    """An outbox without Kafka behind it."""

    unsent = 0

    def put(
        self, topic: str, partition: int, key: bytes, value: bytes, timestamp_ms: int, headers: Headers | None = None
    ) -> None: ...

    def pump(self, timeout_s: float = 0.0) -> None: ...

    def close(self, timeout_s: float = 10.0) -> int:
        return 0


def test_a_worker_for_whose_records_there_is_no_room_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(TakesAll):
        full = True

        def put(self, *record: object) -> None:
            if self.full:
                raise NotNow

    outbox = Full()
    settings = EngineSettings(games=2, width=8, height=8)
    topics = settings.kafka.topics()
    worker = EngineWorker(settings, outbox=outbox)
    monkeypatch.setattr(worker, "_count_partitions", lambda: {topics.transitions.name: 8, topics.games.name: 8})
    monkeypatch.setattr(worker_module, "_NOT_READY_S", 0.0)
    worker.start()
    assert worker.not_ready() is None
    worker.run_once(0.1)
    assert "no room to send" in str(worker.not_ready())
    monkeypatch.setattr(worker_module, "_NOT_READY_S", 60.0)
    assert worker.not_ready() is None, "not for a short pause"
    monkeypatch.setattr(worker_module, "_NOT_READY_S", 0.0)
    outbox.full = False
    worker.run_once(0.1)
    assert worker.not_ready() is None


class Passes:
    """A policy outside the kernel, as `module:factory` makes it."""

    ref = PolicyRef("passes")

    def act(self, observations: Observations) -> NDArray[np.int32]:
        return np.full(len(observations), 8 * observations.width * observations.height, np.int32)


def test_a_stop_sends_what_games_that_are_asked_tick_by_tick_have_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    class Keeps(TakesAll):
        def __init__(self) -> None:
            self.records: list[tuple[str, bytes]] = []

        def put(self, topic: str, partition: int, key: bytes, value: bytes, *_more: object) -> None:
            self.records.append((topic, value))

    outbox, observed = Keeps(), Metrics(CollectorRegistry())
    settings = EngineSettings(policies=(f"{__name__}:Passes", "expander"), games=3, width=8, height=8, seed=1)
    transitions, games = settings.kafka.topics().transitions.name, settings.kafka.topics().games.name
    worker = EngineWorker(settings, outbox=outbox, observed=observed)
    monkeypatch.setattr(worker, "_count_partitions", lambda: {transitions: 8, games: 8})
    monkeypatch.setattr(worker_module, "_PLAY_S", 0.0)  # a tick of all games a time
    worker.start()
    for _ in range(5):
        worker.run_once(0.1)
    worker.stop()
    last = {
        chunk.game_id: chunk
        for topic, value in outbox.records
        if topic == transitions
        for chunk in [decode_chunk(value)]
    }
    summaries = [decode_game(value) for topic, value in outbox.records if topic == games]
    aborted = [summary for summary in summaries if summary.reason == "aborted"]
    assert [summary.ticks for summary in aborted] == [5, 5, 5]
    for summary in aborted:
        chunk = last[summary.game_id]
        assert chunk.outcome is not None
        assert chunk.outcome.truncated
        assert chunk.first_tick + chunk.ticks == summary.ticks
    assert sum(summary.ticks for summary in summaries) == observed.engine.ticks._value.get()


@pytest.fixture
def _follows_nobody_afterwards() -> Iterator[None]:
    yield
    logs.follow(None)


@pytest.mark.usefixtures("_follows_nobody_afterwards")
@pytest.mark.parametrize("followed", ["run-0-1", None])
def test_the_chunks_of_a_followed_game_are_told_and_those_of_no_other(
    followed: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = EngineSettings(run="run", games=3, max_games=3, width=8, height=8, tick_limit=150)
    worker = EngineWorker(settings, outbox=TakesAll())
    topics = settings.kafka.topics()
    counts = {topics.transitions.name: 8, topics.games.name: 8}
    monkeypatch.setattr(worker, "_count_partitions", lambda: counts)
    logs.follow(followed)
    with capture_logs() as told:
        worker.start()
        with suppress(Finished):
            while True:
                worker.run_once(1.0)
    sent = [(entry["event"], entry["game_id"]) for entry in told if entry["log_level"] == "debug"]
    assert set(sent) == ({("chunk sent", followed), ("summary sent", followed)} if followed else set())
    assert not sent or sent[-1] == ("summary sent", followed)
