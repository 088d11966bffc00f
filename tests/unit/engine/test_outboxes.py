"""What each strategy does while the broker takes nothing, over a Kafka in memory."""

import errno
import os
from collections import Counter
from pathlib import Path

import pytest
from full_disk import full_disk
from numpy.random import default_rng
from prometheus_client import CollectorRegistry
from pydantic import ValidationError
from simulated_kafka import Broker, Client, Clock, Reader, bury

from generals_engine.outbox import NotNow
from generals_engine.outbox_dropping import DroppingOutbox, Strategy
from generals_engine.outbox_spilling import SpillingOutbox
from generals_engine.outbox_window import Window
from generals_engine.settings import EngineSettings
from generals_engine.spill_log import SPARE, SpillLog
from generals_engine.spill_recovery import LogGone, Recovery
from generals_runtime.kafka import DeliveryFailed, RecordTooLarge
from generals_runtime.metrics import EngineMetrics, Metrics

CHUNKS, GAMES = "chunks", "games"
SPOTS = [(CHUNKS, 0), (CHUNKS, 1), (GAMES, 0)]
IDS = {CHUNKS: "id-of-chunks", GAMES: "id-of-games"}


def value_of(counter: object) -> float:
    return float(counter._value.get())  # type: ignore[attr-defined]


class Stage:
    """An outbox, and all there is around it."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.broker = Broker(self.clock)
        self.client = Client(self.broker)
        self.metrics: EngineMetrics = Metrics(CollectorRegistry()).engine
        self.folder = folder

    def dropping(self, strategy: Strategy, *, queue_bytes: int = 1000) -> DroppingOutbox:
        window = Window(self.client, records=2, clock=self.clock)
        return DroppingOutbox(
            window, self.metrics, strategy=strategy, chunks=CHUNKS, queue_bytes=queue_bytes, clock=self.clock
        )

    def spilling(self, *, max_bytes: int = 100_000, ids: dict[str, str] | None = None) -> SpillingOutbox:
        ends = {spot: len(self.broker.logs[spot]) for spot in SPOTS}
        log = SpillLog(self.folder, max_bytes=max_bytes, ends=ends, ids=ids or IDS, clock=self.clock)
        try:
            recovery = Recovery(log, Reader(self.broker), ids or IDS, settle_s=1.0, clock=self.clock)
        except LogGone:
            log.close()
            raise
        window = Window(self.client, size=max_bytes // 4, clock=self.clock)
        return SpillingOutbox(
            window, log, recovery, self.metrics, chunks=CHUNKS, away_after_s=3.0, close_s=2.0, clock=self.clock
        )

    def take_all(self) -> None:
        for spot in SPOTS:
            self.client.take(spot, 1 << 30)

    def chunks(self) -> list[tuple[bytes, bytes]]:
        return self.broker.logs[CHUNKS, 0] + self.broker.logs[CHUNKS, 1]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "spill")


def chunk(outbox: DroppingOutbox | SpillingOutbox, game: bytes, number: int, size: int = 100) -> None:
    outbox.put(CHUNKS, len(game) % 2, game, b"%d " % number + b"x" * size, 7)


def summary(outbox: DroppingOutbox | SpillingOutbox, game: bytes) -> None:
    outbox.put(GAMES, 0, game, b"summary", 7)


def numbers(log: list[tuple[bytes, bytes]], game: bytes) -> list[int]:
    return [int(value.split()[0]) for key, value in log if key == game]


def drain(stage: Stage, outbox: DroppingOutbox | SpillingOutbox) -> None:
    for _ in range(200):
        stage.take_all()
        outbox.pump(0.05)
    assert outbox.unsent == 0


def test_drop_newest_keeps_what_waits_and_gives_up_games_that_come_to_a_full_queue(stage: Stage) -> None:
    outbox = stage.dropping("drop_newest")  # two on their way, seven in the queue
    for number in range(12):
        chunk(outbox, b"a", number)
    chunk(outbox, b"b", 0)
    summary(outbox, b"a")
    assert value_of(stage.metrics.drops.labels("drop_newest")) == 4
    assert value_of(stage.metrics.dropped_summaries.labels("drop_newest")) == 1
    drain(stage, outbox)
    chunk(outbox, b"b", 1)
    drain(stage, outbox)
    assert numbers(stage.chunks(), b"a") == list(range(9))
    assert numbers(stage.chunks(), b"b") == [], "b has lost its first chunk: nothing of it follows"
    assert stage.broker.logs[GAMES, 0] == []
    assert value_of(stage.metrics.drops.labels("drop_newest")) == 5


def test_drop_oldest_gives_up_the_game_whose_chunk_waits_longest_and_takes_the_new_one(stage: Stage) -> None:
    outbox = stage.dropping("drop_oldest")
    chunk(outbox, b"a", 0)
    chunk(outbox, b"bb", 0)  # these two are with the client
    for number in range(1, 4):
        chunk(outbox, b"a", number)
        chunk(outbox, b"bb", number)
    chunk(outbox, b"a", 4)  # seven wait, four of them a's
    chunk(outbox, b"ccc", 0)
    assert value_of(stage.metrics.drops.labels("drop_oldest")) == 4
    chunk(outbox, b"a", 5)
    assert value_of(stage.metrics.drops.labels("drop_oldest")) == 5
    drain(stage, outbox)
    log = stage.chunks()
    assert (numbers(log, b"a"), numbers(log, b"bb"), numbers(log, b"ccc")) == ([0], [0, 1, 2, 3], [0])


def test_a_summary_follows_its_last_chunk_even_into_a_full_queue(stage: Stage) -> None:
    outbox = stage.dropping("drop_newest")
    for number in range(9):
        chunk(outbox, b"a", number)
    summary(outbox, b"a")
    drain(stage, outbox)
    assert stage.broker.logs[GAMES, 0] == [(b"a", b"summary")]
    assert value_of(stage.metrics.drops.labels("drop_newest")) == 0


@pytest.mark.parametrize("strategy", ["drop_oldest", "drop_newest"])
def test_dropping_counts_every_drop_and_leaves_no_gap(stage: Stage, strategy: Strategy, seed: int) -> None:
    rng = default_rng(seed)
    outbox = stage.dropping(strategy, queue_bytes=4000)
    made: Counter[bytes] = Counter()
    running: dict[bytes, int] = {}
    ended = []
    for step in range(6000):
        stage.clock.now += 0.01
        stage.broker.up = (step // 700) % 2 == 0
        if rng.random() < 0.4:
            stage.client.take(SPOTS[int(rng.integers(3))], 3)
        if len(running) < 10:
            running[b"g" * (1 + step % 2) + b"%d" % step] = 0
        game = list(running)[int(rng.integers(len(running)))]
        if running[game] > 3 and rng.random() < 0.2:
            del running[game]
            ended.append(game)
            summary(outbox, game)
            continue
        chunk(outbox, game, running[game], int(rng.integers(0, 300)))
        running[game] += 1
        made[game] += 1
    stage.broker.up = True
    drain(stage, outbox)
    log = stage.chunks()
    for game, count in Counter(key for key, _ in log).items():
        assert numbers(log, game) == list(range(count))
    dropped = sum(made.values()) - len(log)
    assert dropped > 100
    assert value_of(stage.metrics.drops.labels(strategy)) == dropped
    told = {key for key, _ in stage.broker.logs[GAMES, 0]}
    assert told == {game for game in ended if made[game] == len(numbers(log, game))}
    assert value_of(stage.metrics.dropped_summaries.labels(strategy)) == len(ended) - len(told)
    assert outbox.close() == 0


def test_what_cannot_be_sent_at_the_end_is_counted_as_dropped(stage: Stage) -> None:
    outbox = stage.dropping("drop_oldest")
    stage.broker.up = False
    for number in range(5):
        chunk(outbox, b"a", number)
    assert outbox.close() == 5
    assert value_of(stage.metrics.drops.labels("drop_oldest")) == 5


def test_a_broker_that_answers_never_sees_the_disk_used(stage: Stage) -> None:
    outbox = stage.spilling()
    for number in range(50):
        chunk(outbox, b"a", number)
        stage.take_all()
    outbox.pump()
    assert outbox.close() == 0
    assert numbers(stage.chunks(), b"a") == list(range(50))
    assert value_of(stage.metrics.spilled) == 0
    assert list(stage.folder.glob("*.spill")) == []


def test_once_the_broker_is_found_away_what_is_on_its_way_is_on_disk_and_what_follows_is_there_first(
    stage: Stage,
) -> None:
    outbox = stage.spilling()
    for number in range(3):
        chunk(outbox, b"a", number)
    assert list(stage.folder.glob("*.spill")) == []
    stage.clock.now += 3.5
    outbox.pump()
    assert value_of(stage.metrics.spilled) == 3
    for number in range(3, 10):
        chunk(outbox, b"a", number)
    summary(outbox, b"a")
    assert len(stage.client.sent) == 3, "the client is given nothing more while the broker is away"
    assert value_of(stage.metrics.spilled) == 10
    assert value_of(stage.metrics.spill_bytes) > 0
    drain(stage, outbox)
    assert numbers(stage.chunks(), b"a") == list(range(10))
    assert stage.broker.logs[GAMES, 0] == [(b"a", b"summary")]
    assert value_of(stage.metrics.spill_bytes) == 0
    sent = len(stage.client.sent)
    chunk(outbox, b"bb", 0)
    assert len(stage.client.sent) == sent + 1, "with nothing on disk records go straight again"
    assert list(stage.folder.glob("*.spill")) == []
    stage.take_all()
    assert outbox.close() == 0


def fill_up(stage: Stage, outbox: SpillingOutbox) -> int:
    """Chunks of game a until there is no room; how many were taken."""
    for number in range(1000):
        try:
            chunk(outbox, b"a", number)
        except NotNow:
            return number
        stage.clock.now += 1
    raise AssertionError("there was room for 1000")


def test_with_its_share_of_the_disk_full_play_is_blocked_and_the_time_counted(stage: Stage) -> None:
    outbox = stage.spilling(max_bytes=10_000)
    stage.broker.up = False
    taken = fill_up(stage, outbox)
    assert 50 < taken < 100
    assert value_of(stage.metrics.blocked_seconds) >= 1.0
    assert sum(path.stat().st_size for path in stage.folder.glob("*.spill")) <= 10_000
    before = value_of(stage.metrics.blocked_seconds)
    with pytest.raises(NotNow):
        chunk(outbox, b"a", taken)
    assert value_of(stage.metrics.blocked_seconds) >= before + 1.0
    stage.broker.up = True
    drain(stage, outbox)
    chunk(outbox, b"a", taken)
    drain(stage, outbox)
    assert numbers(stage.chunks(), b"a") == list(range(taken + 1))
    assert outbox.close() == 0


@pytest.mark.parametrize("spare", [True, False])
def test_on_a_full_disk_play_stands_still_until_the_broker_is_back_and_all_of_it_is_sent_once(
    stage: Stage, spare: bool
) -> None:
    outbox = stage.spilling()
    stage.broker.up = False
    for number in range(30):
        chunk(outbox, b"a", number)
        stage.clock.now += 1
    if not spare:
        (stage.folder / SPARE).unlink()
    with full_disk():
        for _ in range(3):
            with pytest.raises(NotNow):
                chunk(outbox, b"a", 30)
        stage.broker.up = True
        drain(stage, outbox)
        assert bool(list(stage.folder.glob("*.spill"))) is not spare
        outbox.pump()
    outbox.pump()
    assert list(stage.folder.glob("*.spill")) == []
    chunk(outbox, b"a", 30)
    drain(stage, outbox)
    assert numbers(stage.chunks(), b"a") == list(range(31))
    assert outbox.close() == 0


def test_a_disk_too_full_to_sync_ends_neither_play_nor_the_way_out(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = stage.spilling()
    stage.broker.up = False
    for number in range(5):
        chunk(outbox, b"a", number)
        stage.clock.now += 1

    def fails(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        for number in range(5, 10):
            chunk(outbox, b"a", number)
            stage.clock.now += 1
        assert outbox.close() == 0
    stage.broker.up, stage.client = True, Client(stage.broker)
    later = stage.spilling()
    for _ in range(50):
        stage.clock.now += 0.1
        later.pump(0.05)
    drain(stage, later)
    assert numbers(stage.chunks(), b"a") == list(range(10))
    assert later.close() == 0


def test_a_successor_on_the_full_disk_sends_nothing_again(stage: Stage) -> None:
    outbox = stage.spilling()
    stage.broker.up = False
    for number in range(30):
        chunk(outbox, b"a", number)
        stage.clock.now += 1
    (stage.folder / SPARE).unlink()
    with full_disk():
        stage.broker.up = True
        drain(stage, outbox)
        bury(stage.folder)
        stage.client = Client(stage.broker)
        later = stage.spilling()
        for _ in range(50):
            stage.clock.now += 0.1
            later.pump(0.05)
        assert (later.unsent, stage.client.sent) == (0, [])
    assert later.close() == 0
    assert list(stage.folder.glob("*.spill")) == []
    assert numbers(stage.chunks(), b"a") == list(range(30))


def test_a_client_that_fails_for_good_leaves_everything_on_disk_for_the_successor(stage: Stage) -> None:
    outbox = stage.spilling()
    for number in range(5):
        chunk(outbox, b"a", number)
    stage.client.take((CHUNKS, 1), 2)
    outbox.pump()
    stage.client.failed = True
    with pytest.raises(DeliveryFailed):
        outbox.pump()
    assert outbox.close() == 0
    stage.client = Client(stage.broker)
    drain(stage, stage.spilling())
    assert numbers(stage.chunks(), b"a") == list(range(5))


def test_a_record_over_kafkas_limit_is_refused_before_it_is_on_disk(stage: Stage) -> None:
    outbox = stage.spilling()
    with pytest.raises(RecordTooLarge, match="over Kafka's limit"):
        chunk(outbox, b"a", 0, 1_000_000)
    outbox.close()


def left_behind(stage: Stage, *, delivered: int = 0) -> None:
    """Ten records on disk, of which the log has some."""
    outbox = stage.spilling()
    for number in range(10):
        chunk(outbox, b"a", number)
        stage.clock.now += 1
    stage.client.take((CHUNKS, 1), delivered, report=False)
    outbox.close()
    stage.client = Client(stage.broker)


@pytest.mark.parametrize("delivered", [0, 1, 3])
def test_a_successor_skips_what_is_in_the_log_already(stage: Stage, delivered: int) -> None:
    left_behind(stage, delivered=delivered)
    stage.broker.logs[CHUNKS, 1] += [(b"stranger", b"0 ")] * 20
    drain(stage, stage.spilling())
    assert numbers(stage.chunks(), b"a") == list(range(10))


def test_records_spilled_for_a_topic_that_was_made_anew_are_not_sent_to_it(stage: Stage) -> None:
    left_behind(stage)
    with pytest.raises(
        LogGone, match=r"topic chunks with id id-of-chunks, but it has id another now\. Move the folder"
    ):
        stage.spilling(ids={**IDS, CHUNKS: "another"})


def test_a_log_that_begins_behind_the_spilled_records_stops_the_engine(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_behind(stage)
    monkeypatch.setattr(Reader, "span", lambda _reader, _spot: (5, 9))
    with pytest.raises(LogGone, match=r"that log begins at 5 now: whether they were sent cannot be told"):
        stage.spilling()


def test_spilling_needs_a_folder() -> None:
    with pytest.raises(ValidationError, match="needs spill_dir"):
        EngineSettings(on_broker_away="spill_to_disk")
    with pytest.raises(ValidationError, match="drop_oldest"):
        EngineSettings(on_broker_away="panic")  # type: ignore[arg-type]
