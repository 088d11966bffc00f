"""Collectors that are killed, frozen and joined by others: a reader with one mark a partition still gets each
experience exactly once."""

import signal
import time
from pathlib import Path
from typing import Any

import pytest
from collector_process import CollectorProcess, read_until, wait_until
from confluent_kafka import Consumer, Message, TopicPartition
from numpy.random import Generator, default_rng
from random_chunks import random_chunk

from generals_client.positions import Deduplicator
from generals_runtime.kafka import OrderedProducer, make_consumer
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import decode_batch, encode_chunk


class Load:
    """Chunks that keep coming, the same few records over and over: only coordinates count here."""

    def __init__(self, kafka: KafkaSettings, topic: str, partitions: int, rng: Generator) -> None:
        self._producer = OrderedProducer(kafka)
        self._topic, self._partitions = topic, partitions
        chunks = [random_chunk(rng, players=2 + i % 3, sides=(12, 12), ticks=16) for i in range(16)]
        self._values = [encode_chunk(chunk) for chunk in chunks]
        self.sent = 0

    def send(self, count: int) -> None:
        for _ in range(count):
            value = self._values[self.sent % len(self._values)]
            self._producer.send(self._topic, self.sent % self._partitions, b"game", value)
            self.sent += 1
        self._producer.flush()


class Verdict:
    """What a reader of the whole topic makes of it, and what is really in it."""

    def __init__(self, messages: list[Message]) -> None:
        self.readers: dict[int, Deduplicator] = {}
        self.accepted: list[tuple[int, int, int]] = []
        self.counts: dict[tuple[int, int], int] = {}
        for message in messages:
            source = decode_batch(message.value() or b"").source
            reader = self.readers.setdefault(source.partition, Deduplicator(source.partition))
            self.counts[source.partition, source.offset] = source.count
            if reader.accept(source):
                self.accepted.append((source.partition, source.offset, source.index))

    @property
    def repeats(self) -> int:
        return sum(reader.repeats for reader in self.readers.values())

    @property
    def lost(self) -> int:
        return sum(reader.lost for reader in self.readers.values())

    def assert_once_each(self, chunks: int) -> None:
        assert self.lost == 0
        assert len(self.counts) == chunks
        assert len(self.accepted) == len(set(self.accepted)) == sum(self.counts.values())


def is_complete(messages: list[Message], chunks: int) -> bool:
    sources = {decode_batch(message.value() or b"").source for message in messages}
    counts = {(source.partition, source.offset): source.count for source in sources}
    return len(counts) == chunks and sum(counts.values()) == len(sources)


def everything(kafka: KafkaSettings, topic: str, chunks: int) -> Verdict:
    verdict = Verdict(read_until(kafka, topic, lambda found: is_complete(found, chunks), 90))
    verdict.assert_once_each(chunks)
    return verdict


def end_offsets(consumer: Consumer, topic: str, partitions: int) -> int:
    return sum(consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in range(partitions))


def test_a_killed_collector_loses_nothing_and_its_repeats_are_dropped(
    kafka: str, kafka_settings: KafkaSettings, topics_for_test: Any, tmp_path: Path, seed: int
) -> None:
    topics = topics_for_test
    load = Load(kafka_settings, topics.transitions, topics.partitions, default_rng(seed))
    load.send(300)
    watch = make_consumer(kafka_settings, group_id="watch")
    slow = {"GENERALS_COLLECTOR__FLOW__COMMIT_EVERY_S": "30", "GENERALS_COLLECTOR__FLOW__GROUP_CHUNKS": "8"}
    with CollectorProcess(kafka, topics.prefix, tmp_path / "one", slow) as collector:
        wait_until(lambda: end_offsets(watch, topics.experiences, 2) > 200, 40, "experiences of the first")
        collector.kill()
    before = end_offsets(watch, topics.experiences, 2)
    load.send(100)
    with CollectorProcess(kafka, topics.prefix, tmp_path / "two") as successor:
        verdict = everything(kafka_settings, topics.experiences, load.sent)
        successor.send(signal.SIGTERM)
        assert successor.wait() == 0, successor.text()
    watch.close()
    assert before > 200
    assert verdict.repeats > 0, "nothing was committed by the first: the second has to repeat it"


@pytest.mark.partitions(4)
def test_partitions_move_between_collectors_and_no_experience_is_lost_or_doubled(
    kafka: str, kafka_settings: KafkaSettings, topics_for_test: Any, tmp_path: Path, seed: int
) -> None:
    topics = topics_for_test
    load = Load(kafka_settings, topics.transitions, 4, default_rng(seed))
    load.send(100)
    watch = make_consumer(kafka_settings, group_id="watch")
    one = CollectorProcess(kafka, topics.prefix, tmp_path / "one")
    two = CollectorProcess(kafka, topics.prefix, tmp_path / "two")
    with one, two:
        wait_until(lambda: "partitions assigned" in one.text() and "partitions assigned" in two.text(), 40, "sharing")
        load.send(200)
        wait_until(lambda: end_offsets(watch, topics.experiences, 4) > 100, 40, "experiences")
        one.send(signal.SIGTERM)
        assert one.wait() == 0, one.text()
        load.send(200)
        everything(kafka_settings, topics.experiences, load.sent)
        assert two.process is not None
        assert two.process.poll() is None
    watch.close()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.partitions(4)
def test_twenty_random_kills_freezes_and_restarts_of_two_collectors_under_load(
    kafka: str, kafka_settings: KafkaSettings, topics_for_test: Any, tmp_path: Path, seed: int
) -> None:
    topics = topics_for_test
    rng = default_rng(seed)
    load = Load(kafka_settings, topics.transitions, 4, rng)
    collectors = [CollectorProcess(kafka, topics.prefix, tmp_path / f"log-{i}").start() for i in range(2)]
    for _ in range(20):
        load.send(int(rng.integers(20, 120)))
        time.sleep(float(rng.uniform(0.2, 3.0)))
        victim = collectors[int(rng.integers(2))]
        assert victim.process is not None
        if victim.process.poll() is not None:
            victim.start()
            continue
        how = int(rng.integers(3))
        if how == 0:
            victim.kill()
            victim.start()
        elif how == 1:
            victim.send(signal.SIGSTOP)  # long enough, at times, that its partitions are given away
            load.send(50)
            time.sleep(float(rng.uniform(1.0, 12.0)))
            victim.send(signal.SIGCONT)
        else:
            victim.send(signal.SIGTERM)
            victim.wait()
            victim.start()
    for collector in collectors:
        assert collector.process is not None
        if collector.process.poll() is not None:
            collector.start()
    verdict = everything(kafka_settings, topics.experiences, load.sent)
    for collector in collectors:
        collector.kill()
    assert verdict.lost == 0
