"""What the collector asks Kafka about its source: where to go on, whether it is still the same log, what is in a gap.

Faust says none of this. It drops what lies before the offset it has reached, in a topic that was made anew, too.
"""

import time
from collections.abc import Sequence
from contextlib import closing
from typing import NamedTuple

import structlog
from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient

from generals_collector.continuity import Gap
from generals_runtime.errors import OperatorError
from generals_runtime.kafka import (
    KafkaUnavailable,
    TopicMissing,
    committed_offsets,
    log_bounds,
    make_consumer,
    topic_ids,
)
from generals_runtime.settings import KafkaSettings

_log = structlog.get_logger("generals_collector.source_log")
_ANSWER_S = 15.0
_CHECK_S = 2.0
# As Faust reads: what a transaction has written counts before it ends. The end of a log is told like a record.
AS_FAUST_READS = {"isolation.level": "read_uncommitted", "enable.partition.eof": True}


class RecordsSkipped(OperatorError):
    """The consumer skipped records that the log still holds."""


class TopicChanged(OperatorError):
    """The transitions are not those that were collected so far."""


class Start(NamedTuple):
    """Where a partition goes on: at `offset`, the group's commit; `held` is the first from there that the log holds."""

    offset: int
    held: int


class Missing(NamedTuple):
    """What a gap in the offsets is made of: so many records that the log no longer holds, and offsets without one."""

    gone: int
    empty: range


class SourceLog:
    """The transitions as a collector of a group sees them. `topic_id`: of the topic when this was made."""

    def __init__(self, kafka: KafkaSettings, admin: AdminClient, *, topic: str, group: str) -> None:
        self._kafka, self._admin, self.topic, self._group = kafka, admin, topic, group
        self.topic_id = topic_ids(admin, [topic])[topic]

    def starts(self, partitions: Sequence[int], *, within_s: float) -> dict[int, Start]:
        """Where each partition goes on: at the group's commit, or where the log begins.

        Raises:
            KafkaUnavailable: it is not known where a partition goes on.
            TopicChanged: the topic was made anew, or a log ends before what the group has committed.
        """
        until = time.monotonic() + within_s

        def left_s() -> float:
            return max(0.5, until - time.monotonic())

        if not partitions:
            return {}
        starts = {}
        with closing(self._consumer()) as consumer:
            committed = committed_offsets(consumer, self.topic, partitions, within_s=left_s())
            for number, commit in committed.items():
                if commit is None:
                    first, _ = log_bounds(consumer, self.topic, number, within_s=left_s())
                    starts[number] = Start(first, first)
                else:
                    starts[number] = self._start(consumer, number, commit, min(_CHECK_S, left_s() - within_s / 2))
        self._check_id(left_s())
        return starts

    def _start(self, consumer: Consumer, number: int, commit: int, within_s: float) -> Start:
        """At the commit. What else is to be known is not worth the session: a partition may have no leader."""
        if within_s <= 0:
            return Start(commit, commit)
        try:
            first, end = log_bounds(consumer, self.topic, number, reached=commit, within_s=within_s)
        except KafkaUnavailable as error:
            _log.warning("where the log ends is not known", partition=number, error=str(error))
            return Start(commit, commit)
        if commit > end:
            raise self.ends_early(number, commit, end)
        return Start(commit, max(commit, first))

    def ends_early(self, partition: int, position: int, end: int) -> TopicChanged:
        """The error of a log that ends before what was collected of it."""
        return TopicChanged(
            f"{self.topic}[{partition}] ends at {end}, before offset {position} that group {self._group} has reached: "
            f"records are gone, or the topic was made anew. If it was, {self._advice}"
        )

    def next_record(self, partition: int, offset: int) -> int | None:
        """The first offset from `offset` on that has a record, or the log's end: marks of transactions are no records.

        None: the broker does not say.
        """
        with closing(self._consumer()) as consumer:
            return self._next_record(consumer, partition, offset)

    def look_into(self, gaps: Sequence[Gap]) -> list[Missing]:
        """What each gap is made of.

        Raises:
            RecordsSkipped: of records that the log holds: the consumer's fault, they have to be read again.
            KafkaUnavailable: the broker does not say.
        """
        with closing(self._consumer()) as consumer:
            return [self._look_into(consumer, gap) for gap in gaps]

    def _look_into(self, consumer: Consumer, gap: Gap) -> Missing:
        earliest, _ = log_bounds(consumer, self.topic, gap.partition)
        first = min(max(earliest, gap.expected), gap.found)
        what = f"offsets {gap.expected} … {gap.found - 1} of {self.topic}[{gap.partition}]"
        following = self._next_record(consumer, gap.partition, first) if first < gap.found else gap.found
        if following is None:
            raise KafkaUnavailable(f"{what} did not come, and the broker does not say what is there")
        if following != gap.found:
            raise RecordsSkipped(
                f"the consumer skipped {what}, but the log begins at {earliest}; ending, so that they are read again"
            )
        return Missing(first - gap.expected, range(first, gap.found))

    def _next_record(self, consumer: Consumer, partition: int, offset: int) -> int | None:
        consumer.assign([TopicPartition(self.topic, partition, offset)])
        message = consumer.poll(_ANSWER_S)
        error = message.error() if message is not None else None
        if message is None or (error is not None and error.code() != KafkaError._PARTITION_EOF):
            return None
        return max(offset, message.offset() or 0)

    def _check_id(self, within_s: float) -> None:
        """Batches name their source's id. A topic that was made anew while this process ran has another."""
        try:
            found = topic_ids(self._admin, [self.topic], timeout_s=within_s)[self.topic]
        except (KafkaUnavailable, TopicMissing, TimeoutError) as error:
            _log.warning("whether the topic is still the same is not known", topic=self.topic, error=str(error))
            return
        if found != self.topic_id:
            raise TopicChanged(f"{self.topic} was made anew: its id was {self.topic_id} and is {found}; {self._advice}")

    @property
    def _advice(self) -> str:
        return (
            "end all collectors and set the group back: kafka-consumer-groups.sh --bootstrap-server "
            f"{self._kafka.bootstrap_servers} --group {self._group} --topic {self.topic} --reset-offsets --to-earliest "
            "--execute (docs/guides/runbook.md, Transitions were made anew)"
        )

    def _consumer(self) -> Consumer:
        return make_consumer(self._kafka, group_id=self._group, overrides=AS_FAUST_READS)
