"""Records of the experiences topic, each exactly once, with the positions to go on from.

One consumer of one group; partitions are shared by Kafka. Nothing is committed unless `commit` is called, and a commit
carries the mark beside the offset. Memory is bounded by librdkafka's queue: a slow reader stops fetching.
"""

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from generals_client.errors import PositionLost, StreamError, TopicMissing
from generals_client.positions import Deduplicator, Position
from generals_schemas.codec import decode_batch
from generals_schemas.records import ExperienceBatch

log = logging.getLogger(__name__)

Start: TypeAlias = str | int | datetime | Mapping[int, int] | list[Position]
"""`"earliest"`, `"latest"` (both: where a new group begins; a committed position wins), an offset for every partition,
a time, offsets by partition, or saved positions (these always win)."""

QUEUE_KBYTES = 32 * 1024
METADATA_TIMEOUT_S = 15.0
FETCH_RECORDS = 512
ERROR_EVERY_S = 30.0
_OVERTAKEN = (KafkaError.REBALANCE_IN_PROGRESS, KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID)


@dataclass(frozen=True, slots=True, eq=False)
class Delivered:
    """A record as it came: the batch, and where it lies in the experiences topic."""

    batch: ExperienceBatch
    partition: int
    offset: int
    timestamp_ms: int
    size_bytes: int


@dataclass(slots=True)
class ReaderStats:
    """Counted since the reader began. Batches are records here, not experiences."""

    records: int = 0
    repeats: int = 0
    lost_chunks: int = 0
    rejected: int = 0


class _Partition:
    """One assigned partition: its deduplication, how far it was read, where reading stops."""

    def __init__(self, position: Position, end: int | None) -> None:
        self.dedup = Deduplicator(position.partition, position.mark, position.source_id)
        self.handed = dict(position.handed)
        self.next_offset = position.offset
        self.end = end

    @property
    def at_end(self) -> bool:
        return self.end is not None and self.next_offset >= self.end


class RecordReader:
    """Polls records of one topic in one group. A context manager.

    follow: go on for ever; if false, `at_end` turns true at the end offsets seen when partitions were assigned.
    """

    def __init__(
        self,
        *,
        bootstrap_servers: str,
        group: str,
        topic: str = "generals.experiences",
        start: Start = "earliest",
        follow: bool = False,
        client_config: Mapping[str, Any] | None = None,
    ) -> None:
        self.topic = topic
        self.follow = follow
        self.stats = ReaderStats()
        self._start = start
        self._given = _given_positions(start, topic)
        self._partitions: dict[int, _Partition] = {}
        self._left: dict[int, Position] = {}
        self._assigned_once = False
        self._failure: StreamError | None = None
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "queued.max.messages.kbytes": QUEUE_KBYTES,
                "fetch.queue.backoff.ms": 50,
                "log_level": 0,  # a client without a broker writes many lines a second
                "error_cb": _ErrorLog(),
                **(client_config or {}),
            }
        )
        try:
            _require_topic(self._consumer, topic)
        except BaseException:
            self._consumer.close()
            raise
        self._consumer.subscribe([topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke)

    def poll(self, timeout_s: float, max_records: int = FETCH_RECORDS) -> list[Delivered]:
        """New records, repeats dropped, in order within each partition; rejected markers included. May be empty.

        Raises:
            PositionLost, SourceChanged: see `errors`.
            BadRecord, UnknownSchema: a record that no collector of this version wrote.
        """
        messages = self._consumer.consume(max_records, timeout_s)
        if self._failure is not None:
            raise self._failure
        delivered = []
        for message in messages:
            error = message.error()
            if error is not None:
                _raise_for(error, self.topic)
                continue
            found = self._take(message)
            if found is not None:
                delivered.append(found)
        return delivered

    @property
    def at_end(self) -> bool:
        """Whether every assigned partition has been read to its end. Always false with `follow`."""
        return self._assigned_once and not self.follow and all(p.at_end for p in self._partitions.values())

    @property
    def assignment(self) -> tuple[int, ...]:
        """The partitions that this reader has now."""
        return tuple(sorted(self._partitions))

    def positions(self) -> list[Position]:
        """The position behind everything that `poll` has returned, one for each assigned partition."""
        return [self._position(number) for number in self.assignment]

    def skipped_steps(self, record: Delivered) -> int:
        """How many leading steps of a record were handed on before the saved position it was read from."""
        state = self._partitions.get(record.partition)
        return state.handed.pop(record.offset, 0) if state else 0

    def commit(self, positions: list[Position] | None = None) -> None:
        """Commit positions to the group, marks beside the offsets. Blocks until the broker has them.

        A rebalance that is under way refuses commits: the next one counts, or the next owner reads a little again.
        """
        wanted = self.positions() if positions is None else positions
        mine = [position for position in wanted if position.partition in self._partitions]
        if not mine:
            return
        offsets = [TopicPartition(p.topic, p.partition, p.offset, p.to_metadata()) for p in mine]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() not in _OVERTAKEN:
                raise StreamError(f"committing to {self.topic}: {error.args[0].str()}") from error
            log.info("commit refused during a rebalance")

    def lag(self) -> dict[int, int]:
        """Records not yet read, by partition, from what the broker last said."""
        lags = {}
        for number, state in self._partitions.items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(self.topic, number), cached=True)
            lags[number] = max(0, high - state.next_offset)
        return lags

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def __enter__(self) -> "RecordReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, message: Message) -> Delivered | None:
        partition, offset, value = message.partition() or 0, message.offset() or 0, message.value() or b""
        state = self._partitions.get(partition)
        if state is None:  # revoked while the message was in the queue
            return None
        batch = decode_batch(value)
        lost = state.dedup.lost
        new = state.dedup.accept(batch.source)
        state.next_offset = offset + 1
        if state.dedup.lost > lost:
            self.stats.lost_chunks += state.dedup.lost - lost
            log.error(
                "chunks are missing before a record",
                extra={"partition": partition, "offset": offset, "missing": state.dedup.lost - lost},
            )
        if not new:
            self.stats.repeats += 1
            return None
        self.stats.records += 1
        self.stats.rejected += batch.rejected is not None
        return Delivered(batch, partition, offset, message.timestamp()[1], len(value))

    def _position(self, number: int) -> Position:
        state = self._partitions[number]
        return Position(self.topic, number, state.next_offset, state.dedup.mark, state.dedup.source_id, state.handed)

    def _on_assign(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        try:
            self._take_over(consumer, [partition.partition for partition in assigned])
        except StreamError as error:  # an exception cannot leave the callback whole: `poll` raises it
            self._failure = error
        except KafkaException as error:
            self._failure = StreamError(f"partitions of {self.topic} could not be taken over: {error}")

    def _take_over(self, consumer: Consumer, numbers: list[int]) -> None:
        committed = consumer.committed([TopicPartition(self.topic, n) for n in numbers], timeout=METADATA_TIMEOUT_S)
        by_group = {
            tp.partition: Position.from_metadata(self.topic, tp.partition, tp.offset, tp.metadata)
            for tp in committed
            if tp.offset >= 0
        }
        starts = self._word_offsets(consumer, [n for n in numbers if not self._known(n, by_group)])
        targets = []
        for number in numbers:
            low, high = consumer.get_watermark_offsets(TopicPartition(self.topic, number), timeout=METADATA_TIMEOUT_S)
            position = self._where(number, by_group, starts, low, high)
            self._partitions[number] = _Partition(position, None if self.follow else high)
            targets.append(TopicPartition(self.topic, number, position.offset))
        consumer.assign(targets)
        self._assigned_once = True

    def _known(self, number: int, by_group: Mapping[int, Position]) -> bool:
        return number in by_group or number in self._given or number in self._left

    def _where(
        self, number: int, by_group: Mapping[int, Position], starts: Mapping[int, int], low: int, high: int
    ) -> Position:
        """A partition had before: the further of read and committed. Else what was given, committed, or the start."""
        if number in self._left:
            seen = [p for p in (self._left[number], by_group.get(number)) if p is not None]
            position = max(seen, key=lambda p: p.offset)
        else:
            position = self._given.get(number) or by_group.get(number) or Position(self.topic, number, starts[number])
        if position.offset == OFFSET_BEGINNING:
            return Position(self.topic, number, low)
        if position.offset == OFFSET_END:
            return Position(self.topic, number, high)
        if not low <= position.offset <= high:
            raise PositionLost(
                f"{self.topic}[{number}]: offset {position.offset} is outside the log, which holds {low} … {high}; "
                "start from 'earliest', or from an offset that is there"
            )
        if position.mark is None and position.offset > low:
            log.info(
                "starting in the middle of a partition without a mark: its first records may repeat earlier ones",
                extra={"partition": number, "offset": position.offset},
            )
        return position

    def _word_offsets(self, consumer: Consumer, numbers: list[int]) -> dict[int, int]:
        """Where a partition begins that nobody has read: by the word, the offset or the time of `start`."""
        start = self._start
        if isinstance(start, datetime):
            stamp = int(start.timestamp() * 1000)
            asked = [TopicPartition(self.topic, number, stamp) for number in numbers]
            found = consumer.offsets_for_times(asked, timeout=METADATA_TIMEOUT_S) if asked else []
            return {tp.partition: tp.offset if tp.offset != OFFSET_INVALID else OFFSET_END for tp in found}
        if isinstance(start, int):
            return dict.fromkeys(numbers, start)
        return dict.fromkeys(numbers, OFFSET_END if start == "latest" else OFFSET_BEGINNING)

    def _on_revoke(self, _: Consumer, revoked: list[TopicPartition]) -> None:
        for partition in revoked:
            if partition.partition in self._partitions:
                self._left[partition.partition] = self._position(partition.partition)
                del self._partitions[partition.partition]


def _given_positions(start: Start, topic: str) -> dict[int, Position]:
    if isinstance(start, str):
        if start not in ("earliest", "latest"):
            raise ValueError(
                f"start is {start!r}: it must be 'earliest', 'latest', an offset, a datetime, "
                "offsets by partition, or saved positions"
            )
        return {}
    if isinstance(start, Mapping):
        return {number: Position(topic, number, offset) for number, offset in start.items()}
    if isinstance(start, list):
        for position in start:
            if position.topic != topic:
                raise ValueError(f"a saved position belongs to topic {position.topic}, this stream reads {topic}")
        return {position.partition: position for position in start}
    return {}


def _require_topic(consumer: Consumer, topic: str) -> None:
    try:
        found = consumer.list_topics(topic, timeout=METADATA_TIMEOUT_S).topics[topic]
    except KafkaException as error:
        raise StreamError(f"the broker does not answer: {error.args[0].str()}") from error
    if found.error is not None:
        raise TopicMissing(f"topic {topic}: {found.error.str()}; `generals topics create` makes it")


def _raise_for(error: KafkaError, topic: str) -> None:
    if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
        raise PositionLost(f"{topic}: {error.str()}; records between the position and the log's start are gone")
    if error.fatal() or not error.retriable():
        raise StreamError(f"{topic}: {error.str()}")
    log.warning("the consumer goes on after an error", extra={"error": error.str()})


class _ErrorLog:
    """Logs each kind of a client's errors at most twice a minute."""

    def __init__(self) -> None:
        self._last: dict[int, float] = {}

    def __call__(self, error: KafkaError) -> None:
        now = time.monotonic()
        if now - self._last.get(error.code(), -math.inf) >= ERROR_EVERY_S:
            self._last[error.code()] = now
            log.warning("Kafka client: %s", error.str())
