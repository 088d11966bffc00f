"""The Faust app: takes groups from the transitions topic, hands them to the pipeline, acknowledges what was delivered.

Stateless: no tables, no changelog, no store. Faust is left at least once; what makes it exactly once for readers is the
order of things here:
- records are taken without acknowledging them (`noack`), and gathered into groups;
- the pipeline delivers in the order of taking, and `_acknowledge` alone acknowledges, group by group in that order.
  Faust's bookkeeping does not hold back for every gap, so an offset is acknowledged only when all before it are;
- after any failure nothing is acknowledged any more and the process ends. Its successor starts at the last commit,
  which is at or below what was delivered, and readers drop the repeats.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

import faust
import structlog
from faust.types import TP

from generals_collector.conversion import Headers, RawRecord
from generals_collector.faust_consumer import TURN_S, SourceConsumer
from generals_collector.pipeline import Pipeline
from generals_collector.settings import CollectorSettings
from generals_runtime import metrics

_log = structlog.get_logger("generals_collector.app")
DRAIN_S = 10.0


class Listener(Protocol):
    """Who is told of what happens to the app. All calls come from the event loop's thread."""

    def taken(self, records: list[RawRecord]) -> list[RawRecord]:
        """A group was taken; what to convert of it. May raise to end the process."""

    def acknowledged(self, records: list[RawRecord]) -> None:
        """A group was delivered and acknowledged."""

    async def assigned(self, partitions: set[int]) -> None:
        """All partitions that are ours from now on. Records come only after this."""


class _Stateless(faust.App):
    """An app that keeps nothing on disk, and so makes no folders there: where it runs may be read-only."""

    def _create_directories(self) -> None:
        """Faust's would make `<app id>-data` in the working directory, for tables and their checkpoints."""

    def _new_transport(self) -> Any:
        made: Any = super()._new_transport()
        made.Consumer = SourceConsumer
        return made


def make_app(settings: CollectorSettings) -> faust.App:
    """The app, with everything that we do not use turned off."""
    kafka = settings.kafka
    if settings.observability.log_level != "debug":
        for name in ("faust", "mode"):  # each of a dozen inner services says that it starts
            logging.getLogger(name).setLevel(logging.WARNING)
    return _Stateless(
        settings.group,
        broker=";".join(kafka.broker_urls()),
        broker_credentials=_credentials(settings),
        broker_commit_interval=settings.flow.commit_every_s,
        broker_session_timeout=settings.flow.session_timeout_s,
        broker_heartbeat_interval=settings.flow.session_timeout_s / 5,
        broker_request_timeout=max(90.0, 2 * settings.flow.session_timeout_s),
        broker_max_poll_records=settings.flow.buffer_chunks,
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=settings.flow.buffer_chunks,
        stream_wait_empty=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        store="memory://",
        web_enabled=False,
        autodiscover=False,
    )


class Intake:
    """The app's one agent and its acknowledgements."""

    def __init__(
        self, app: faust.App, settings: CollectorSettings, pipeline: Pipeline, listener: Listener, topic: str
    ) -> None:
        self._app = app
        self._flow = settings.flow
        self._pipeline = pipeline
        self._listener = listener
        self._gathered: list[Any] = []
        self._gathered_since = 0.0
        self._taken: deque[tuple[list[Any], list[RawRecord]]] = deque()
        self._in_flight = metrics.default().collector.in_flight
        self.failure: BaseException | None = None
        app.on_partitions_assigned.connect(cast("Any", self._assigned))
        app.on_partitions_revoked.connect(cast("Any", self._revoked))
        source = app.topic(topic, key_serializer="raw", value_serializer="raw", key_type=bytes, value_type=bytes)
        app.agent(source, name="take", concurrency=1)(self._take)
        app.task(self._acknowledge)

    async def ends(self, within_s: float) -> dict[int, int]:
        """Where our partitions end. Raises TimeoutError, KafkaError."""
        found = await cast("SourceConsumer", self._app.consumer).ends(within_s)
        return {tp.partition: end for tp, end in found.items()}

    async def drain(self, timeout_s: float) -> bool:
        """Wait until what was taken is delivered and acknowledged; false if that took too long."""
        self._submit()
        deadline = time.monotonic() + timeout_s
        while self._taken and self.failure is None and time.monotonic() < deadline:
            await asyncio.sleep(TURN_S)
        return not self._taken

    async def _take(self, stream: Any) -> None:
        """The agent. Faust restarts an agent that fails: here a failure is final."""
        try:
            async for event in stream.noack().events():
                await self._gather(event)
                if self.failure is not None:
                    return
        except Exception as error:
            self._fail(error)

    async def _gather(self, event: Any) -> None:
        """Add to the group, and submit it when it is full and there is room."""
        if not self._gathered:
            self._gathered_since = time.monotonic()
        self._gathered.append(event)
        while len(self._gathered) >= self._flow.group_chunks and self.failure is None:
            if self._has_room:
                self._submit()
            else:
                await asyncio.sleep(TURN_S)

    async def _acknowledge(self) -> None:
        """The one place where offsets are acknowledged, group by group in the order of taking."""
        try:
            while self.failure is None:
                for _ in self._pipeline.turn():
                    events, records = self._taken.popleft()
                    for event in events:
                        event.ack()
                    self._listener.acknowledged(records)
                    self._in_flight.dec(len(records))
                if self._overdue and self._has_room:
                    self._submit()
                await asyncio.sleep(TURN_S)
        except Exception as error:
            self._fail(error)

    @property
    def _overdue(self) -> bool:
        """Whether a group has to go on although it is not full."""
        waited = time.monotonic() - self._gathered_since
        return bool(self._gathered) and waited > self._flow.group_wait_ms / 1000

    @property
    def _has_room(self) -> bool:
        return self._pipeline.under_way < self._flow.groups_in_flight

    def _submit(self) -> None:
        """What has been gathered goes on as a group."""
        events, self._gathered = self._gathered, []
        if not events or self.failure is not None:
            return
        records = [raw_record(event.message) for event in events]
        try:
            records = self._listener.taken(records)
            self._pipeline.submit(records)
        except Exception as error:
            self._fail(error)
            return
        self._taken.append((events, records))
        self._in_flight.inc(len(records))

    def _fail(self, error: BaseException) -> None:
        self.failure = self.failure or error

    async def _assigned(self, _app: Any, assigned: set[TP], **_: Any) -> None:
        await self._listener.assigned({tp.partition for tp in assigned})

    async def _revoked(self, _app: Any, revoked: set[TP], **_: Any) -> None:
        """Faust has emptied its queues. What was taken is finished and committed, so that nobody has to repeat it."""
        if revoked and self.failure is None:
            in_time = await self.drain(DRAIN_S)
            await self._app.consumer.commit()
            _log.info("partitions revoked", partitions=sorted(tp.partition for tp in revoked), all_delivered=in_time)


def raw_record(message: Any) -> RawRecord:
    """A Faust message as it came."""
    return RawRecord(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        timestamp_ms=round(message.timestamp * 1000),  # Faust's are float seconds
        key=message.key,
        value=message.value,
        headers=_headers(message.headers),
    )


def _headers(headers: Any) -> Headers:
    if not headers:
        return ()
    return list(headers.items()) if isinstance(headers, Mapping) else list(headers)


def _credentials(settings: CollectorSettings) -> Any:
    """What Faust needs for TLS and SASL."""
    kafka = settings.kafka
    context = None
    if kafka.security_protocol in ("SSL", "SASL_SSL"):
        context = _tls_context(settings)
    if kafka.security_protocol == "SSL":
        return faust.SSLCredentials(context=context)
    if kafka.security_protocol.startswith("SASL_"):
        secret = kafka.sasl_password
        return faust.SASLCredentials(
            username=kafka.sasl_username,
            password=secret.get_secret_value() if secret else None,
            mechanism=kafka.sasl_mechanism,
            ssl_context=context,
        )
    return None


def _tls_context(settings: CollectorSettings) -> Any:
    import ssl

    kafka = settings.kafka
    context = ssl.create_default_context(cafile=str(kafka.ssl_ca_location) if kafka.ssl_ca_location else None)
    if kafka.ssl_certificate_location:
        password: Callable[[], str] | None = None
        if kafka.ssl_key_password:
            password = kafka.ssl_key_password.get_secret_value
        key = str(kafka.ssl_key_location) if kafka.ssl_key_location else None
        context.load_cert_chain(str(kafka.ssl_certificate_location), key, password)
    return context
