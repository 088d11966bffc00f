"""A collector on a real broker: chunks in, experiences out, bad records aside, and the order in which things end."""

import signal
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from collector_process import CollectorProcess, read_until, wait_until
from confluent_kafka import Message, TopicPartition
from foreign_producer import send_in_transactions
from mutations import mutate, originals, seal
from numpy.random import Generator, default_rng
from random_chunks import random_chunk

from generals_collector.source_log import SourceLog, Start, TopicChanged
from generals_collector.tensorise import recipe, tensorise
from generals_console.audit import audit
from generals_runtime.kafka import OrderedProducer, ensure_topics, make_admin, make_consumer, topic_ids
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import decode_batch, encode_chunk
from generals_schemas.records import ExperienceBatch, Source, TransitionChunk
from generals_schemas.topics import TOPICS


def small_chunks(rng: Generator, count: int) -> list[TransitionChunk]:
    return [
        replace(random_chunk(rng, players=2 + i % 3, sides=(9, 7), ticks=5 + i % 7), game_id=f"game-{i}", chunk=i)
        for i in range(count)
    ]


def produce(kafka: KafkaSettings, topic: str, values: list[bytes | None], partitions: int) -> list[tuple[int, int]]:
    """Send, one partition after another; the (partition, offset) of each."""
    placed: dict[int, tuple[int, int]] = {}
    with OrderedProducer(kafka) as producer:
        for i, value in enumerate(values):

            def note(message: Message, i: int = i) -> None:
                placed[i] = (int(message.partition() or 0), int(message.offset() or 0))

            headers = [("traceparent", f"trace-{i}".encode())]
            producer.send(topic, i % partitions, f"game-{i}".encode(), value, headers, 1_700_000_000_000 + i, note)
        producer.flush()
    return [placed[i] for i in range(len(values))]


def coordinates(batch: ExperienceBatch) -> tuple[int, int, int]:
    return batch.source.partition, batch.source.offset, batch.source.index


def complete(batches: list[ExperienceBatch], chunks: int) -> bool:
    """Whether all batches of so many different chunks are there."""
    seen = {coordinates(batch) for batch in batches}
    counts = {(batch.source.partition, batch.source.offset): batch.source.count for batch in batches}
    return len(counts) == chunks and sum(counts.values()) == len(seen)


def collected(kafka: KafkaSettings, topic: str, chunks: int) -> list[Message]:
    return read_until(kafka, topic, lambda found: complete([decode_batch(m.value() or b"") for m in found], chunks))


def assert_same(found: ExperienceBatch, expected: ExperienceBatch) -> None:
    for name in ExperienceBatch.__dataclass_fields__:
        one, other = getattr(found, name), getattr(expected, name)
        if isinstance(other, np.ndarray):
            np.testing.assert_array_equal(one, other)
        else:
            assert one == other, name


def test_chunks_become_exactly_their_batches_in_place(
    kafka: str, kafka_settings: KafkaSettings, topics_for_test: Any, tmp_path: Path, seed: int
) -> None:
    topics = topics_for_test
    chunks = small_chunks(default_rng(seed), 60)
    places = produce(kafka_settings, topics.transitions, [encode_chunk(c) for c in chunks], topics.partitions)
    topic_id = topic_ids(make_admin(kafka_settings), [topics.transitions])[topics.transitions]
    with CollectorProcess(kafka, topics.prefix, tmp_path / "log") as collector:
        messages = collected(kafka_settings, topics.experiences, 60)
        collector.send(signal.SIGTERM)
        assert collector.wait() == 0, collector.text()
    by_source = {coordinates(batch): (m, batch) for m in messages for batch in [decode_batch(m.value() or b"")]}
    expected_version = None
    for i, (chunk, (partition, offset)) in enumerate(zip(chunks, places, strict=True)):
        for batch in tensorise(chunk, Source(topics.transitions, topic_id, partition, offset, 0, 1), recipe()):
            message, found = by_source.pop(coordinates(batch))
            expected_version = expected_version or found.config_version
            assert_same(found, replace(batch, config_version=expected_version))
            assert message.partition() == partition
            assert message.timestamp()[1] == 1_700_000_000_000 + i
            assert message.key() == f"game-{i}".encode()
            assert message.headers() == [("traceparent", f"trace-{i}".encode())]
    assert not by_source
    assert expected_version
    assert "Traceback" not in collector.text()
    assert [path.name for path in tmp_path.iterdir()] == ["log"], "it leaves nothing where it runs"


def spoil(record: bytes, at: int) -> bytes:
    return record[:at] + bytes([record[at] ^ 1]) + record[at + 1 :]


def with_nan(chunk: TransitionChunk) -> TransitionChunk:
    alive = (chunk.alive[:-1, None] >> np.arange(chunk.players)) & 1
    return replace(chunk, log_probs=np.where(alive == 1, np.nan, 0).astype(np.float32))


@pytest.mark.partitions(1)
def test_poison_goes_to_the_dead_letter_topic_with_its_coordinates_and_the_rest_goes_on(
    kafka: str, kafka_settings: KafkaSettings, topics_for_test: Any, tmp_path: Path, seed: int
) -> None:
    topics = topics_for_test
    chunks = small_chunks(default_rng(seed), 12)
    values: list[bytes | None] = [encode_chunk(chunk) for chunk in chunks]
    good = [value for value in values if value is not None]
    values[1] = b"garbage, by hand, as long as a record"
    values[3] = spoil(good[3], 40)
    values[4] = encode_chunk(with_nan(chunks[4]))
    values[6] = None
    values[7] = b""
    values[9] = good[9][:-20]
    reasons = {1: "not_framed", 3: "checksum", 4: "log_probs", 6: "empty", 7: "truncated", 9: "checksum"}
    places = produce(kafka_settings, topics.transitions, values, 1)
    with CollectorProcess(kafka, topics.prefix, tmp_path / "log") as collector:
        messages = collected(kafka_settings, topics.experiences, 12)
        letters = read_until(kafka_settings, topics.dead_letter, lambda found: len(found) == len(reasons))
        collector.send(signal.SIGTERM)
        assert collector.wait() == 0, collector.text()
    markers = {b.source.offset: b for m in messages for b in [decode_batch(m.value() or b"")] if b.rejected}
    assert {offset: marker.rejected for offset, marker in markers.items()} == {
        places[i][1]: r for i, r in reasons.items()
    }
    for letter in letters:
        headers = {name: value.decode() for name, value in letter.headers() or [] if isinstance(value, bytes)}
        index = int(headers["traceparent"].removeprefix("trace-"))
        assert letter.value() == values[index]
        assert letter.key() == f"game-{index}".encode()
        assert headers["reason"] == reasons[index]
        assert headers["detail"]
        where = (headers["source_topic"], headers["source_partition"], headers["source_offset"])
        assert where == (topics.transitions, "0", str(places[index][1]))


def send_mutated(kafka: KafkaSettings, topic: str, seed: int, count: int) -> None:
    rng = default_rng(seed)
    values = originals(rng)
    with OrderedProducer(kafka) as producer:
        for i in range(count):
            one, other = rng.integers(0, len(values), 2)
            producer.send(topic, i % 2, b"game", mutate(rng, values[one], values[other]))
        producer.flush()


@pytest.mark.parametrize("count", [1000, pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_mutated_records_stop_nothing_and_each_is_accounted_for(
    kafka: str, kafka_settings: KafkaSettings, topics_for_test: Any, tmp_path: Path, seed: int, count: int
) -> None:
    topics = topics_for_test
    send_mutated(kafka_settings, topics.transitions, seed, count)
    off = {"GENERALS_COLLECTOR__LIMITS__IN_A_ROW": "0", "GENERALS_COLLECTOR__LIMITS__IN_WINDOW": "0"}
    with CollectorProcess(kafka, topics.prefix, tmp_path / "log", off) as collector:
        seen = accounted(kafka_settings, topics.experiences, count)
        rejected = {place for place, batch in seen.items() if batch.rejected}
        letters = read_until(
            kafka_settings, topics.dead_letter, lambda found: len(letter_places(found)) == len(rejected)
        )
        assert collector.process is not None
        status = Path(f"/proc/{collector.process.pid}/status").read_text()
        collector.send(signal.SIGTERM)
        assert collector.wait() == 0, collector.text()
    assert letter_places(letters) == rejected
    assert 0 < len(rejected) < count
    peak_kb = int(status.split("VmHWM:")[1].split()[0])
    assert peak_kb < 900_000, status


def letter_places(letters: list[Message]) -> set[tuple[int, int]]:
    """The (partition, offset) that dead letters are of: at least once, for a rebalance under load repeats some."""
    headers = [dict(letter.headers() or []) for letter in letters]
    return {(int(h["source_partition"] or 0), int(h["source_offset"] or 0)) for h in headers}


def accounted(kafka: KafkaSettings, topic: str, count: int) -> dict[tuple[int, int], ExperienceBatch]:
    """A batch or the marker of each of so many source records, by (partition, offset)."""
    seen: dict[tuple[int, int], ExperienceBatch] = {}
    looked = 0

    def all_there(found: list[Message]) -> bool:
        nonlocal looked
        for message in found[looked:]:
            batch = decode_batch(message.value() or b"")
            seen[batch.source.partition, batch.source.offset] = batch
        looked = len(found)
        return len(seen) == count

    read_until(kafka, topic, all_there, 60 + count / 100)
    return seen


@pytest.mark.partitions(1)
def test_too_many_rejections_stop_the_collector_with_the_reason(
    kafka: str, kafka_settings: KafkaSettings, topics_for_test: Any, tmp_path: Path
) -> None:
    topics = topics_for_test
    produce(kafka_settings, topics.transitions, [b"nonsense of a bad deployment"] * 300, 1)
    limits = {"GENERALS_COLLECTOR__LIMITS__IN_A_ROW": "40"}
    with CollectorProcess(kafka, topics.prefix, tmp_path / "log", limits) as collector:
        assert collector.wait() == 1, collector.text()
    assert "40 chunks in a row were rejected, the last one for 'not_framed'" in collector.text()
    letters = read_until(kafka_settings, topics.dead_letter, lambda found: len(found) >= 39)
    assert len(letters) == 39, "the one too many is still to be read"


@pytest.mark.partitions(1)
def test_an_unknown_schema_stops_the_collector_and_is_not_acknowledged(
    kafka: str, kafka_settings: KafkaSettings, topics_for_test: Any, tmp_path: Path, seed: int
) -> None:
    topics = topics_for_test
    values = [encode_chunk(chunk) for chunk in small_chunks(default_rng(seed), 3)]
    newer = seal(values[1][:2] + b"newer..." + values[1][10:-4])
    produce(kafka_settings, topics.transitions, [values[0], newer, values[2]], 1)
    for log in ("first", "second"):  # a restart changes nothing: it is a deployment out of order
        with CollectorProcess(kafka, topics.prefix, tmp_path / log) as collector:
            assert collector.wait() == 1, collector.text()
        assert "deploy the consumers of a schema before its producers" in collector.text()
    letters = read_until(kafka_settings, topics.dead_letter, lambda _: True)
    assert letters == []


@pytest.mark.partitions(1)
def test_a_commit_beyond_the_end_is_named_and_nothing_is_passed_over(
    kafka: str, kafka_settings: KafkaSettings, topics_for_test: Any, tmp_path: Path, seed: int
) -> None:
    topics = topics_for_test
    produce(
        kafka_settings, topics.transitions, [encode_chunk(chunk) for chunk in small_chunks(default_rng(seed), 3)], 1
    )
    with closing(make_consumer(kafka_settings, group_id=f"{topics.prefix}collector")) as consumer:
        consumer.commit(offsets=[TopicPartition(topics.transitions, 0, 5000)], asynchronous=False)
    with CollectorProcess(kafka, topics.prefix, tmp_path / "log") as collector:
        assert collector.wait() == 1, collector.text()
    assert f"{topics.transitions}[0] ends at 3, before offset 5000" in collector.text()
    assert read_until(kafka_settings, topics.experiences, lambda _: True) == []


@pytest.mark.partitions(2)
def test_a_topic_made_anew_is_noticed_at_the_next_assignment(
    kafka_settings: KafkaSettings, topics_for_test: Any, seed: int
) -> None:
    topics, admin = topics_for_test, make_admin(kafka_settings)
    values: list[bytes | None] = [encode_chunk(chunk) for chunk in small_chunks(default_rng(seed), 4)]
    produce(kafka_settings, topics.transitions, values, 2)
    log = SourceLog(kafka_settings, admin, topic=topics.transitions, group="anew")
    assert log.starts([0, 1], within_s=15.0) == {0: Start(0, 0), 1: Start(0, 0)}
    admin.delete_topics([topics.transitions], operation_timeout=10)[topics.transitions].result(10)
    spec = replace(TOPICS.transitions, name=topics.transitions, partitions=2)
    wait_until(lambda: ensure_topics(kafka_settings, [spec]) != [], 20, "the topic is made anew")
    with pytest.raises(TopicChanged, match=r"was made anew: its id was .*--group anew .*--to-earliest"):
        log.starts([0, 1], within_s=15.0)


@pytest.mark.partitions(1)
def test_marks_of_transactions_are_neither_waited_for_nor_a_loss(
    kafka: str, kafka_settings: KafkaSettings, topics_for_test: Any, tmp_path: Path, seed: int
) -> None:
    topics = topics_for_test
    values = [encode_chunk(chunk) for chunk in small_chunks(default_rng(seed), 6)]
    send_in_transactions(kafka, topics.transitions, [values[:4], values[4:]])
    limits = {"GENERALS_OBSERVABILITY__STALL_AFTER_S": "8"}
    with CollectorProcess(kafka, topics.prefix, tmp_path / "log", limits) as collector:
        messages = collected(kafka_settings, topics.experiences, 7)
        batches = [decode_batch(message.value() or b"") for message in messages]
        assert {batch.source.offset for batch in batches} == {0, 1, 2, 3, 4, 5, 6}
        assert {batch.source.offset for batch in batches if batch.rejected == "no_record"} == {4}
        report = audit(kafka_settings.model_copy(update={"topic_prefix": topics.prefix}), collector_group="none")
        assert (report.lost, report.duplicates, report.rejected) == (0, 0, 0), "there is no record to reject"
        with pytest.raises(subprocess.TimeoutExpired):
            collector.wait(20)
        collector.send(signal.SIGTERM)
        assert collector.wait() == 0, collector.text()
    assert "hold no record: somebody writes there in transactions" in collector.text()
    assert read_until(kafka_settings, topics.dead_letter, lambda _: True) == []


def test_missing_topics_are_named(kafka: str, tmp_path: Path) -> None:
    with CollectorProcess(kafka, "nothing-here.", tmp_path / "log") as collector:
        assert collector.wait() == 1
    assert "topic nothing-here.generals.transitions does not exist" in collector.text()


@pytest.mark.partitions(1)
def test_a_changed_configuration_is_applied_between_chunks_and_a_wrong_one_refused(
    kafka: str, kafka_settings: KafkaSettings, topics_for_test: Any, tmp_path: Path, seed: int
) -> None:
    topics, config = topics_for_test, tmp_path / "generals.yaml"
    chunks = small_chunks(default_rng(seed), 3)
    before = "collector: {reload_every_s: 0.1, reward_params: {army_advantage: 0.5}}\n"
    config.write_text(before)
    with CollectorProcess(kafka, topics.prefix, tmp_path / "log", {"GENERALS_CONFIG": str(config)}) as collector:
        produce(kafka_settings, topics.transitions, [encode_chunk(chunks[0])], 1)
        collected(kafka_settings, topics.experiences, 1)
        config.write_text("collector: {reload_every_s: 0.1, reward_params: {army_advantage: lots}}\n")
        wait_until(lambda: "new configuration refused; the old one stays" in collector.text(), 20, "the refusal")
        produce(kafka_settings, topics.transitions, [encode_chunk(chunks[1])], 1)
        collected(kafka_settings, topics.experiences, 2)
        config.write_text(before.replace("0.5", "0.25"))
        wait_until(lambda: "new configuration applied" in collector.text(), 20, "the new configuration")
        produce(kafka_settings, topics.transitions, [encode_chunk(chunks[2])], 1)
        messages = collected(kafka_settings, topics.experiences, 3)
        collector.send(signal.SIGTERM)
        assert collector.wait() == 0, collector.text()
    batches = [decode_batch(message.value() or b"") for message in messages]
    weights = {batch.source.offset: batch.reward_params["army_advantage"] for batch in batches}
    assert weights == {0: 0.5, 1: 0.5, 2: 0.25}
    versions = [{batch.config_version for batch in batches if batch.source.offset == offset} for offset in range(3)]
    assert versions[0] == versions[1] != versions[2]
