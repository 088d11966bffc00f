"""One destination: its consumer group, its open segments, and what it does when its store fails.

Unusual: there is one way back from everything. A partition newly assigned, overtaken by a rival, half done by a crash
or read more slowly than the log forgets is *unsettled*: its last claim is looked up and finished, and reading goes on
at that claim's end. What the group committed is never asked for.

A failing store never loses anything: a segment that cannot be stored stays in memory and is tried again, with growing
pauses, while the group is kept alive and nothing more is fetched. A store that refuses us before anything was stored
is a wrong configuration and ends the service.
"""

import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TypeVar

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from generals_client.client_errors import passes
from generals_client.positions import Position
from generals_runtime.errors import OperatorError
from generals_runtime.kafka import connect, make_consumer, topic_ids
from generals_runtime.memory import give_back_soon
from generals_runtime.metrics import RuntimeMetrics, WriterMetrics
from generals_runtime.objects import ObjectStore, StoreError, StoreFull, StoreRefused, StoreUnavailable, open_store
from generals_writer import __version__
from generals_writer.build import Built, Origin, build
from generals_writer.claims import Cursor
from generals_writer.index import add_to_indices
from generals_writer.kafka_log import KafkaLog, bounds, check_within, to_record
from generals_writer.layout import LogPartition
from generals_writer.observer import Observer
from generals_writer.pause import Pause
from generals_writer.publisher import Published, Publisher
from generals_writer.segments import OpenSegment, to_relieve
from generals_writer.settings import Destination, WriterSettings

FETCH_RECORDS = 1000
WORK_S = 20.0
"""After so long the group is polled again, whatever is left to do: who does not poll for five minutes is put out."""
SESSION_MS = 10_000
"""After a crash the group waits this long for the dead member. Heartbeats come from a thread of librdkafka's own."""
R = TypeVar("R")


@dataclass(slots=True)
class _Partitions:
    """What is assigned: unsettled, with an open segment, or both if to be settled again; and what waits for a store."""

    unsettled: set[int] = field(default_factory=set)
    segments: dict[int, OpenSegment] = field(default_factory=dict)
    waiting: tuple[int, Built] | None = None


class DestinationWriter:
    """Archives the experiences topic to one destination. Used by one thread, but for `not_ready`."""

    def __init__(
        self,
        settings: WriterSettings,
        destination: Destination,
        *,
        observed: WriterMetrics,
        runtime: RuntimeMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = destination.name
        self._settings = settings
        self._destination = destination
        self._topic = settings.experiences
        self._group = f"{settings.group_prefix}-{destination.name}"
        self._observer = Observer(destination.name, self._topic, self._group, observed, runtime)
        self._clock = clock
        self._log = structlog.get_logger("generals_writer").bind(destination=destination.name)
        self._mine = _Partitions()
        self._pause = Pause()
        self._assigned = self._paused = self._proven = False
        self.last_progress = clock()
        self._store: ObjectStore
        self._consumer: Consumer
        self._topic_id = ""

    def start(self) -> None:
        """Open the store, join the group. Raises OperatorError if the topic or the store is not to be had."""
        self._store = open_store(self._destination.url)
        ids = topic_ids(connect(self._settings.kafka), [self._topic])
        self._topic_id = ids[self._topic]
        self._log_reader = KafkaLog(self._settings.kafka)
        self._consumer = make_consumer(
            self._settings.kafka,
            group_id=self._group,
            client_id=f"{self._settings.service_id}-{self.name}",
            overrides={"session.timeout.ms": SESSION_MS, **self._membership()},
        )
        self._consumer.subscribe(
            [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )
        self._log.info("archiving", url=self._store.url, topic=self._topic, group=self._group)

    def _membership(self) -> dict[str, str]:
        """A service with a name of its own takes its partitions back at once when it comes again after a crash."""
        named = "service_id" in self._settings.model_fields_set
        # With the topic: Kafka would give a member that comes back for another topic the partitions of before.
        return {"group.instance.id": f"{self._settings.service_id}-{self.name}-{self._topic}"} if named else {}

    def run_once(self, timeout_s: float) -> None:
        """Fetch, and store what is due. Raises OperatorError for what waiting cannot mend."""
        self.last_progress = self._clock()
        failing = self.last_progress < self._pause.until
        for message in self._consumer.consume(FETCH_RECORDS, timeout_s):
            self._take(message)
        if failing:
            return
        self._guarded(self._work)

    def stop(self) -> None:
        """Store what is open, commit, leave the group. A failing store is not waited for: nothing is lost."""
        try:
            if not self._guarded(self._flush):
                self._log.warning("stopped before everything was stored; it is read again at the next start")
        finally:
            self._consumer.close()

    def abort(self) -> None:
        """Leave the group and commit nothing."""
        self._consumer.close()

    def not_ready(self) -> str | None:
        """Why it makes no progress, if so."""
        if self._pause.why:
            return f"{self.name}: {self._pause.why}"
        return None if self._assigned else f"{self.name}: no partition assigned yet"

    def _flush(self) -> None:
        self._publish_waiting()
        for number in list(self._mine.segments):
            self._close_all(number, "stopping")

    def _publish_waiting(self) -> None:
        if self._mine.waiting is not None:
            number, built = self._mine.waiting
            self._publish(number, built)

    def _work(self) -> None:
        self._publish_waiting()
        now = self._clock()
        if self._mine.unsettled:
            self._settle_some(now + WORK_S)
        self._close_due(now, now + WORK_S)
        self._relieve(now + WORK_S)
        self._report()

    def _close_due(self, now: float, until: float) -> None:
        for number in list(self._mine.segments):
            while reason := self._mine.segments[number].due(self._settings.rotation, now):
                self._close_segment(number, reason)
                if self._clock() > until:
                    return

    def _relieve(self, until: float) -> None:
        while (number := to_relieve(self._mine.segments, self._settings.buffer_bytes)) is not None:
            self._close_segment(number, "buffer_bytes")
            if self._clock() > until:
                return

    def _guarded(self, work: Callable[[], None]) -> bool:
        """Do work with the store; if that fails in a way that may pass, pause. Whether it was done."""
        try:
            work()
        except (StoreUnavailable, StoreFull, StoreRefused) as error:
            if isinstance(error, StoreRefused) and not self._proven:
                raise
            self._fail(error)
            return False
        if self._pause.attempts:
            self._log.info("the store takes objects again", after_attempts=self._pause.attempts)
            self._pause = Pause()
        if self._paused:
            self._consumer.resume(self._assignment())
            self._paused = False
        return True

    def _fail(self, error: StoreError) -> None:
        reason = {StoreUnavailable: "unavailable", StoreFull: "full"}.get(type(error), "refused")
        self._observer.retried(reason)
        wait = self._pause.lengthen(str(error), self._clock(), random.random())
        self._log.error(str(error), try_again_in_s=round(wait, 1), attempts=self._pause.attempts)
        if not self._paused:
            self._consumer.pause(self._assignment())
            self._paused = True

    def _take(self, message: Message) -> None:
        error = message.error()
        number = message.partition() or 0
        if error is not None:
            self._check(error, number)
            return
        segment = self._mine.segments.get(number)
        record = to_record(message)
        if segment is None or record.offset < segment.end:  # fetched before a rebalance or a new position
            return
        segment.add(record, self._clock())
        self._observer.consumed(message)

    def _check(self, error: KafkaError, number: int) -> None:
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            self._log.warning("the log does not hold what comes next", partition=number, error=error.str())
            if number in self._mine.segments:
                self._mine.unsettled.add(number)
        elif passes(error):
            self._log.warning("the consumer goes on after an error", error=error.str())
        else:
            raise OperatorError(f"{self._topic}: {error.str()}")

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Nothing is fetched until the partitions are settled, which is done outside the callback."""
        consumer.assign([])
        self._mine = _Partitions(unsettled={partition.partition for partition in partitions})
        self._assigned, self._paused = True, False
        self._observer.dropped()
        self._log.info("assigned", partitions=sorted(self._mine.unsettled))

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """What is open is dropped: whoever has the partitions next reads it again."""
        self._mine = _Partitions()
        self._assigned = False
        self._log.info("revoked", partitions=sorted(partition.partition for partition in partitions))

    def _settle_some(self, until: float) -> None:
        for number in sorted(self._mine.unsettled):
            if self._clock() > until:
                break
            self._settle(number)
            self._mine.unsettled.discard(number)
            self._proven = True
        self._fetch_from_segments()

    def _settle(self, number: int) -> None:
        """What is in memory is archived first: a log that has lost what comes next has lost that too."""
        if number in self._mine.segments:
            self._close_all(number, "expired")
        cursor = self._run(self._publisher(number).settle(self._archived))
        self._mine.segments[number] = OpenSegment(cursor)
        log = LogPartition(self._topic, number)
        low, high = bounds(self._consumer, log, reached=cursor.offset)
        if self._settings.on_expired == "skip":
            cursor = self._skip_expired(number, cursor, low)
        check_within(log, cursor.offset, low, high)

    def _skip_expired(self, number: int, cursor: Cursor, low: int) -> Cursor:
        """The gap is a segment like any other, though of no records; a rival may have written down less of it."""
        while cursor.offset < low:
            self._log.error("the log lost what was not archived", partition=number, first=cursor.offset, end=low)
            cursor = self._publish(number, self._publisher(number).expired(cursor, low, self._destination.format))
        return cursor

    def _fetch_from_segments(self) -> None:
        """Assigning again is how positions are set: seeking is not allowed before the first fetch.

        librdkafka remembers a pause through assignments, also one from before a rebalance: it is undone first.
        """
        places = [TopicPartition(self._topic, number, segment.end) for number, segment in self._mine.segments.items()]
        self._consumer.resume(places)
        self._consumer.assign(places)
        self._paused = False

    def _close_all(self, number: int, reason: str) -> None:
        while self._mine.segments[number].records:
            self._close_segment(number, reason)

    def _close_segment(self, number: int, reason: str) -> None:
        segment = self._mine.segments[number]
        started = self._clock()
        records = segment.full(self._settings.rotation)
        built = build(
            records,
            before=segment.before,
            end=records[-1].offset + 1,
            origin=self._origin(number),
            format_name=self._destination.format,
            created_ms=int(time.time() * 1000),
        )
        self._log.debug("segment built", partition=number, reason=reason, seconds=round(self._clock() - started, 3))
        self._publish(number, built)

    def _publish(self, number: int, built: Built) -> Cursor:
        """Where the next segment begins. If the store fails, it waits for the next `_publish_waiting`."""
        self._mine.waiting = (number, built)
        published = self._run(self._publisher(number).publish(built))
        self._mine.waiting = None
        self._proven = True
        segment = self._mine.segments[number]
        self._mine.segments[number] = segment.next(published.cursor)
        if published.outcome == "foreign":
            self._log.warning("another writer was faster", partition=number, writer=published.claim.writer)
        self._commit(number, published.cursor)
        self._archived(published)
        give_back_soon()
        return published.cursor

    def _commit(self, number: int, cursor: Cursor) -> None:
        """A hint for whoever looks at lag; a writer that lost the partition meanwhile may fail here."""
        position = Position(self._topic, number, cursor.offset, cursor.mark, cursor.source_id)
        at = TopicPartition(self._topic, number, cursor.offset, position.to_metadata())
        try:
            self._consumer.commit(offsets=[at], asynchronous=False)
        except KafkaException as error:
            self._log.warning("the position was not committed", partition=number, reason=error.args[0].str())

    def _archived(self, published: Published) -> None:
        """Say so, and bring the indices up to date. They are derived: one that could not be written is made anew by
        `generals archive index`."""
        self._observer.published(published)
        try:
            add_to_indices(self._store, published.claim, published.stored)
        except StoreError as error:
            self._log.warning("an index was not brought up to date", reason=str(error))

    def _report(self) -> None:
        self._observer.buffered(self._mine.segments)
        for number, segment in self._mine.segments.items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, number), cached=True)
            self._observer.lag(number, max(0, high - segment.before.offset))

    def _publisher(self, number: int) -> Publisher:
        return Publisher(self._store, self._log_reader, self._origin(number))

    def _origin(self, number: int) -> Origin:
        return Origin(LogPartition(self._topic, number), self._topic_id, self._settings.service_id, __version__)

    def _assignment(self) -> list[TopicPartition]:
        return [TopicPartition(self._topic, number) for number in self._mine.segments]

    def _run(self, steps: Generator[str, None, R]) -> R:
        doing = ""
        while True:
            self.last_progress = begun = self._clock()
            try:
                step = next(steps)
            except StopIteration as done:
                result: R = done.value
                return result
            if doing.startswith("store "):
                self._observer.wrote(self._clock() - begun)
            doing = step
            self._log.debug("next", step=step)
