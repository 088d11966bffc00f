"""A real broker stopped in mid-play: what each strategy makes of it, and engines killed while they catch up."""

import time
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from collector_process import CollectorProcess, wait_until
from confluent_kafka import Consumer, KafkaException, TopicPartition
from engine_process import EngineProcess
from prometheus_client import CollectorRegistry

from generals_console.audit import AuditReport, audit
from generals_engine.settings import EngineSettings
from generals_engine.worker import EngineWorker
from generals_runtime import metrics
from generals_runtime.broker import EmbeddedBroker
from generals_runtime.kafka import ensure_topics, make_consumer
from generals_runtime.service import Finished
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import decode_chunk, decode_game
from generals_schemas.records import TransitionChunk
from generals_schemas.topics import TOPICS

PARTITIONS = 3
SPECS = TOPICS.with_partitions(PARTITIONS)
PLAY = {"width": 8, "height": 8, "games": 32, "chunk_ticks": 16, "on_broker_away": "spill_to_disk", "away_after_s": 1}
OUTAGE_S = 20.0
FAST, SLOW = {"ticks_per_second": 25_000}, {"ticks_per_second": 500, "spill_max_bytes": 1 << 20}
"""SLOW: a small window, so that what the fast one left takes seconds to send."""


@pytest.fixture
def kafka_alone(own_broker: EmbeddedBroker) -> KafkaSettings:
    settings = KafkaSettings(bootstrap_servers=own_broker.bootstrap_servers)
    ensure_topics(settings, SPECS)
    return settings


class Log:
    """The transitions topic as it lies there."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka, self._consumer = kafka, make_consumer(kafka, group_id="watch")

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def length(self) -> int:
        return sum(end_of(self._consumer, TopicPartition(SPECS.transitions.name, p)) for p in range(PARTITIONS))

    def keys(self) -> list[str]:
        return [key.decode() for key, _ in read(self._consumer, SPECS.transitions.name)]

    def of_run(self, run: str) -> int:
        return sum(key.startswith(f"{run}-") for key in self.keys())

    def grows(self, by: int, timeout_s: float) -> None:
        """Return as soon as `by` more records are there."""
        before, deadline = self.length(), time.monotonic() + timeout_s
        while self.length() < before + by:
            assert time.monotonic() < deadline, f"the log did not grow within {timeout_s:g} s"
            time.sleep(0.005)

    def games(self) -> dict[str, list[TransitionChunk]]:
        """Each game's chunks in the log's order."""
        games = defaultdict(list)
        for _, value in read(self._consumer, SPECS.transitions.name):
            chunk = decode_chunk(value)
            games[chunk.game_id].append(chunk)
        return games


def end_of(consumer: Consumer, spot: TopicPartition) -> int:
    """Retried: a broker that has just come up, or a topic just made, may have no leader for it yet."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return int(consumer.get_watermark_offsets(spot, timeout=10)[1])
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def read(consumer: Consumer, topic: str) -> list[tuple[bytes, bytes]]:
    records: list[tuple[bytes, bytes]] = []
    for partition in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
        spot, found = TopicPartition(topic, partition, 0), 0
        end = end_of(consumer, spot)
        consumer.assign([spot])
        while found < end:
            for message in consumer.consume(min(5000, end - found), timeout=10):
                assert message.error() is None, message.error()
                records.append((message.key() or b"", message.value() or b""))
                found += 1
    consumer.unassign()
    return records


def assert_every_game_is_whole_so_far(games: dict[str, list[TransitionChunk]]) -> None:
    for game, chunks in games.items():
        assert [chunk.chunk for chunk in chunks] == list(range(len(chunks))), game
        assert all(one.first_tick + one.ticks == following.first_tick for one, following in pairwise(chunks)), game
        assert not any(chunk.final for chunk in chunks[:-1]), game


def spilled_files(folder: Path) -> list[Path]:
    return list(folder.glob("*.spill"))


def collected(kafka: KafkaSettings, servers: str, folder: Path) -> AuditReport:
    """The audit's verdict once a real collector has come to the end."""
    report = AuditReport()

    def done() -> bool:
        nonlocal report
        report = audit(kafka, collector_group="collector")
        return report.experiences_emitted > 0 and report.pending_collect == 0

    with CollectorProcess(servers, "", folder / "collector.log") as collector:
        wait_until(done, 150, "collecting everything")
        collector.kill()
    return report


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_engines_killed_while_they_send_what_they_spilled_lose_and_double_nothing(
    own_broker: EmbeddedBroker, kafka_alone: KafkaSettings, tmp_path: Path
) -> None:
    servers, spill = own_broker.bootstrap_servers, tmp_path / "spill"

    def engine(run: str, pace: dict[str, int]) -> EngineProcess:
        return EngineProcess(servers, tmp_path / f"{run}.log", {**PLAY, **pace, "run": run, "spill_dir": spill})

    with Log(kafka_alone) as log:
        with engine("r1", FAST) as first:
            log.grows(2000, 120)
            own_broker.stop()
            time.sleep(OUTAGE_S)  # the outage itself
            assert len(spilled_files(spill)) > 0, first.text()
            own_broker.start()
            log.grows(1, 60)
            first.kill()
        seen = [log.of_run("r1")]
        for run in ("r2", "r3"):
            with engine(run, SLOW) as following:
                log.grows(200, 120)
                following.kill()
                assert "records of a former process wait on disk" in following.text()
            seen.append(log.of_run("r1"))
        with engine("r4", SLOW) as last:
            wait_until(lambda: log.of_run("r4") > 0 and not spilled_files(spill), 200, "sending all that was spilled")
            assert last.stop() == 0, last.text()
        seen.append(log.of_run("r1"))
        assert seen[0] < seen[1] < seen[2] < seen[3], f"the kills were not while it drained: {seen}"
        assert_every_game_is_whole_so_far(log.games())
    report = collected(kafka_alone, servers, tmp_path)
    assert (report.lost, report.duplicates, report.gaps_in_games) == (0, 0, 0)
    assert report.clean, report


@pytest.mark.timeout(300)
def test_an_outage_that_the_engine_survives_costs_no_chunk_and_no_summary(
    own_broker: EmbeddedBroker, kafka_alone: KafkaSettings, tmp_path: Path
) -> None:
    settings = EngineSettings(
        kafka=kafka_alone, **{**PLAY, "games": 8, "max_games": 400, "tick_limit": 300}, seed=3,
        ticks_per_second=20_000, spill_dir=tmp_path / "spill",
    )  # fmt: skip
    seen = play_through_an_outage(settings, own_broker, lambda now: now.spilled._value.get() > 500)
    with Log(kafka_alone) as log, make_consumer(kafka_alone, group_id="games") as consumer:
        games = log.games()
        summaries = [decode_game(value) for _, value in read(consumer, SPECS.games.name)]
    assert_every_game_is_whole_so_far(games)
    assert len(games) == len(summaries) == 400
    assert all(chunks[-1].final for chunks in games.values())
    assert sum(map(len, games.values())) == chunks_made(seen)
    assert not spilled_files(tmp_path / "spill")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("strategy", ["drop_oldest", "drop_newest"])
def test_dropping_counts_what_is_missing_from_the_log_exactly_and_leaves_no_gap(
    own_broker: EmbeddedBroker, kafka_alone: KafkaSettings, strategy: str
) -> None:
    settings = EngineSettings(
        kafka=kafka_alone, width=8, height=8, games=32, max_games=1500, chunk_ticks=16, tick_limit=300, seed=3,
        on_broker_away=strategy, away_queue_bytes=1 << 20,
    )  # fmt: skip
    seen = play_through_an_outage(settings, own_broker, lambda now: drops(now, strategy) > 500)
    with Log(kafka_alone) as log, make_consumer(kafka_alone, group_id="games") as consumer:
        games = log.games()
        told = {decode_game(value).game_id for _, value in read(consumer, SPECS.games.name)}
    assert_every_game_is_whole_so_far(games)
    in_the_log = sum(map(len, games.values()))
    assert drops(seen, strategy) == chunks_made(seen) - in_the_log > 500
    assert told == {game for game, chunks in games.items() if chunks[-1].final}
    assert seen.dropped_summaries.labels(strategy)._value.get() == 1500 - len(told) > 0


def drops(seen: metrics.EngineMetrics, strategy: str) -> float:
    return float(seen.drops.labels(strategy)._value.get())


def chunks_made(seen: metrics.EngineMetrics) -> float:
    [family] = seen.chunk_bytes.collect()
    return next(sample.value for sample in family.samples if sample.name.endswith("_count"))


def play_through_an_outage(
    settings: EngineSettings, broker: EmbeddedBroker, long_enough: Callable[[metrics.EngineMetrics], bool]
) -> metrics.EngineMetrics:
    """Play until some games are over, stop the broker until `long_enough`, play to the end."""
    observed = metrics.Metrics(CollectorRegistry())
    worker = EngineWorker(settings, observed=observed)
    worker.start()
    for _ in range(3):
        worker.run_once(0.2)
    broker.stop()
    while not long_enough(observed.engine):
        worker.run_once(0.2)
    broker.start()
    try:
        while True:
            worker.run_once(0.2)
    except Finished:
        worker.stop()
    return observed.engine
