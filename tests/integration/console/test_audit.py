"""The audit finds what is wrong: chunks not collected, written twice, archived twice or not at all, games with gaps."""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from played_games import play_chunks
from typer.testing import CliRunner

from generals_collector.tensorise import experiences, recipe
from generals_console.audit import ArchivedRows, AuditReport, PrunedRecords, audit
from generals_console.main import app
from generals_runtime.errors import OperatorError
from generals_runtime.kafka import connect, make_consumer, make_producer, topic_ids
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import encode_batch, encode_chunk
from generals_schemas.records import ExperienceBatch, Source, TransitionChunk
from generals_writer.layout import hour_of

CHUNKS = 12


class Log:
    """A log of transitions and what a collector made of it, in one partition, to be tampered with."""

    def __init__(self, kafka: KafkaSettings, topics: Any) -> None:
        self.kafka = kafka.model_copy(update={"topic_prefix": topics.prefix})
        self.topics = topics
        self.group = f"{topics.prefix}collector"
        self.topic_id = topic_ids(connect(kafka), [topics.transitions])[topics.transitions]
        self.chunks = list(islice(play_chunks("expander", seed=3), CHUNKS))
        self.batches = [self.collect(chunk, offset) for offset, chunk in enumerate(self.chunks)]

    def collect(self, chunk: TransitionChunk, offset: int) -> list[ExperienceBatch]:
        return experiences(chunk, Source(self.topics.transitions, self.topic_id, 0, offset, 0, 1), recipe())

    def write(self, chunks: Iterable[TransitionChunk], groups: Iterable[list[ExperienceBatch]]) -> None:
        producer = make_producer(self.kafka)
        for chunk in chunks:
            producer.produce(self.topics.transitions, value=encode_chunk(chunk), partition=0)
        for group in groups:
            for batch in group:
                producer.produce(self.topics.experiences, value=encode_batch(batch), partition=0)
        assert producer.flush(20) == 0

    def acknowledge(self, offset: int) -> None:
        """Commit as the collector would."""
        from confluent_kafka import TopicPartition

        consumer = make_consumer(self.kafka, group_id=self.group)
        consumer.commit(offsets=[TopicPartition(self.topics.transitions, 0, offset)], asynchronous=False)
        consumer.close()

    def audit(self, rows: ArchivedRows | None = None) -> AuditReport:
        return audit(self.kafka, collector_group=self.group, archive=(lambda: rows) if rows else None)

    def steps(self, groups: Iterable[list[ExperienceBatch]]) -> int:
        return sum(batch.steps for group in groups for batch in group)

    def rows(self, groups: Iterable[list[ExperienceBatch]], end: int) -> ArchivedRows:
        """An archive with these batches that claims the records below `end`."""
        batches = [batch for group in groups for batch in group]
        ids = sorted({batch.game_id for batch in batches})
        column: Callable[[Any], Any] = lambda make: np.concatenate([make(batch) for batch in batches])  # noqa: E731 - used thrice below
        return ArchivedRows(
            game_ids=ids,
            games=column(lambda b: np.full(b.steps, ids.index(b.game_id))),
            players=column(lambda b: np.full(b.steps, b.player)),
            ticks=column(lambda b: b.first_tick + np.arange(b.steps)),
            starts={0: 0},
            ends={0: end},
        )


@pytest.fixture
def log(kafka_settings: KafkaSettings, topics_for_test: Any) -> Log:
    return Log(kafka_settings, topics_for_test)


def test_a_whole_log_is_clean_and_repeats_are_counted(log: Log) -> None:
    log.write(log.chunks, [*log.batches[:8], *log.batches[5:]])
    log.acknowledge(CHUNKS)
    report = log.audit(log.rows(log.batches, 10**6))
    assert report.clean
    assert report.experiences_emitted == report.experiences_collected == report.experiences_archived
    assert report.experiences_emitted == log.steps(log.batches)
    assert report.repeats == sum(len(group) for group in log.batches[5:8])


def test_what_is_emitted_while_it_runs_is_not_counted_at_any_stage(log: Log) -> None:
    log.write(log.chunks[:9], log.batches[:9])
    log.acknowledge(9)

    def meanwhile() -> ArchivedRows:
        log.write(log.chunks[9:], log.batches[9:])
        return log.rows(log.batches[:10], sum(len(group) for group in log.batches[:10]))

    report = audit(log.kafka, collector_group=log.group, archive=meanwhile)
    assert report.clean
    assert report.experiences_emitted == report.experiences_collected == report.experiences_archived
    assert report.experiences_emitted == log.steps(log.batches[:9])
    assert report.pending_collect == report.pending_archive == 0


def test_what_the_collector_has_not_come_to_is_pending_not_lost(log: Log) -> None:
    log.write(log.chunks, log.batches[:9])
    log.acknowledge(9)
    report = log.audit(log.rows(log.batches[:4], sum(len(group) for group in log.batches[:4])))
    assert report.clean
    assert report.pending_collect == log.steps(log.batches[9:])
    assert report.pending_archive == log.steps(log.batches[4:9])


def test_a_chunk_that_was_acknowledged_and_not_delivered_is_lost(log: Log) -> None:
    log.write(log.chunks, log.batches[:9])
    log.acknowledge(CHUNKS)
    report = log.audit()
    assert not report.clean
    assert report.lost == log.steps(log.batches[9:])


def test_a_chunk_left_out_in_the_middle_is_lost_by_both_methods(log: Log) -> None:
    log.write(log.chunks, log.batches[:4] + log.batches[5:])
    log.acknowledge(CHUNKS)
    report = log.audit()
    assert not report.clean
    assert report.lost == log.steps(log.batches[4:5])
    assert report.lost_by_marks == 1
    assert report.methods_agree


def test_a_chunk_produced_twice_is_a_duplicate_for_readers(log: Log) -> None:
    twice = log.chunks[3]
    again = log.collect(twice, CHUNKS)
    log.write([*log.chunks, twice], [*log.batches, again])
    log.acknowledge(CHUNKS + 1)
    report = log.audit()
    assert not report.clean
    assert report.duplicates == log.steps([again])


def test_a_game_with_a_chunk_missing_has_a_gap(log: Log) -> None:
    first = log.chunks[0].game_id
    numbers = [index for index, chunk in enumerate(log.chunks) if chunk.game_id == first]
    kept = [chunk for index, chunk in enumerate(log.chunks) if index != numbers[1]]
    log.write(kept, [log.collect(chunk, offset) for offset, chunk in enumerate(kept)])
    log.acknowledge(len(kept))
    report = log.audit()
    assert not report.clean
    assert report.gaps_in_games == 1


@pytest.mark.parametrize(("keep", "twice"), [(CHUNKS - 1, 0), (CHUNKS, 1)])
def test_an_archive_that_misses_or_repeats_what_it_claims_is_not_clean(keep: int, twice: int, log: Log) -> None:
    log.write(log.chunks, log.batches)
    log.acknowledge(CHUNKS)
    report = log.audit(log.rows(log.batches[:keep] + log.batches[:twice], 10**6))
    assert not report.clean
    assert report.lost == log.steps(log.batches[keep:])
    assert report.duplicates == log.steps(log.batches[:twice])


def test_what_was_pruned_by_rule_is_not_lost(log: Log) -> None:
    before = hour_of(time.time_ns() // 1_000_000)
    log.write(log.chunks, log.batches)
    log.acknowledge(CHUNKS)
    last = sum(len(group) for group in log.batches[:3]) - 1
    hours = {before, hour_of(time.time_ns() // 1_000_000)}
    rows = replace(log.rows(log.batches[3:], 10**6), pruned=[PrunedRecords(0, hour, 0, last) for hour in hours])
    report = log.audit(rows)
    assert report.clean
    assert (report.lost, report.pruned) == (0, log.steps(log.batches[:3]))
    other_hour = replace(rows, pruned=[PrunedRecords(0, before - 1, 0, last)])
    assert log.audit(other_hour).lost == log.steps(log.batches[:3])


@pytest.mark.parametrize("wrong", [{"expired": 5}, {"damage": ["a claim is gone"]}])
def test_an_archive_that_says_itself_that_something_is_missing_is_not_clean(wrong: dict[str, Any], log: Log) -> None:
    log.write(log.chunks, log.batches)
    log.acknowledge(CHUNKS)
    assert not log.audit(replace(log.rows(log.batches, 10**6), **wrong)).clean


def test_rejected_chunks_are_counted_apart(log: Log) -> None:
    bad = replace(log.chunks[2], actions=np.full_like(log.chunks[2].actions, 10**6))
    marker = ExperienceBatch.rejection(reason="action", source=log.batches[2][0].source)
    marker = replace(marker, source=replace(marker.source, index=0, count=1))
    log.write([*log.chunks[:2], bad, *log.chunks[3:]], [*log.batches[:2], [marker], *log.batches[3:]])
    log.acknowledge(CHUNKS)
    report = log.audit()
    assert report.rejected == 1
    assert report.lost == report.duplicates == report.lost_by_marks == 0


@pytest.mark.parametrize("junk", [b"", b"hello", "torn"])
def test_a_record_that_cannot_be_read_is_named_and_the_rest_is_counted(junk: bytes | str, log: Log) -> None:
    value = junk if isinstance(junk, bytes) else encode_batch(log.batches[0][0])[:-5]
    log.write(log.chunks, log.batches[:5])
    producer = make_producer(log.kafka)
    producer.produce(log.topics.experiences, value=value, partition=0)
    assert producer.flush(20) == 0
    log.write([], log.batches[5:])
    log.acknowledge(CHUNKS)
    report = log.audit(log.rows(log.batches, 10**6))
    offset = sum(len(group) for group in log.batches[:5])
    assert (report.unreadable, report.lost, report.duplicates, report.lost_by_marks) == (1, 0, 0, 0)
    assert report.experiences_emitted == report.experiences_collected == report.experiences_archived
    assert report.methods_agree
    assert not report.clean
    [detail] = report.details
    assert detail.startswith(f"{log.topics.experiences}[0], offset {offset}: ")


@pytest.mark.parametrize("before", [3, CHUNKS])
def test_experiences_of_a_topic_that_was_made_again_are_named_and_not_compared(before: int, log: Log) -> None:
    for group in log.batches[:before]:
        group[:] = [replace(batch, source=replace(batch.source, topic_id="of-before")) for batch in group]
    log.write(log.chunks, log.batches)
    log.acknowledge(CHUNKS)
    with pytest.raises(OperatorError) as caught:
        log.audit()
    topics = log.topics
    assert str(caught.value) == (
        f"{topics.experiences}[0], offset 0: made from {topics.transitions} with id of-before; expected "
        f"{topics.transitions} with id {log.topic_id}. A topic that was deleted and made again has other offsets: "
        f"delete {topics.experiences} too, or begin anew under another kafka.topic_prefix"
    )


def test_there_is_no_verdict_on_an_archive_that_is_not_there(log: Log, tmp_path: Path) -> None:
    kafka = {"BOOTSTRAP_SERVERS": log.kafka.bootstrap_servers, "TOPIC_PREFIX": log.kafka.topic_prefix}
    settings = {f"GENERALS_KAFKA__{name}": value for name, value in kafka.items()}
    done = CliRunner().invoke(app, ["audit", "--archive", str(tmp_path / "archvie")], env=settings)
    assert done.exit_code == 1
    assert isinstance(done.exception, OperatorError)
    assert str(done.exception) == f"{tmp_path}/archvie is no archive of {log.topics.experiences}: it has no claims"
