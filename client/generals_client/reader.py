"""Records of the experiences topic, each exactly once, with the positions to go on from.

One consumer of one group; partitions are shared by Kafka. Nothing is committed unless `commit` is called, and a commit
carries the mark beside the offset. Memory is bounded: librdkafka's queue by QUEUE_KBYTES, what one poll unpacks by
about UNPACKED_BYTES; a slow reader stops fetching.

Unusual: an error found behind good records of the same poll is raised by the next one, so that what `positions` says
never passes a record that was not returned.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from generals_client.broker_log import BrokerLog
from generals_client.client_errors import OVERTAKEN, PASSING, ErrorLog, check_config, raise_for
from generals_client.errors import StreamError
from generals_client.positions import Deduplicator, Mark, Position
from generals_client.starts import Start, check_partitions, given_positions
from generals_schemas.codec import decode_batch
from generals_schemas.errors import SchemaError
from generals_schemas.records import ExperienceBatch

__all__ = ["Delivered", "ReaderStats", "RecordReader", "Start"]

log = logging.getLogger(__name__)

QUEUE_KBYTES = 32 * 1024
UNPACKED_BYTES = 16 * 1024 * 1024
FETCH_RECORDS = 512
Headers: TypeAlias = Sequence[tuple[str, bytes | None]]
_LARGE_RECORD = 512 * 1024
"""What is thought of a record's size before any was seen: as large as chunks get."""


@dataclass(frozen=True, slots=True, eq=False)
class Delivered:
    """A record as it came: the batch, and where it lies in the experiences topic.

    mark_before: what of its partition had been seen before it.
    handed: how many of its leading steps were handed on before the saved position that reading began at.
    headers: the record's, where the reader was asked for them.
    """

    batch: ExperienceBatch
    partition: int
    offset: int
    timestamp_ms: int
    size_bytes: int
    mark_before: Mark | None = None
    handed: int = 0
    headers: Headers = ()


@dataclass(slots=True)
class ReaderStats:
    """Counted since the reader began. Batches are records here, not experiences.

    records: without repeats.  size_bytes: of all values, those of repeats too.
    """

    records: int = 0
    repeats: int = 0
    lost_chunks: int = 0
    rejected: int = 0
    size_bytes: int = 0


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
    on_revoke: called within `poll` and `close` for each partition that is taken away, with the position behind what was
        polled; returns the one to go on from should the partition come back.
    with_headers: hand on the records' headers, too.
    share: (which, of how many): read every partition whose number modulo `how many` is `which`, of those there are now,
        without joining the group, so that nothing moves while somebody reads. The group keeps the committed positions.
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
        on_revoke: Callable[[Position], Position] | None = None,
        with_headers: bool = False,
        share: tuple[int, int] | None = None,
    ) -> None:
        self.topic = topic
        self.follow = follow
        self.stats = ReaderStats()
        self._given = given_positions(start, topic)
        check_config(client_config or {})
        self._with_headers = with_headers
        self._told = on_revoke or (lambda position: position)
        self._partitions: dict[int, _Partition] = {}
        self._left: dict[int, Position] = {}
        self._given_up: set[int] = set()
        self._settled = self._closed = False
        self._failure: StreamError | SchemaError | None = None
        self._record_bytes = _LARGE_RECORD
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "queued.max.messages.kbytes": QUEUE_KBYTES,
                "fetch.queue.backoff.ms": 50,
                "log_level": 0,  # a client without a broker writes many lines a second
                "error_cb": ErrorLog(),
                **(client_config or {}),
            }
        )
        try:
            self._log = BrokerLog(self._consumer, topic, start)
            check_partitions(self._given, self._log.partitions, topic)
            if share is not None:
                which, of = share
                self._take_over([n for n in sorted(self._log.partitions) if n % of == which])
        except BaseException:
            self._consumer.close()
            raise
        if share is None:
            told = {"on_assign": self._on_assign, "on_revoke": self._on_revoke, "on_lost": self._on_revoke}
            self._consumer.subscribe([topic], **told)

    def poll(self, timeout_s: float, max_records: int = FETCH_RECORDS) -> list[Delivered]:
        """New records, repeats dropped, in order within each partition; rejected markers included. May be empty.

        Raises:
            PositionLost, SourceChanged, TopicMissing, StreamError: see `errors`.
            BadRecord, UnknownSchema: a record that no collector of this version wrote; a note says where it lies.
        """
        if self._failure is not None:
            raise self._failure
        room = max(1, min(max_records, UNPACKED_BYTES // self._record_bytes))
        messages = self._consumer.consume(room, timeout_s)
        delivered: list[Delivered] = []
        largest = 0
        try:
            if self._failure is not None:
                raise self._failure
            for message in messages:
                found = self._take(message)
                if found is not None:
                    delivered.append(found)
                    largest = max(largest, found.batch.armies.nbytes + found.batch.bits.nbytes)
        except (StreamError, SchemaError) as error:
            self._failure = error
            if not delivered:
                raise
        self._record_bytes = largest or self._record_bytes
        return delivered

    @property
    def at_end(self) -> bool:
        """Whether every assigned partition has been read to its end. Never with `follow`, or while a rebalance runs."""
        return self._settled and not self.follow and all(p.at_end for p in self._partitions.values())

    @property
    def assignment(self) -> tuple[int, ...]:
        """The partitions that this reader has now."""
        return tuple(sorted(self._partitions))

    def positions(self) -> list[Position]:
        """The position behind everything that `poll` has returned, one for each assigned partition.

        While a rebalance runs and after `close`, those of the partitions had until then.
        """
        numbers = sorted({*self._partitions, *self._given_up})
        return [self._position(n) if n in self._partitions else self._left[n] for n in numbers]

    def commit(self, positions: list[Position] | None = None) -> bool:
        """Commit positions to the group, marks beside the offsets. Blocks until the broker has them.

        False if it could not be done for now, because of a rebalance or because the broker is away: the next one
        counts, or the next owner reads a little again. Partitions that this reader does not have are left out.
        """
        wanted = self.positions() if positions is None else positions
        mine = [position for position in wanted if position.partition in self._partitions]
        if not mine:
            return True
        offsets = [TopicPartition(p.topic, p.partition, p.offset, p.to_metadata()) for p in mine]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() not in OVERTAKEN | PASSING:
                raise StreamError(f"committing to {self.topic}: {error.args[0].str()}") from error
            log.warning("could not commit for now", extra={"error": error.args[0].str()})
            return False
        return True

    def lag(self) -> dict[int, int]:
        """Records not yet read, by partition, from what the broker last said."""
        lags = {}
        for number, state in self._partitions.items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(self.topic, number), cached=True)
            lags[number] = max(0, high - state.next_offset)
        return lags

    def close(self) -> None:
        """Leave the group. Nothing is committed. Closing twice is no harm."""
        if not self._closed:
            self._closed = True
            self._consumer.close()

    def __enter__(self) -> "RecordReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, message: Message) -> Delivered | None:
        partition, offset, error = message.partition() or 0, message.offset() or 0, message.error()
        state = self._partitions.get(partition)
        if error is not None:
            if error.code() != KafkaError._PARTITION_EOF:
                raise_for(error, self.topic)
            elif state is not None:  # behind the last record there may be offsets that hold none
                state.next_offset = max(state.next_offset, offset)
            return None
        if state is None or offset < state.next_offset:  # fetched before a rebalance
            return None
        value = message.value() or b""
        try:
            batch = decode_batch(value)
        except SchemaError as unreadable:
            unreadable.add_note(f"the record at offset {offset} of {self.topic}[{partition}]")
            raise
        before, lost = state.dedup.mark, state.dedup.lost
        new = state.dedup.accept(batch.source)
        state.next_offset = offset + 1
        if state.dedup.lost > lost:
            self._note_loss(state.dedup.lost - lost, partition, offset)
        self.stats.size_bytes += len(value)
        if not new:
            self.stats.repeats += 1
            return None
        self.stats.records += 1
        self.stats.rejected += batch.rejected is not None
        handed = state.handed.pop(offset, 0)
        headers = cast("Headers", message.headers() or ()) if self._with_headers else ()
        return Delivered(batch, partition, offset, message.timestamp()[1], len(value), before, handed, headers)

    def _note_loss(self, missing: int, partition: int, offset: int) -> None:
        self.stats.lost_chunks += missing
        where = {"partition": partition, "offset": offset, "missing": missing}
        log.error("chunks are missing before a record", extra=where)

    def _position(self, number: int) -> Position:
        state = self._partitions[number]
        ahead = {offset: steps for offset, steps in state.handed.items() if offset >= state.next_offset}
        return Position(self.topic, number, state.next_offset, state.dedup.mark, state.dedup.source_id, ahead)

    def _on_assign(self, _: Consumer, assigned: list[TopicPartition]) -> None:
        try:
            self._take_over([partition.partition for partition in assigned])
        except StreamError as error:  # an exception cannot leave the callback whole: `poll` raises it
            self._failure = error

    def _take_over(self, numbers: list[int]) -> None:
        try:
            self._partitions.update(self._where_to_begin(numbers))
            places = [TopicPartition(self.topic, n, self._partitions[n].next_offset) for n in numbers]
            self._consumer.assign(places)
        except KafkaException as error:
            raise StreamError(f"partitions of {self.topic} could not be taken over: {error}") from error
        self._given_up.clear()
        self._settled = True

    def _where_to_begin(self, numbers: list[int]) -> dict[int, _Partition]:
        """Where each was left here, was said to begin, was committed by the group, or begins."""
        committed = self._log.committed(numbers)
        fresh = [n for n in numbers if n not in self._left and n not in self._given]
        begins = self._log.begins([n for n in fresh if self._log.start_wins or n not in committed])
        found = {}
        for number in numbers:
            position, high = self._log.within(self._begins(number, committed.get(number), begins.get(number)))
            found[number] = _Partition(position, None if self.follow else high)
        return found

    def _begins(self, number: int, committed: Position | None, begin: int | None) -> Position:
        left = self._left.pop(number, None)
        if left is not None:
            return left.joined(committed) if committed is not None else left
        given = self._given.get(number)
        if given is not None:
            return given
        if begin is not None:
            return Position(self.topic, number, begin)
        if committed is None:
            raise StreamError(f"{self.topic}[{number}]: the broker does not say where it begins")
        return committed

    def _on_revoke(self, _: Consumer, revoked: list[TopicPartition]) -> None:
        self._settled = False
        for number in [partition.partition for partition in revoked if partition.partition in self._partitions]:
            self._left[number] = self._told(self._position(number))
            self._given_up.add(number)
            del self._partitions[number]
