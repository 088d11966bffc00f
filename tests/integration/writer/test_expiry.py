"""A log that loses records before they are archived, under a writer whose store is away: the gap is written down."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from prometheus_client import CollectorRegistry

from generals_runtime.kafka import make_admin
from generals_runtime.metrics import Metrics
from generals_runtime.objects import open_store
from generals_runtime.settings import KafkaSettings
from generals_schemas.records import ExperienceBatch
from generals_writer.catalog import positions, read_chains
from generals_writer.destination import DestinationWriter
from generals_writer.kafka_log import KafkaLog
from generals_writer.settings import Destination, Rotation, WriterSettings
from generals_writer.verify import verify

GAP = 10


def until(done: Callable[[], bool], writer: DestinationWriter) -> None:
    deadline = time.monotonic() + 120.0
    while not done():
        assert time.monotonic() < deadline, writer.not_ready()
        writer.run_once(0.1)


@pytest.mark.partitions(1)
def test_what_expires_while_the_store_is_away_is_skipped_and_what_was_fetched_is_not(
    tmp_path: Path,
    topics_for_test: Any,
    produce: Callable[..., None],
    made_up_play: Callable[..., list[ExperienceBatch]],
    kafka_settings: KafkaSettings,
) -> None:
    topic, archive = topics_for_test.experiences, tmp_path / "archive"
    batches = made_up_play(games=4, chunks=6, ticks=8)
    archived, fetched = 12, 20
    settings = WriterSettings(
        kafka=kafka_settings.model_copy(update={"topic_prefix": topics_for_test.prefix}),
        rotation=Rotation(records=1000, idle_seconds=0.5),
        on_expired="skip",
    )
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    writer = DestinationWriter(
        settings, Destination(name="late", url=str(archive)), observed=metrics.writer, runtime=metrics.runtime
    )
    store = open_store(archive)

    def ends() -> list[int]:
        return [position.offset for position in positions(store, topic)]

    writer.start()
    until(lambda: writer.not_ready() is None, writer)
    produce(topic, batches[:archived])
    until(lambda: ends() == [archived], writer)
    (archive / "_segments").rename(tmp_path / "aside")
    (archive / "_segments").write_text("in the way")
    produce(topic, batches[archived:fetched])
    until(lambda: writer.not_ready() is not None, writer)
    produce(topic, batches[fetched:])
    admin = make_admin(kafka_settings)
    place = TopicPartition(topic, 0, fetched + GAP)
    admin.delete_records([place])[place].result(30)
    (archive / "_segments").unlink()
    (tmp_path / "aside").rename(archive / "_segments")
    until(lambda: ends() == [len(batches)], writer)
    writer.stop()

    (chain,) = read_chains(store, topic)
    claims = [segment.claim for segment in chain.sealed]
    assert [claim.first for claim in claims if claim.counts.expired] == [fetched]
    report = verify(store, log=KafkaLog(kafka_settings))
    assert (report.problems, report.behind, report.expired) == ([], 0, GAP)
    assert report.rows == sum(batch.steps for batch in (*batches[:fetched], *batches[fetched + GAP :]))
    counted = registry.get_sample_value("generals_lost_records_total", {"topic": topic})
    assert counted == report.expired + report.lost_chunks
