"""A destination without Kafka: what a crash left and what expired is counted once, and nothing in memory is lost."""

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, Message, TopicPartition
from numpy.random import default_rng
from prometheus_client import CollectorRegistry
from simulated_archive import LOG, MemoryLog, MemoryStore, made_up_log, origin, run

from generals_runtime.metrics import Metrics
from generals_runtime.objects import StoreUnavailable
from generals_writer import destination
from generals_writer.build import LogRecord, build
from generals_writer.catalog import read_chains
from generals_writer.claims import Claim, Cursor
from generals_writer.destination import DestinationWriter
from generals_writer.errors import LogExpired
from generals_writer.index import read_index
from generals_writer.layout import SEALS, seal_key
from generals_writer.observer import Observer
from generals_writer.publisher import Publisher
from generals_writer.segments import OpenSegment
from generals_writer.settings import Destination, WriterSettings
from generals_writer.verify import verify

AT_ONCE = 6


class Member:
    """A consumer that has the only partition. Where the log does not hold what comes next it fetches no more, as
    librdkafka's, until it is assigned again."""

    def __init__(self, log: MemoryLog) -> None:
        self.log = log
        self.position: int | None = None
        self.committed: list[int] = []
        self._on_assign: Callable[[Any, list[TopicPartition]], None] | None = None

    def subscribe(self, _topics: list[str], *, on_assign: Callable[..., None], **_others: object) -> None:
        self._on_assign = on_assign

    def consume(self, _limit: int, _timeout_s: float) -> list[Message]:
        if self._on_assign is not None:
            self._on_assign(self, [TopicPartition(LOG.topic, LOG.number)])
            self._on_assign = None
        if self.position is None:
            return []
        if self.position < self.log.first:
            self.position = None
            return [self._message(error=KafkaError(KafkaError._AUTO_OFFSET_RESET, "out of range"))]
        found = [record for record in self.log.records if record.offset >= self.position][:AT_ONCE]
        self.position = found[-1].offset + 1 if found else self.position
        return [self._record(record) for record in found]

    def assign(self, places: list[TopicPartition]) -> None:
        self.position = places[0].offset if places else None

    def pause(self, _places: list[TopicPartition]) -> None: ...

    def resume(self, _places: list[TopicPartition]) -> None: ...

    def commit(self, *, offsets: list[TopicPartition], **_others: object) -> None:
        self.committed.append(offsets[0].offset)

    def get_watermark_offsets(self, _place: TopicPartition, **_others: object) -> tuple[int, int]:
        return self.log.first, self.log.end

    def close(self) -> None: ...

    def _record(self, record: LogRecord) -> Message:
        return self._message(offset=record.offset, value=record.value, timestamp=(1, record.timestamp_ms))

    def _message(self, **what: Any) -> Message:
        return Message(topic=LOG.topic, partition=LOG.number, **what)


class LosesAnAnswer(MemoryStore):
    """The answer to the next seal is lost, once `armed`."""

    armed = False

    def put(self, key: str, data: bytes, *, if_absent: bool = True) -> None:
        super().put(key, data, if_absent=if_absent)
        if self.armed and key.startswith(SEALS):
            self.armed = False
            raise StoreUnavailable("the answer was lost")


class World:
    """A log, a store, and what the writers that were started counted, all together."""

    def __init__(self, seed: int) -> None:
        self.log, self.expected = made_up_log(default_rng(seed), chunks=30)
        self.log.records = [  # without what its producers left out, so that each offset counts
            LogRecord(offset, record.timestamp_ms, record.value) for offset, record in enumerate(self.log.records)
        ]
        self.store = LosesAnAnswer()
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)
        self.now = 100.0
        self.member = Member(self.log)

    def start(self, on_expired: str = "stop") -> DestinationWriter:
        """A writer that has settled. It closes a segment only when it has to."""
        self.member = Member(self.log)
        writer = DestinationWriter(
            WriterSettings.model_validate({"on_expired": on_expired, "rotation": {"record_seconds": 1e9}}),
            Destination(name="a"),
            observed=self.metrics.writer,
            runtime=self.metrics.runtime,
            clock=lambda: self.now,
        )
        writer.start()
        writer.run_once(0.0)
        return writer

    def archive(self, end: int) -> Claim:
        """Offsets [0, end), by a writer that is gone."""
        publisher = Publisher(self.store, self.log, origin("gone"))
        cursor = run(publisher.settle())
        return run(publisher.publish(self.built(cursor, end))).claim

    def built(self, cursor: Cursor, end: int) -> Any:
        records = self.log.read(LOG, cursor.offset, end)
        return build(records, before=cursor, end=end, origin=origin("gone"), format_name="parquet")

    def claims(self) -> list[Claim]:
        return [segment.claim for chain in read_chains(self.store) for segment in chain.sealed]

    def cuts(self) -> list[tuple[int, int, int]]:
        """First, end and expired of each sealed claim."""
        return [(claim.first, claim.end, claim.counts.expired) for claim in self.claims()]

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    @property
    def lost(self) -> float:
        return self.value("generals_lost_records_total", topic=LOG.topic)

    def claimed(self, outcome: str) -> float:
        return self.value("generals_writer_claims_total", destination="a", outcome=outcome)


@pytest.fixture
def world(seed: int, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(seed)
    monkeypatch.setattr(destination, "open_store", lambda _url: made.store)
    monkeypatch.setattr(destination, "connect", lambda _kafka: None)
    monkeypatch.setattr(destination, "topic_ids", lambda _admin, names: dict.fromkeys(names, "topic-id"))
    monkeypatch.setattr(destination, "KafkaLog", lambda _kafka: made.log)
    monkeypatch.setattr(destination, "make_consumer", lambda *_, **__: made.member)
    return made


def test_a_segment_that_a_crash_left_is_counted_once_as_resumed_and_enters_the_indices(world: World) -> None:
    begun = Publisher(world.store, world.log, origin("gone")).publish(world.built(Cursor(0), 20))
    next(begun)
    next(begun)
    for _ in range(2):  # the second finds it sealed
        world.start()
    (claim,) = world.claims()
    assert (world.claimed("resumed"), world.claimed("new")) == (1, 0)
    assert world.value("generals_archived_experiences_total", destination="a") == claim.counts.rows > 0
    for planned in claim.objects:
        folder, _, name = planned.key.rpartition("/")
        assert name in read_index(world.store, folder + "/")


def test_what_expired_before_the_start_is_claimed_and_counted_once(world: World) -> None:
    world.archive(5)
    world.log.first = 9
    for _ in range(2):
        world.start("skip")
    assert world.cuts() == [(0, 5, 0), (5, 9, 4)]
    assert (world.lost, world.claimed("new"), world.member.position) == (4, 1, 9)


def test_a_gap_whose_seal_was_not_acknowledged_is_counted_once_and_reading_goes_on_behind_it(world: World) -> None:
    world.archive(5)
    world.log.first = 9
    world.store.armed = True
    writer = world.start("skip")
    assert "the answer was lost" in str(writer.not_ready())
    world.now += 100.0
    writer.run_once(0.0)
    assert world.cuts() == [(0, 5, 0), (5, 9, 4)]
    assert (world.lost, world.member.position, writer.not_ready()) == (4, 9, None)


def test_what_expires_under_a_running_writer_is_skipped_after_what_is_in_memory_is_archived(world: World) -> None:
    writer = world.start("skip")
    writer.run_once(0.0)
    world.log.first = AT_ONCE + 4
    writer.run_once(0.0)
    assert world.cuts() == [(0, AT_ONCE, 0), (AT_ONCE, AT_ONCE + 4, 4)]
    assert world.member.committed == [AT_ONCE, AT_ONCE + 4]
    assert world.member.position == AT_ONCE + 4
    while world.member.position < world.log.end:
        writer.run_once(0.0)
    writer.stop()
    assert world.cuts()[2][0] == AT_ONCE + 4
    assert world.cuts()[-1][1] == world.log.end
    report = verify(world.store)
    assert (report.problems, report.expired) == ([], 4)
    assert world.lost == report.expired + report.lost_chunks


def test_a_running_writer_that_is_to_stop_for_what_expired_archives_first_what_it_has(world: World) -> None:
    writer = world.start("stop")
    writer.run_once(0.0)
    world.log.first = AT_ONCE + 4
    with pytest.raises(LogExpired, match="4 offsets were deleted before they were archived"):
        writer.run_once(0.0)
    assert world.cuts() == [(0, AT_ONCE, 0)]
    assert seal_key(LOG, 0) in world.store.objects


def test_each_destination_has_gauges_of_its_own(world: World) -> None:
    held = OpenSegment(Cursor(0))
    held.add(world.log.records[0], 0.0)
    metrics = world.metrics
    for name, segments in (("a", {0: held}), ("b", {})):
        Observer(name, LOG.topic, "group", metrics.writer, metrics.runtime).buffered(segments)
    for gauge, value in (("open_hours", 1), ("buffered_bytes", len(world.log.records[0].value))):
        assert world.value(f"generals_writer_{gauge}", destination="a") == value
        assert world.registry.get_sample_value(f"generals_writer_{gauge}", {"destination": "b"}) == 0
