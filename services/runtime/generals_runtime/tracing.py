"""Traces that follow one chunk through all services: W3C trace context in Kafka headers, spans sent by OTLP.

Off unless `observability.tracing.endpoint` is set; then `default()` is None, no header is written or read and
OpenTelemetry's SDK is not even imported. The engine draws which chunks are followed; a chunk that is not carries no
header, so it costs nothing further down either. Every record made of a followed chunk names the span it was made in.

Unusual: spans are never made "current". The work of one chunk moves between threads and lies in queues, so a span is
held by whoever holds the record.
"""

import os
import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from generals_runtime.ordered_producer import Headers
from generals_runtime.settings import TracingSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

__all__ = ["Attributes", "Span", "Tracing", "close", "configure", "default", "headers_with"]

Attributes: TypeAlias = Mapping[str, str | int]
"""Of a span, by names that get `generals.` before them."""

_HEADERS = ("traceparent", "tracestate")
_QUEUE_SPANS = 2048
"""Sent at once, so that a service which ends waits only once for a receiver that does not answer."""
_EXPORT_WITHIN_S = 2.0
_CONTEXT = TraceContextTextMapPropagator()


class Tracing:
    """Begins spans. `share`: of the chunks that may be followed, how many are."""

    def __init__(self, provider: "TracerProvider", share: float = 1.0) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("generals")
        self._share = share
        self._draw = random.Random()  # its own: nobody's seed is touched

    def sample(self, name: str, attributes: Attributes) -> Span | None:
        """The first span of a trace, for a share of the calls; else None."""
        return self.begin(name, attributes) if self._draw.random() < self._share else None

    def begin(self, name: str, attributes: Attributes, links: Sequence[SpanContext] = ()) -> Span:
        """The first span of a trace; it may point to spans of others."""
        named = _named(attributes)
        return self._tracer.start_span(name, Context(), SpanKind.PRODUCER, named, [Link(link) for link in links])

    def follow(
        self, headers: Headers | None, name: str, attributes: Attributes, *, start_ns: int | None = None
    ) -> Span | None:
        """A span below the one that a record's headers name; None if they name none that is followed."""
        if not headers:
            return None
        parent = _CONTEXT.extract({key: _text(value) for key, value in headers if key in _HEADERS}, Context())
        if not get_current_span(parent).get_span_context().trace_flags.sampled:
            return None
        return self._tracer.start_span(name, parent, SpanKind.CONSUMER, _named(attributes), start_time=start_ns)

    def close(self) -> None:
        """Send what is left; waits a few seconds for a receiver that does not answer."""
        self._provider.shutdown()


def headers_with(span: Span, headers: Headers | None = None) -> list[tuple[str, str | bytes | None]]:
    """`headers` with `span` as what the next service's span lies below."""
    carrier: dict[str, str] = {}
    _CONTEXT.inject(carrier, set_span_in_context(span, Context()))
    return [*(pair for pair in headers or () if pair[0] not in _HEADERS), *carrier.items()]


def default() -> Tracing | None:
    """This process's, or None: tracing is off."""
    return _default


def configure(settings: TracingSettings, *, service: str, service_id: str) -> None:
    """Turn tracing on if the settings say where spans go. A receiver that is away costs spans, never a chunk."""
    global _default
    if not settings.endpoint:
        return
    # Only here: the SDK takes half a second to import.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON

    resource = Resource(
        {"service.name": f"generals-{service}", "service.instance.id": service_id, "process.pid": os.getpid()}
    )
    provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(settings.endpoint, timeout=_EXPORT_WITHIN_S)
    provider.add_span_processor(
        BatchSpanProcessor(exporter, max_queue_size=_QUEUE_SPANS, max_export_batch_size=_QUEUE_SPANS)
    )
    _default = Tracing(provider, settings.sampled_share)


def close() -> None:
    """Turn tracing off again."""
    global _default
    tracing, _default = _default, None
    if tracing is not None:
        tracing.close()


def _named(attributes: Attributes) -> dict[str, str | int]:
    return {f"generals.{key}": value for key, value in attributes.items()}


def _text(value: str | bytes | None) -> str:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else value or ""


_default: Tracing | None = None
