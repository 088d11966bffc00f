"""Spans of the archive. A segment holds the batches of many chunks, so it is a trace of its own, linked with theirs."""

from dataclasses import dataclass, field
from typing import cast

from confluent_kafka import Message

from generals_runtime.kafka import Headers
from generals_runtime.tracing import Attributes, Span, Tracing
from generals_writer.publisher import Published


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A followed batch from its taking to its segment's seal."""

    offset: int
    span: Span


@dataclass(slots=True)
class Followed:
    """The followed batches of one destination that are not archived yet."""

    tracing: Tracing
    destination: str
    _waiting: dict[int, list[_Waiting]] = field(default_factory=dict)

    def taken(self, message: Message) -> None:
        headers = cast("Headers | None", message.headers())
        partition, offset = message.partition() or 0, message.offset() or 0
        where: Attributes = {"destination": self.destination, "partition": partition, "offset": offset}
        span = self.tracing.follow(headers, "archive batch", where)
        if span is not None:
            self._waiting.setdefault(partition, []).append(_Waiting(offset, span))

    def dropped(self) -> None:
        """Forget them: they are read again, here or elsewhere."""
        self._waiting.clear()

    def archived(self, published: Published) -> None:
        """End the spans of what is sealed, within a span of the segment that names them all."""
        claim = published.claim
        waiting = self._waiting.pop(claim.partition, [])
        self._waiting[claim.partition] = [one for one in waiting if one.offset >= claim.end]
        sealed = [one.span for one in waiting if one.offset < claim.end]
        if not sealed:
            return
        what: Attributes = {
            "destination": self.destination,
            "partition": claim.partition,
            "first": claim.first,
            "end": claim.end,
        }
        segment = self.tracing.begin("archive segment", what, [span.get_span_context() for span in sealed])
        for span in sealed:
            span.add_link(segment.get_span_context(), {"generals.objects": [stored.key for stored in published.stored]})
            span.end()
        segment.end()
