"""One chunk followed through the services as the processes they are: engine, collector, writer and trainer."""

import json
import sys
from collections import Counter
from pathlib import Path

import pytest
from collector_process import wait_until
from span_receiver import ReceivedSpan, SpanReceiver, span_receiver

from generals_console.processes import Children
from tests.conftest import TopicsForTest

GAMES = 4
WAY = {
    "generals-engine": "send chunk",
    "generals-collector": "collect chunk",
    "generals-writer": "archive batch",
    "generals-trainer": "insert batch",
}


@pytest.fixture
def traced(kafka: str, topics_for_test: TopicsForTest, tmp_path: Path) -> SpanReceiver:
    """The spans of a run of all four services, every chunk followed."""
    settings = {
        "KAFKA__BOOTSTRAP_SERVERS": kafka,
        "KAFKA__TOPIC_PREFIX": topics_for_test.prefix,
        "OBSERVABILITY__LOG_FORMAT": "json",
        "OBSERVABILITY__TRACING__SAMPLED_SHARE": "1.0",
        "ENGINE__GAMES": str(GAMES),
        "ENGINE__MAX_GAMES": str(GAMES),
        "ENGINE__WIDTH": "8",
        "ENGINE__HEIGHT": "8",
        "ENGINE__TICK_LIMIT": "100",
        "COLLECTOR__GROUP": f"{topics_for_test.prefix}collector",
        "WRITER__GROUP_PREFIX": f"{topics_for_test.prefix}writer",
        "WRITER__DESTINATIONS": json.dumps([{"name": "local", "url": str(tmp_path / "archive")}]),
        "WRITER__ROTATION": json.dumps({"idle_seconds": 1.0}),
        "TRAINER__GROUP": f"{topics_for_test.prefix}trainer",
        "TRAINER__RUN_DIR": str(tmp_path / "trainer"),
    }
    with span_receiver() as receiver:
        settings["OBSERVABILITY__TRACING__ENDPOINT"] = receiver.url
        environment = {f"GENERALS_{name}": value for name, value in settings.items()}
        with Children(tmp_path / "logs", environment) as services:
            for name in ("collector", "writer", "trainer"):
                services.start(name, f"generals_{name}", {})
            engine = services.start("engine", "generals_engine", {})
            wait_until(lambda: not engine.running, 120, "that the engine has played its games")
            wait_until(lambda: _all_arrived(receiver), 120, "that each chunk is archived and inserted")
    return receiver


def _all_arrived(receiver: SpanReceiver) -> bool:
    """Whether every chunk that was sent has gone the whole way, for both players."""
    sent = {span.trace for span in receiver.spans if span.name == "send chunk"}
    seen = Counter((span.trace, span.name) for span in receiver.spans)
    return all(seen[trace, name] == 2 for trace in sent for name in ("archive batch", "insert batch"))


def test_one_trace_follows_a_chunk_from_the_engine_to_the_archive_and_the_trainer(traced: SpanReceiver) -> None:
    chunks = [span for span in traced.spans if span.name == "send chunk"]
    assert len({chunk.attributes["generals.game"] for chunk in chunks}) == GAMES
    for chunk in chunks:
        _check_the_way(chunk, [span for span in traced.spans if span.trace == chunk.trace])
    segments = [span for span in traced.spans if span.name == "archive segment"]
    archived = {span.id: span for span in traced.spans if span.name == "archive batch"}
    assert sorted(link for segment in segments for link in segment.links) == sorted(archived)
    assert all(archived[link].links == (segment.id,) for segment in segments for link in segment.links)
    sys.stdout.write(f"\n{traced.tree(chunks[0].trace)}\n")


def _check_the_way(chunk: ReceivedSpan, trace: list[ReceivedSpan]) -> None:
    assert Counter((span.service, span.name) for span in trace) == {
        pair: 1 if "chunk" in pair[1] else 2 for pair in WAY.items()
    }
    (collect,) = (span for span in trace if span.name == "collect chunk")
    assert chunk.parent == ""
    assert collect.parent == chunk.id
    assert {span.parent for span in trace if "batch" in span.name} == {collect.id}
    assert all(chunk.start_ns <= span.start_ns <= span.end_ns for span in trace)
