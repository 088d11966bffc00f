"""The worker on a real Kafka: what it sends, in which order and where."""

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from prometheus_client import CollectorRegistry

from generals_engine.outbox import BlockingOutbox, NotNow
from generals_engine.settings import EngineSettings
from generals_engine.worker import EngineWorker
from generals_runtime import metrics
from generals_runtime.kafka import OrderedProducer, TopicMissing, make_consumer
from generals_runtime.service import Finished
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import decode_chunk, decode_game


@dataclass
class Log:
    """All records of a topic, by partition, oldest first: (key, value)."""

    records: dict[int, list[tuple[bytes, bytes]]] = field(default_factory=lambda: defaultdict(list))

    @property
    def values(self) -> list[bytes]:
        return [value for records in self.records.values() for _, value in records]


def read(kafka: KafkaSettings, topic: str) -> Log:
    log = Log()
    with make_consumer(kafka, group_id="reader", overrides={"auto.offset.reset": "earliest"}) as consumer:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in partitions}
        left = sum(ends.values())
        while left:
            for message in consumer.consume(left, timeout=5):
                assert message.error() is None, message.error()
                log.records[message.partition()].append((message.key(), message.value()))
                left -= 1
    return log


def an_engine(kafka: KafkaSettings, **settings: object) -> EngineSettings:
    small = {"width": 8, "height": 8, "games": 8, "max_games": 20, "tick_limit": 200, "seed": 1}
    return EngineSettings(kafka=kafka, **{**small, **settings})  # type: ignore[arg-type]


def play_out(worker: EngineWorker) -> None:
    worker.start()
    try:
        while True:
            worker.run_once(0.5)
    except Finished:
        worker.stop()


def observed() -> metrics.Metrics:
    return metrics.Metrics(CollectorRegistry())


def test_a_games_chunks_lie_in_one_partition_in_order_and_its_summary_on_the_games_topic(
    kafka_settings: KafkaSettings, topics_for_test
) -> None:
    kafka = kafka_settings.model_copy(update={"topic_prefix": topics_for_test.prefix})
    seen = observed()
    play_out(EngineWorker(an_engine(kafka, memory=True), observed=seen))
    games = defaultdict(list)
    for partition, records in read(kafka, topics_for_test.transitions).records.items():
        for key, value in records:
            chunk = decode_chunk(value)
            assert key.decode() == chunk.game_id
            assert chunk.memory is not None
            games[chunk.game_id].append((partition, chunk))
    assert len(games) == 20
    for placed in games.values():
        assert len({partition for partition, _ in placed}) == 1
        chunks = [chunk for _, chunk in placed]
        assert [chunk.chunk for chunk in chunks] == list(range(len(chunks)))
        assert all(one.first_tick + one.ticks == following.first_tick for one, following in pairwise(chunks))
        assert chunks[-1].final
    summaries = [decode_game(value) for value in read(kafka, topics_for_test.specs.games.name).values]
    assert {summary.game_id for summary in summaries} == games.keys()
    assert sum(summary.ticks for summary in summaries) == seen.engine.ticks._value.get()
    assert seen.engine.games_running._value.get() == 0


def test_a_stop_in_mid_play_sends_all_finished_chunks(kafka_settings: KafkaSettings, topics_for_test) -> None:
    kafka = kafka_settings.model_copy(update={"topic_prefix": topics_for_test.prefix})
    seen = observed()
    worker = EngineWorker(an_engine(kafka, max_games=None, ticks_per_second=20_000.0), observed=seen)
    worker.start()
    for _ in range(3):
        worker.run_once(0.2)
    worker.stop()
    chunks = [decode_chunk(value) for value in read(kafka, topics_for_test.transitions).values]
    assert chunks
    assert sum(chunk.ticks for chunk in chunks) == seen.engine.ticks._value.get()


def test_without_its_topics_the_worker_says_how_to_make_them(kafka_settings: KafkaSettings) -> None:
    kafka = kafka_settings.model_copy(update={"topic_prefix": "nowhere."})
    with pytest.raises(TopicMissing, match=r"nowhere\.generals\.transitions does not exist; `generals topics create`"):
        EngineWorker(an_engine(kafka), observed=observed()).start()


class Reluctant(BlockingOutbox):
    """Has no room for two records of three."""

    offered = 0

    def put(self, *record: Any) -> None:
        self.offered += 1
        if self.offered % 3:
            raise NotNow
        super().put(*record)


def test_records_that_found_no_room_are_offered_again_before_anything_later(
    kafka_settings: KafkaSettings, topics_for_test
) -> None:
    kafka = kafka_settings.model_copy(update={"topic_prefix": topics_for_test.prefix})
    outbox = Reluctant(OrderedProducer(kafka), observed().engine)
    play_out(EngineWorker(an_engine(kafka, max_games=8), outbox=outbox, observed=observed()))
    games = defaultdict(list)
    for value in read(kafka, topics_for_test.transitions).values:
        chunk = decode_chunk(value)
        games[chunk.game_id].append(chunk.chunk)
    assert len(games) == 8
    for numbers in games.values():
        assert numbers == list(range(len(numbers)))
