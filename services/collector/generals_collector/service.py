"""The collector as a service: everything wired, the event loop driven by the loop of every service.

Unusual: Faust's own worker is not used. It brings signal handlers, logging, a web server and an exit code of its own;
here the app is started on an event loop that `run_once` turns, so that signals, watchdog and exit codes are those of
all services.
"""

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import closing
from typing import Any, TypeVar

import structlog
from aiokafka.errors import KafkaError
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka import KafkaError as KafkaErrorCode
from confluent_kafka.admin import AdminClient

from generals_collector.app import Intake, make_app
from generals_collector.continuity import Continuity, Gap
from generals_collector.conversion import Converted, Converter, RawRecord
from generals_collector.limits import RejectCounter
from generals_collector.observation import observe
from generals_collector.pipeline import Destinations, Pipeline
from generals_collector.progress import Progress
from generals_collector.reloading import Reloader
from generals_collector.settings import CollectorSettings
from generals_runtime import logs, metrics
from generals_runtime.errors import OperatorError
from generals_runtime.kafka import (
    BATCH_PRODUCER,
    KafkaUnavailable,
    OrderedProducer,
    TopicMissing,
    committed_offsets,
    connect,
    log_bounds,
    make_consumer,
    topic_ids,
)

_log = structlog.get_logger("generals_collector.service")
T = TypeVar("T")
_LAG_EVERY_S = 2.0
_ADMIN_S = 15.0
_LAG_WITHIN_S = 2.0
_TELL_THE_END = {"enable.partition.eof": True, "isolation.level": "read_uncommitted"}


class RecordsSkipped(OperatorError):
    """The consumer skipped records that the log still holds."""


class TopicChanged(OperatorError):
    """The transitions are not those that were collected so far."""


class CollectorService:
    """Transitions in, experiences out."""

    def __init__(self, settings: CollectorSettings) -> None:
        self._settings = settings
        self._topics = settings.kafka.topics()
        self._loop = asyncio.new_event_loop()
        self._admin: AdminClient
        self._rejects = RejectCounter(settings.limits)
        self._continuity = Continuity()
        self._progress = Progress(settings.observability.stall_after_s)
        self._partitions: set[int] = set()
        self._beyond: set[int] = set()
        self._next_lag = 0.0

    def start(self) -> None:
        settings, topics = self._settings, self._topics
        self._admin = connect(settings.kafka)
        self._check_topics()
        ids = topic_ids(self._admin, [topics.transitions.name])
        self._converter = Converter(settings.recipe(), ids[topics.transitions.name], settings.flow.max_record_bytes)
        self._reloader = Reloader(settings, self._apply)
        self._producer = OrderedProducer(settings.kafka, client_id=settings.service_id, overrides=BATCH_PRODUCER)
        self._pipeline = Pipeline(
            self._producer,
            self._converter,
            Destinations(topics.experiences.name, topics.dead_letter.name),
            note=self._note,
            observe=observe,
        )
        asyncio.set_event_loop(self._loop)
        self._app = make_app(settings)
        self._intake = Intake(self._app, settings, self._pipeline, self, topics.transitions.name)
        self._wait(self._app.start())

    def run_once(self, timeout_s: float) -> None:
        self._wait(asyncio.sleep(timeout_s))
        failure = self._intake.failure or self._app.crash_reason
        if failure is not None:
            raise failure
        if self._app.should_stop:
            raise OperatorError("the Faust app has stopped by itself; its log says why")
        self._reloader.look()
        self._look_at_lag()

    def stop(self) -> None:
        # The app goes last: it commits what was acknowledged when it stops.
        self._app.consumer.stop_flow()
        self._app.flow_control.suspend()
        delivered = self._wait(self._intake.drain(self._settings.observability.stop_within_s / 2))
        if not delivered:
            _log.warning("not everything taken was delivered in time; it will be read again")
        self._wait(self._app.stop())
        self._producer.close(1.0)
        self._end_loop()
        if self._intake.failure is not None:
            raise self._intake.failure

    def abort(self) -> None:
        """Nothing is acknowledged or committed: the process ends and its successor reads on from the last commit."""

    def not_ready(self) -> str | None:
        if not self._partitions:
            return "no partition is assigned"
        return self._progress.stalled()

    # What the intake tells.

    def taken(self, records: list[RawRecord]) -> list[RawRecord]:
        filled = []
        for record in records:
            gap = self._continuity.check(record.partition, record.offset)
            filled += [*self._fill(gap, record.timestamp_ms), record] if gap is not None else [record]
        return filled

    def acknowledged(self, records: list[RawRecord]) -> None:
        for record in records:
            self._progress.reached(record.partition, record.offset + 1)

    async def assigned(self, partitions: set[int]) -> None:
        self._partitions = partitions
        starts, firsts = await self._loop.run_in_executor(None, self._starts, sorted(partitions))
        self._continuity.assigned(starts)
        self._progress.assigned({number: max(start, firsts[number]) for number, start in starts.items()})
        _log.info("partitions assigned", partitions=sorted(partitions))

    # Details.

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(coroutine)

    def _check_topics(self) -> None:
        """Faust passes over topics that do not exist, and a batch needs a partition of its source's number."""
        topics = self._topics
        names = [topics.transitions.name, topics.experiences.name, topics.dead_letter.name]
        found = self._admin.list_topics(timeout=_ADMIN_S).topics
        for name in names:
            if name not in found or found[name].error is not None:
                raise TopicMissing(f"topic {name} does not exist; `generals topics create` makes it")
        source, target = (len(found[name].partitions) for name in names[:2])
        if target < source:
            raise OperatorError(
                f"{names[1]} has {target} partitions and {names[0]} has {source}: experiences keep the partition of "
                f"their chunk. Grow {names[1]} to at least {source}"
            )

    def _note(self, converted: Converted) -> None:
        rejected, source = converted.rejected, converted.source
        game_id = (source.key or b"").decode(errors="replace")
        if logs.tells(game_id):
            _log.debug(
                "chunk converted", game_id=game_id, partition=source.partition, offset=source.offset,
                experiences=converted.experiences,
            )  # fmt: skip
        if rejected is not None:
            metrics.default().collector.validation_failures.labels(rejected.reason).inc()
            _log.warning(
                "chunk rejected", reason=rejected.reason, detail=rejected.detail, topic=source.topic,
                partition=source.partition, offset=source.offset,
            )  # fmt: skip
        self._rejects.note(rejected.reason if rejected else None)

    def _apply(self, settings: CollectorSettings) -> None:
        self._converter.recipe = settings.recipe()
        self._rejects.limits = settings.limits

    def _starts(self, partitions: Sequence[int]) -> tuple[dict[int, int], dict[int, int]]:
        """Where each partition goes on, at its commit or where the log begins; and where the log begins.

        Faust sends no heartbeats meanwhile: an answer after the session has ended is of no use.

        Raises:
            TopicChanged: the topic was made anew, or its log ends before what the group committed.
        """
        topic, until = self._topics.transitions.name, time.monotonic() + self._settings.flow.session_timeout_s

        def left_s() -> float:
            return max(0.5, until - time.monotonic())

        with closing(self._asking()) as consumer:
            committed = committed_offsets(consumer, topic, partitions, within_s=left_s())
            bounds = {number: log_bounds(consumer, topic, number, within_s=left_s()) for number in partitions}
        for number, (_, end) in bounds.items():
            if (committed[number] or 0) > end:
                raise self._ends_early(number, committed[number] or 0, end)
        if partitions:
            self._check_id(left_s())
        firsts = {number: first for number, (first, _) in bounds.items()}
        return {number: firsts[number] if offset is None else offset for number, offset in committed.items()}, firsts

    def _check_id(self, within_s: float) -> None:
        """Batches name their source's id. A topic that was made anew while this process ran has another."""
        topic = self._topics.transitions.name
        try:
            found = topic_ids(self._admin, [topic], timeout_s=within_s)[topic]
        except (KafkaUnavailable, TopicMissing, TimeoutError) as error:
            _log.warning("whether the topic is still the same is not known", topic=topic, error=str(error))
            return
        if found != self._converter.topic_id:
            raise TopicChanged(
                f"{topic} was made anew: its id was {self._converter.topic_id} and is {found}; "
                "ending, so that it is read as another topic"
            )

    def _ends_early(self, partition: int, position: int, end: int) -> TopicChanged:
        topic, group = self._topics.transitions.name, self._settings.group
        return TopicChanged(
            f"{topic}[{partition}] ends at {end}, before offset {position} that group {group} has reached: records are "
            "gone, or the topic was made anew. If it was, end all collectors and set the group back: "
            f"kafka-consumer-groups.sh --group {group} --topic {topic} --reset-offsets --to-earliest --execute"
        )

    def _next_record(self, partition: int, offset: int) -> int:
        """The first offset from `offset` on that has a record, or the log's end: marks of transactions are no records.

        `offset` itself, too, while the broker does not say.
        """
        with closing(self._asking(_TELL_THE_END)) as consumer:
            consumer.assign([TopicPartition(self._topics.transitions.name, partition, offset)])
            message = consumer.poll(_ADMIN_S)
        error = message.error() if message is not None else None
        if message is None or (error is not None and error.code() != KafkaErrorCode._PARTITION_EOF):
            return offset
        return max(offset, message.offset() or 0)

    def _asking(self, overrides: Mapping[str, Any] | None = None) -> Consumer:
        return make_consumer(self._settings.kafka, group_id=self._settings.group, overrides=overrides)

    def _fill(self, gap: Gap, timestamp_ms: int) -> list[RawRecord]:
        """A gap is loud. One that the log has too is a fact; any other is the consumer's fault, and is read again.

        Where the log has offsets without a record, empty ones stand for them: readers take a hole for a loss.
        """
        topic = self._topics.transitions.name
        with closing(self._asking()) as consumer:
            earliest, _ = log_bounds(consumer, topic, gap.partition)
        what = f"offsets {gap.expected} … {gap.found - 1} of {topic}[{gap.partition}]"
        if earliest < gap.found and self._next_record(gap.partition, max(earliest, gap.expected)) != gap.found:
            raise RecordsSkipped(
                f"the consumer skipped {what}, but the log begins at {earliest}; ending, so that they are read again"
            )
        gone = min(earliest, gap.found) - gap.expected
        if gone > 0:
            metrics.default().runtime.losses.labels(topic).inc(gone)
            _log.error(f"{what} are no longer in the log and were never collected", lost=gone, earliest=earliest)
        empty = range(max(earliest, gap.expected), gap.found)
        if empty:
            _log.warning(f"{what} hold {len(empty)} marks of transactions, which are rejected as empty records")
        return [RawRecord(topic, gap.partition, offset, timestamp_ms, None, None) for offset in empty]

    def _look_at_lag(self) -> None:
        now = time.monotonic()
        if now < self._next_lag or not self._partitions:
            return
        self._next_lag = now + _LAG_EVERY_S
        ends = self._ends()
        if not ends:
            self._progress.away()
        lags = self._progress.lags(ends)
        beyond = {partition for partition, end in ends.items() if lags.get(partition, 0) < 0}
        for partition in beyond & self._beyond:
            raise self._ends_early(partition, ends[partition] - lags[partition], ends[partition])
        self._beyond = beyond
        topic, group = self._topics.transitions.name, self._settings.group
        for partition, lag in lags.items():
            metrics.default().runtime.consumer_lag.labels(topic, str(partition), group).set(lag)
        metrics.default().runtime.producer_queue.set(len(self._producer))
        for stuck in self._progress.stuck():
            following = self._next_record(stuck.partition, stuck.position)
            if following == stuck.position:
                raise OperatorError(f"{stuck}; ending, so that the partitions are assigned anew")
            self._progress.reached(stuck.partition, following)

    def _ends(self) -> dict[int, int]:
        """Where the partitions end; nothing while the broker does not say."""
        asked = self._app.consumer.highwaters(*self._app.consumer.assignment())
        try:
            ends = self._wait(asyncio.wait_for(asked, _LAG_WITHIN_S))
        except (TimeoutError, KafkaError) as error:
            _log.info("the lag is not known: the broker does not answer", error=str(error))
            return {}
        return {tp.partition: end for tp, end in ends.items()}

    def _end_loop(self) -> None:
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
