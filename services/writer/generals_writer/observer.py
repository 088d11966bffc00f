"""What a destination tells the world: metrics, and a line for each segment."""

from collections.abc import Mapping

import structlog
from confluent_kafka import Message

from generals_runtime import tracing
from generals_runtime.metrics import RuntimeMetrics, WriterMetrics
from generals_writer.followed import Followed
from generals_writer.publisher import Published
from generals_writer.segments import OpenSegment


class Observer:
    """Counts for one destination of one topic."""

    def __init__(
        self, destination: str, topic: str, group: str, observed: WriterMetrics, runtime: RuntimeMetrics
    ) -> None:
        self._name, self._topic, self._group = destination, topic, group
        self._observed, self._runtime = observed, runtime
        self._log = structlog.get_logger("generals_writer").bind(destination=destination)
        tracer = tracing.default()
        self._followed = None if tracer is None else Followed(tracer, destination)

    def consumed(self, message: Message) -> None:
        self._runtime.records_consumed.labels(self._topic).inc()
        self._runtime.bytes_consumed.labels(self._topic).inc(len(message))
        if self._followed is not None:
            self._followed.taken(message)

    def dropped(self) -> None:
        """What was consumed and not yet archived is another's now."""
        if self._followed is not None:
            self._followed.dropped()

    def wrote(self, seconds: float) -> None:
        """One object, retries included."""
        self._observed.write_seconds.labels(self._name).observe(seconds)

    def retried(self, reason: str) -> None:
        self._observed.retries.labels(self._name, reason).inc()

    def lag(self, partition: int, records: int) -> None:
        """Records of the log that are not archived yet."""
        self._runtime.consumer_lag.labels(self._topic, str(partition), self._group).set(records)

    def buffered(self, segments: Mapping[int, OpenSegment]) -> None:
        self._observed.buffered_bytes.labels(self._name).set(sum(segment.size_bytes for segment in segments.values()))
        self._observed.open_hours.labels(self._name).set(sum(len(segment.hours) for segment in segments.values()))

    def published(self, published: Published) -> None:
        claim, counts, name = published.claim, published.claim.counts, self._name
        self._observed.claims.labels(name, published.outcome).inc()
        self._observed.experiences.labels(name).inc(counts.rows)
        self._observed.objects.labels(name).inc(len(published.stored))
        self._observed.bytes.labels(name).inc(sum(stored.bytes for stored in published.stored))
        self._runtime.repeats.labels(self._topic).inc(counts.repeats)
        self._runtime.losses.labels(self._topic).inc(counts.lost + counts.expired)
        if self._followed is not None:
            self._followed.archived(published)
        say = self._log.error if counts.lost or counts.unreadable or counts.expired else self._log.info
        say(
            "archived", partition=claim.partition, first=claim.first, end=claim.end, rows=counts.rows,
            objects=len(claim.objects), rejected=counts.rejected, repeats=counts.repeats,
            lost=counts.lost, unreadable=counts.unreadable, expired=counts.expired,
        )  # fmt: skip
