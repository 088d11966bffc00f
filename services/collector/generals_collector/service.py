"""The collector as a service: everything wired, the event loop driven by the loop of every service.

Unusual: Faust's own worker is not used. It brings signal handlers, logging, a web server and an exit code of its own;
here the app is started on an event loop that `run_once` turns, so that signals, watchdog and exit codes are those of
all services.
"""

import asyncio
import time
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar

import structlog
from aiokafka.errors import KafkaError
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
from generals_collector.source_log import Missing, SourceLog
from generals_runtime import logs, metrics
from generals_runtime.errors import OperatorError
from generals_runtime.kafka import BATCH_PRODUCER, OrderedProducer, TopicMissing, connect

_log = structlog.get_logger("generals_collector.service")
T = TypeVar("T")
_LAG_EVERY_S = 2.0
_ADMIN_S = 15.0
_LAG_WITHIN_S = 2.0


class CollectorService:
    """Transitions in, experiences out. After a failure nothing is acknowledged: others read on from the last commit."""

    def __init__(self, settings: CollectorSettings) -> None:
        self._settings = settings
        self._topics = settings.kafka.topics()
        self._loop = asyncio.new_event_loop()
        self._admin: AdminClient
        self._rejects = RejectCounter(settings.limits)
        self._continuity = Continuity()
        self._progress = Progress(settings.observability.stall_after_s)
        self._partitions: set[int] = set()
        self._next_lag = 0.0

    def start(self) -> None:
        settings, topics = self._settings, self._topics
        self._admin = connect(settings.kafka)
        self._check_topics()
        self._source = SourceLog(settings.kafka, self._admin, topic=topics.transitions.name, group=settings.group)
        self._converter = Converter(settings.recipe(), self._source.topic_id, settings.flow.max_record_bytes)
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

    def not_ready(self) -> str | None:
        if not self._partitions:
            return "no partition is assigned"
        return self._progress.stalled()

    # What the intake tells.

    def taken(self, records: list[RawRecord]) -> list[RawRecord]:
        checked = [(self._continuity.check(record.partition, record.offset), record) for record in records]
        gaps = [gap for gap, _ in checked if gap is not None]
        if not gaps:
            return records
        missing, filled = iter(self._source.look_into(gaps)), []
        for gap, record in checked:
            if gap is not None:
                filled += self._missing(gap, next(missing), record.timestamp_ms)
            filled.append(record)
        return filled

    def acknowledged(self, records: list[RawRecord]) -> None:
        for record in records:
            self._progress.reached(record.partition, record.offset + 1)

    async def assigned(self, partitions: set[int]) -> None:
        self._partitions = partitions
        # Faust sends no heartbeats meanwhile: an answer after the session has ended is of no use.
        ask = partial(self._source.starts, sorted(partitions), within_s=self._settings.flow.session_timeout_s)
        starts = await self._loop.run_in_executor(None, ask)
        self._continuity.assigned({number: start.offset for number, start in starts.items()})
        self._progress.assigned({number: start.held for number, start in starts.items()})
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
                raise TopicMissing(name)
        source, target = (len(found[name].partitions) for name in names[:2])
        if target < source:
            raise OperatorError(
                f"{names[1]} has {target} partitions and {names[0]} has {source}: experiences keep the partition of "
                f"their chunk. Grow {names[1]} to at least {source}"
            )

    def _note(self, converted: Converted) -> None:
        rejected, source = converted.rejected, converted.source
        if source.hole:
            return
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

    def _missing(self, gap: Gap, missing: Missing, timestamp_ms: int) -> list[RawRecord]:
        """A gap is loud. Where the log has offsets without a record, holes stand for them: readers miss nothing."""
        topic, numbers = self._topics.transitions.name, missing.empty
        where = {"partition": gap.partition, "expected": gap.expected, "found": gap.found}
        if missing.gone:
            metrics.default().runtime.losses.labels(topic).inc(missing.gone)
            _log.error(f"{missing.gone} records of {topic} are no longer in the log and were never collected", **where)
        if numbers:
            _log.warning(
                f"{len(numbers)} offsets of {topic} hold no record: somebody writes there in transactions", **where
            )
        return RawRecord.holes(topic, gap.partition, numbers, timestamp_ms)

    def _look_at_lag(self) -> None:
        now = time.monotonic()
        if now < self._next_lag or not self._partitions:
            return
        self._next_lag = now + _LAG_EVERY_S
        for beyond in self._progress.look(self._ends):
            raise self._source.ends_early(beyond.partition, beyond.position, beyond.end)
        topic, group = self._topics.transitions.name, self._settings.group
        for partition, lag in self._progress.lag.items():
            metrics.default().runtime.consumer_lag.labels(topic, str(partition), group).set(lag)
        metrics.default().runtime.producer_queue.set(len(self._producer))
        self._look_at_stuck()

    def _look_at_stuck(self) -> None:
        """Marks of transactions are passed over; who stands before a record is not fetched for."""
        for stuck in self._progress.stuck():
            following = self._source.next_record(stuck.partition, stuck.position)
            if following in (None, stuck.position):
                raise OperatorError(f"{stuck}; ending, so that the partitions are assigned anew")
            self._progress.reached(stuck.partition, following)

    def _ends(self) -> dict[int, int]:
        """Where the partitions end; nothing while the broker does not say."""
        try:
            return self._wait(asyncio.wait_for(self._intake.ends(_LAG_WITHIN_S), 2 * _LAG_WITHIN_S))
        except (TimeoutError, KafkaError) as error:
            _log.info("the lag is not known: the broker does not answer", error=str(error))
            return {}

    def _end_loop(self) -> None:
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
