"""An OTLP receiver in this process: what services send by HTTP, as plain spans."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """A span as it was sent. parent is empty for the first of a trace; links are ids of spans."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    start_ns: int
    end_ns: int
    links: tuple[str, ...]
    attributes: dict[str, str]


class SpanReceiver:
    """Spans in the order in which they came. `url` is what `observability.tracing.endpoint` wants."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1/traces"
        self._spans: list[ReceivedSpan] = []
        self._lock = threading.Lock()

    @property
    def spans(self) -> list[ReceivedSpan]:
        with self._lock:
            return list(self._spans)

    def take(self, body: bytes) -> None:
        with self._lock:
            self._spans.extend(_spans(ExportTraceServiceRequest.FromString(body)))

    def tree(self, trace: str) -> str:
        """A trace as a person reads it: one line a span, each below its parent, with milliseconds since the first."""
        spans = sorted((span for span in self.spans if span.trace == trace), key=lambda span: span.start_ns)
        begun = spans[0].start_ns

        def lines(parent: str, depth: int) -> Iterator[str]:
            for span in spans:
                if span.parent == parent:
                    at, took = ((ns - begun) / 1e6 for ns in (span.start_ns, span.end_ns))
                    what = " ".join(
                        f"{key.removeprefix('generals.')}={value}" for key, value in span.attributes.items()
                    )
                    yield f"{at:9.1f} … {took:9.1f} ms  {'  ' * depth}{span.service}: {span.name}  {what}"
                    yield from lines(span.id, depth + 1)

        return "\n".join(lines("", 0))


@contextmanager
def span_receiver() -> Iterator[SpanReceiver]:
    """A receiver on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = SpanReceiver(server.server_port)
        thread = threading.Thread(target=server.serve_forever, name="spans")
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


def _spans(request: ExportTraceServiceRequest) -> Iterator[ReceivedSpan]:
    for resource in request.resource_spans:
        of = {one.key: _plain(one.value) for one in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield ReceivedSpan(
                    of["service.name"], span.name, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(),
                    span.start_time_unix_nano, span.end_time_unix_nano,
                    tuple(link.span_id.hex() for link in span.links),
                    {one.key: _plain(one.value) for one in span.attributes},
                )  # fmt: skip


def _plain(value: AnyValue) -> str:
    kind = value.WhichOneof("value")
    return str(getattr(value, kind)) if kind else ""
