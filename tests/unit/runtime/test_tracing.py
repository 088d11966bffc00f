"""What is followed, what its headers say, and that nothing happens while tracing is off."""

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import ValidationError
from span_receiver import span_receiver

from generals_runtime import tracing
from generals_runtime.settings import TracingSettings
from generals_runtime.tracing import Tracing, headers_with


def _tracing(share: float = 1.0) -> tuple[Tracing, InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Tracing(provider, share), exporter


def test_a_span_is_found_again_through_the_headers_of_a_record() -> None:
    follower, exporter = _tracing()
    first = follower.begin("send", {"game": "g", "chunk": 3})
    sent = [(key, value.encode() if isinstance(value, str) else value) for key, value in headers_with(first)]
    second = follower.follow(sent, "collect", {"offset": 7}, start_ns=123)
    assert second is not None
    second.end()
    first.end()
    collect, send = exporter.get_finished_spans()
    assert collect.parent is not None
    assert collect.parent.span_id == send.context.span_id
    assert collect.context.trace_id == send.context.trace_id
    assert collect.start_time == 123
    assert dict(send.attributes or {}) == {"generals.game": "g", "generals.chunk": 3}


def test_headers_name_the_last_span_and_keep_what_is_not_about_tracing() -> None:
    follower, _ = _tracing()
    first, second = follower.begin("send", {}), follower.begin("collect", {})
    headers = headers_with(second, [("mine", b"1"), *headers_with(first)])
    assert [name for name, _ in headers] == ["mine", "traceparent"]
    assert format(second.get_span_context().span_id, "016x") in str(headers[1][1])


@pytest.mark.parametrize(
    "headers",
    [
        None,
        [],
        [("mine", b"1")],
        [("traceparent", b"\xff not a traceparent")],
        [("traceparent", None)],
        [("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")],
    ],
    ids=["none", "empty", "of another kind", "not ASCII", "no value", "of a trace that is not sampled"],
)
def test_a_record_whose_headers_name_no_sampled_span_is_not_followed(
    headers: list[tuple[str, bytes | None]] | None,
) -> None:
    follower, exporter = _tracing()
    assert follower.follow(headers, "collect", {}) is None
    assert exporter.get_finished_spans() == ()


def test_about_the_share_that_was_asked_for_is_followed() -> None:
    follower, _ = _tracing(share=0.25)
    followed = sum(follower.sample("send", {}) is not None for _ in range(4000))
    assert 800 < followed < 1200  # seven standard deviations


def test_tracing_is_off_unless_an_endpoint_is_named() -> None:
    for endpoint in (None, ""):
        tracing.configure(TracingSettings(endpoint=endpoint), service="toy", service_id="toy-1")
        assert tracing.default() is None
    with pytest.raises(ValidationError, match="endpoint"):
        TracingSettings(endpoint="collector:4318")


def test_spans_reach_a_receiver_by_otlp_before_the_process_ends() -> None:
    with span_receiver() as receiver:
        tracing.configure(TracingSettings(endpoint=receiver.url, sampled_share=1.0), service="toy", service_id="toy-1")
        follower = tracing.default()
        assert follower is not None
        follower.begin("send", {"chunk": 1}).end()
        tracing.close()
        assert tracing.default() is None
        (span,) = receiver.spans
    assert (span.service, span.name, span.parent, span.attributes) == (
        "generals-toy", "send", "", {"generals.chunk": "1"}
    )  # fmt: skip
