"""Fetches from the log the batches that a checkpoint's buffers held, in the order of their insertion."""

import time
from collections import deque
from collections.abc import Callable, Iterator

from confluent_kafka import Consumer, KafkaException, TopicPartition

from generals_client.client_errors import passes
from generals_runtime.kafka import log_bounds, make_consumer
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import decode_batch
from generals_schemas.records import ExperienceBatch

AHEAD_RECORDS = 2000
"""A partition that is this far ahead of the order pauses until the others catch up."""
PATIENCE_S = 90.0
"""librdkafka gives a vanished broker up after 60 s (`socket.timeout.ms`) and looks for the new leader only then."""


class RefillFailed(Exception):
    """The log does not hold (any more) what the buffers held."""


def refill(
    kafka: KafkaSettings, topic: str, wanted: list[tuple[int, int, int]], *, alive: Callable[[], None]
) -> Iterator[tuple[int, int, int, ExperienceBatch]]:
    """(sequence, partition, offset, batch) for each of `wanted` (sequence, partition, offset), in its order.

    alive: called again and again meanwhile, also while nothing comes.

    Raises:
        RefillFailed: a record is gone, or the broker does not deliver.
        KafkaUnavailable: the broker does not say what the log holds.
    """
    if not wanted:
        return
    consumer = make_consumer(kafka, group_id="generals-trainer-refill", client_id="refill")
    try:
        log = _Log(consumer, topic, wanted, alive)
        for sequence, partition, offset in wanted:
            yield sequence, partition, offset, decode_batch(log.next(partition, offset))
    except KafkaException as error:
        raise RefillFailed(f"{topic}: {error.args[0].str()}") from error
    finally:
        consumer.close()


class _Log:
    """Wanted records by partition. No group is joined: partitions are assigned by hand, nothing is committed."""

    def __init__(
        self, consumer: Consumer, topic: str, wanted: list[tuple[int, int, int]], alive: Callable[[], None]
    ) -> None:
        self._consumer, self._topic, self._alive = consumer, topic, alive
        self._reason = "no record came"
        self._offsets: dict[int, set[int]] = {}
        for _, partition, offset in wanted:
            self._offsets.setdefault(partition, set()).add(offset)
        self._queues: dict[int, deque[tuple[int, bytes]]] = {partition: deque() for partition in self._offsets}
        self._paused: set[int] = set()
        starts = {partition: min(offsets) for partition, offsets in self._offsets.items()}
        for partition, start in starts.items():
            low, high = log_bounds(consumer, topic, partition, reached=max(self._offsets[partition]) + 1)
            alive()
            if start < low or max(self._offsets[partition]) >= high:
                raise RefillFailed(
                    f"{topic}[{partition}]: the buffers held {start} … {max(self._offsets[partition])}, "
                    f"the log holds {low} … {high - 1}"
                )
        consumer.assign([TopicPartition(topic, partition, start) for partition, start in starts.items()])

    def next(self, partition: int, offset: int) -> bytes:
        """The record at an offset; offsets of a partition are asked for in ascending order."""
        queue = self._queues[partition]
        deadline = time.monotonic() + PATIENCE_S
        while not queue:
            self._poll(partition)
            if time.monotonic() > deadline:
                raise RefillFailed(
                    f"{self._topic}[{partition}]: offset {offset} did not come in {PATIENCE_S:g} s: {self._reason}"
                )
        found, value = queue.popleft()
        if found != offset:
            raise RefillFailed(f"{self._topic}[{partition}]: offset {offset} is missing, {found} came instead")
        return value

    def _poll(self, wanted: int) -> None:
        if wanted in self._paused:
            self._consumer.resume([TopicPartition(self._topic, wanted)])
            self._paused.discard(wanted)
        self._alive()
        for message in self._consumer.consume(256, 0.2):
            error = message.error()
            if error is not None:
                self._reason = error.str()
                if passes(error):
                    continue
                raise RefillFailed(f"{self._topic}: {self._reason}")
            partition, offset = message.partition() or 0, message.offset() or 0
            if offset in self._offsets[partition]:
                self._queues[partition].append((offset, message.value() or b""))
        for partition, queue in self._queues.items():
            if len(queue) > AHEAD_RECORDS and partition != wanted and partition not in self._paused:
                self._consumer.pause([TopicPartition(self._topic, partition)])
                self._paused.add(partition)
