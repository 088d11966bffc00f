"""The past once more, with another reward or encoding: raw chunks from any offset or time into a topic of its own.

One source, encoding and reward a topic. Each batch carries the job's identity as its `config_version`, so the target
itself says who wrote it and how far it is: a job goes on behind the last chunk of each partition, and a target that
holds anything else is refused. A chunk that was cut by a crash is written again and readers drop the repeats, as they
do behind a collector. Rejected chunks leave their marker but no second dead letter.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeAlias, cast

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from generals_collector.conversion import Converted, Converter, Headers, RawRecord
from generals_collector.pipeline import Destinations, Pipeline
from generals_collector.source_log import AS_FAUST_READS
from generals_collector.tensorise import Recipe
from generals_runtime.errors import OperatorError
from generals_runtime.kafka import (
    BATCH_PRODUCER,
    KafkaUnavailable,
    OrderedProducer,
    answered,
    connect,
    ensure_topics,
    log_bounds,
    make_consumer,
    partitions_of,
    patiently,
    topic_ids,
)
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import decode_batch
from generals_schemas.errors import SchemaError
from generals_schemas.records import ExperienceBatch
from generals_schemas.topics import TOPICS

Start: TypeAlias = str | int | datetime
"""`"earliest"`, an offset for every partition, or a time."""

_GROUP_CHUNKS = 64
_GROUPS_UNDER_WAY = 8
_READ_S = 30.0
_WAIT_S = 0.05


class TargetRefused(OperatorError):
    """The target holds what this job did not write."""


@dataclass(slots=True)
class Progress:
    """How far a job is. Chunks of the source, experiences written."""

    chunks: int = 0
    experiences: int = 0
    rejected: int = 0
    positions: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """Chunks still to be read."""
        return sum(max(0, end - self.positions[partition]) for partition, end in self.ends.items())


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """What is to be done. The source is read up to the end that it has when the job begins."""

    kafka: KafkaSettings
    source: str
    target: str
    recipe: Recipe
    start: Start = "earliest"


def run(
    job: Job, *, on_progress: Callable[[Progress], None] = lambda _: None, stop: Callable[[], bool] = lambda: False
) -> Progress:
    """Do the job, or the rest of it. `stop` is asked between groups; what was begun is finished.

    Raises:
        TargetRefused: the target was not started by this job.
        TopicMissing: the source does not exist.
    """
    if job.target in (job.source, job.kafka.topics().experiences.name):
        raise TargetRefused(f"{job.target} is written by engines or collectors; name a topic of its own")
    source_id = topic_ids(connect(job.kafka), [job.source])[job.source]
    identity = _identity(job, source_id)
    group = f"retensorise-{job.target}"
    with closing(make_consumer(job.kafka, group_id=group, overrides=AS_FAUST_READS)) as consumer:
        partitions = partitions_of(consumer, job.source)
        _make_target(consumer, job, len(partitions))
        progress = Progress(
            positions=_positions(consumer, job, identity, partitions),
            ends={p: log_bounds(consumer, job.source, p)[1] for p in partitions},
        )
        converter = Converter(replace(job.recipe, version=identity), source_id)
        with OrderedProducer(job.kafka, client_id=group, overrides=BATCH_PRODUCER) as producer:
            pipeline = Pipeline(producer, converter, Destinations(job.target, None))
            _copy(consumer, job.source, pipeline, progress, on_progress, stop)
    return progress


def _identity(job: Job, source_id: str) -> str:
    how = job.recipe
    content = (
        source_id, job.target, how.encoding.name, dict(how.encoding_params), how.reward.name, dict(how.reward_params),
    )  # fmt: skip
    return "retensorise-" + hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _make_target(consumer: Consumer, job: Job, partitions: int) -> None:
    spec = replace(TOPICS.experiences, name=job.target, partitions=partitions)
    ensure_topics(job.kafka, [spec])
    found = len(partitions_of(consumer, job.target))
    if found < partitions:
        raise TargetRefused(f"{job.target} has {found} partitions, {job.source} has {partitions}: batches keep theirs")


def _positions(consumer: Consumer, job: Job, identity: str, partitions: list[int]) -> dict[int, int]:
    """Where to go on in each partition of the source: at the last chunk that the target has, or at the start."""
    starts = _starts(consumer, job, partitions)
    for partition in partitions_of(consumer, job.target):
        first, end = log_bounds(consumer, job.target, partition)
        if end == first:
            continue
        for offset in (first, end - 1):
            batch = _batch_at(consumer, job.target, partition, offset)
            if batch.config_version != identity:
                raise TargetRefused(
                    f"{job.target}[{partition}] holds batches of {batch.encoding} and {batch.reward} "
                    f"(version {batch.config_version}) that this job ({identity}) did not write; name another topic"
                )
        starts[partition] = batch.source.offset
    return starts


def _starts(consumer: Consumer, job: Job, partitions: list[int]) -> dict[int, int]:
    marks = {p: log_bounds(consumer, job.source, p) for p in partitions}
    if isinstance(job.start, datetime):
        wanted = [TopicPartition(job.source, p, round(job.start.timestamp() * 1000)) for p in partitions]
        found = patiently(
            lambda timeout_s: answered(consumer.offsets_for_times(wanted, timeout_s)), f"times in {job.source}"
        )
        return {one.partition: one.offset if one.offset >= 0 else marks[one.partition][1] for one in found}
    if isinstance(job.start, int):
        return {p: min(max(job.start, first), end) for p, (first, end) in marks.items()}
    if job.start != "earliest":
        raise OperatorError(f'start {job.start!r} must be "earliest", an offset or a time')
    return {p: first for p, (first, _) in marks.items()}


def _batch_at(consumer: Consumer, topic: str, partition: int, offset: int) -> ExperienceBatch:
    consumer.assign([TopicPartition(topic, partition, offset)])
    deadline, reason = time.monotonic() + _READ_S, "no answer"
    while time.monotonic() < deadline:
        message = consumer.poll(1.0)
        if message is None:
            continue
        if (failure := message.error()) is not None:
            reason = failure.str()
            continue
        try:
            return decode_batch(message.value() or b"")
        except SchemaError as error:
            raise TargetRefused(f"{topic}[{partition}]@{offset} is no experience batch: {error}") from error
    raise OperatorError(f"{topic}[{partition}]@{offset} could not be read within {_READ_S:g} s: {reason}")


def _copy(
    consumer: Consumer,
    source: str,
    pipeline: Pipeline,
    progress: Progress,
    on_progress: Callable[[Progress], None],
    stop: Callable[[], bool],
) -> None:
    todo = {p for p, end in progress.ends.items() if progress.positions[p] < end}
    consumer.assign([TopicPartition(source, p, progress.positions[p]) for p in sorted(todo)])
    reading = dict(progress.positions)
    while todo and not stop():
        messages = consumer.consume(_GROUP_CHUNKS, 1.0)
        records = [record for message in messages for record in _wanted(message, reading, progress.ends)]
        todo = {p for p in todo if reading[p] < progress.ends[p]}
        if records:
            pipeline.submit(records)
        _hear(pipeline, _GROUPS_UNDER_WAY, progress, on_progress)
    _hear(pipeline, 0, progress, on_progress)
    on_progress(progress)


def _hear(pipeline: Pipeline, most: int, progress: Progress, on_progress: Callable[[Progress], None]) -> None:
    """Note what was delivered, until at most so many groups are under way."""
    delivered = pipeline.turn()
    while True:
        for group in delivered:
            _note(group, progress)
            on_progress(progress)
        if pipeline.under_way <= most:
            return
        delivered = pipeline.turn(_WAIT_S)


def _wanted(message: Message, reading: dict[int, int], ends: Mapping[int, int]) -> Iterator[RawRecord]:
    """The record, unless it came after the job began, and holes for the offsets before it that have none.

    reading: where each partition is read on. The log's end is told like a record.
    """
    error = message.error()
    if error is not None and error.code() != KafkaError._PARTITION_EOF:
        raise KafkaUnavailable(
            f"reading {message.topic()} failed: {error.str()}; start the job again, it goes on where it was"
        )
    topic, partition, offset = str(message.topic()), message.partition() or 0, message.offset() or 0
    stamp = max(0, message.timestamp()[1])
    yield from RawRecord.holes(topic, partition, range(reading[partition], min(offset, ends[partition])), stamp)
    reading[partition] = max(reading[partition], offset + (error is None))
    if error is None and offset < ends[partition]:
        headers = cast("Headers", message.headers() or ())
        yield RawRecord(topic, partition, offset, stamp, _bytes(message.key()), _bytes(message.value()), headers)


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def _note(group: list[Converted], progress: Progress) -> None:
    for converted in group:
        hole = converted.source.hole
        progress.chunks += not hole
        progress.rejected += converted.rejected is not None and not hole
        progress.experiences += converted.experiences
        progress.positions[converted.source.partition] = converted.source.offset + 1
