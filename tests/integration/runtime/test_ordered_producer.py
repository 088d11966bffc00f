"""The ordered producer against the real Kafka: order kept, nothing lost, nothing twice, nothing after a gap."""

import threading
from collections.abc import Callable

import pytest
from confluent_kafka import Message, TopicPartition

from generals_runtime import metrics
from generals_runtime.broker import EmbeddedBroker
from generals_runtime.kafka import (
    DeliveryFailed,
    OrderedProducer,
    QueueFull,
    RecordTooLarge,
    ensure_topics,
    make_consumer,
)
from generals_runtime.settings import KafkaSettings
from generals_schemas.topics import TOPICS


def _read(settings: KafkaSettings, topic: str, partition: int) -> list[bytes]:
    """All values of a partition, as they lie there."""
    consumer = make_consumer(settings, group_id="reader")
    spot = TopicPartition(topic, partition)
    _low, high = consumer.get_watermark_offsets(spot, timeout=10)
    consumer.assign([TopicPartition(topic, partition, 0)])
    values: list[bytes] = []
    while len(values) < high:
        messages = consumer.consume(min(1000, high - len(values)), timeout=10)
        assert messages, f"{len(values)} of {high} records came"
        values += [message.value() or b"" for message in messages]
    consumer.close()
    return values


def _numbers(values: list[bytes]) -> list[int]:
    return [int(value[:8]) for value in values]


def test_records_arrive_as_they_were_sent(kafka_settings: KafkaSettings, make_topic: Callable[..., str]) -> None:
    topic = make_topic(2)
    seen: list[tuple[int | None, int | None]] = []

    def note(message: Message) -> None:
        seen.append((message.partition(), message.offset()))

    with OrderedProducer(kafka_settings) as producer:
        for number in range(50):
            producer.send(topic, 1, b"g", b"%08d" % number, [("trace", b"t")], 1_700_000_000_000 + number, note)
        assert producer.flush(20) == 0
        assert producer.delivered == 50
    assert seen == [(1, offset) for offset in range(50)]
    assert _numbers(_read(kafka_settings, topic, 1)) == list(range(50))

    consumer = make_consumer(kafka_settings, group_id="reader")
    consumer.assign([TopicPartition(topic, 1, 7)])
    [message] = consumer.consume(1, timeout=10)
    consumer.close()
    assert (message.key(), message.headers(), message.timestamp()[1]) == (b"g", [("trace", b"t")], 1_700_000_000_007)


def test_what_was_acknowledged_is_counted_by_topic(
    kafka_settings: KafkaSettings, make_topic: Callable[..., str]
) -> None:
    topic = make_topic()
    with OrderedProducer(kafka_settings) as producer:
        for number in range(7):
            producer.send(topic, 0, b"game", b"%08d" % number)
        assert producer.flush(20) == 0
    registry = metrics.default().registry
    assert registry.get_sample_value("generals_records_produced_total", {"topic": topic}) == 7
    assert registry.get_sample_value("generals_produced_bytes_total", {"topic": topic}) == 7 * 8


def test_a_full_queue_is_waited_out_in_order(kafka_settings: KafkaSettings, make_topic: Callable[..., str]) -> None:
    topic = make_topic()
    with OrderedProducer(kafka_settings, overrides={"queue.buffering.max.messages": 3, "linger.ms": 0}) as producer:
        for number in range(500):
            producer.send(topic, 0, None, b"%08d" % number)
        assert producer.flush(20) == 0
    assert _numbers(_read(kafka_settings, topic, 0)) == list(range(500))


def test_threads_that_meet_a_full_queue_keep_each_its_order(
    kafka_settings: KafkaSettings, make_topic: Callable[..., str]
) -> None:
    topic = make_topic()
    with OrderedProducer(kafka_settings, overrides={"queue.buffering.max.messages": 3, "linger.ms": 0}) as producer:

        def send(thread: int) -> None:
            for number in range(100):
                producer.send(topic, 0, None, b"%08d %d" % (number, thread))

        threads = [threading.Thread(target=send, args=(thread,)) for thread in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert producer.flush(20) == 0
    values = _read(kafka_settings, topic, 0)
    for number in range(4):
        assert _numbers([value for value in values if value.endswith(b" %d" % number)]) == list(range(100))


def test_a_broker_killed_and_restarted_in_the_middle_costs_no_record_and_no_order(own_broker: EmbeddedBroker) -> None:
    settings = KafkaSettings(bootstrap_servers=own_broker.bootstrap_servers)
    specs = TOPICS.with_partitions(3)
    ensure_topics(settings, [specs.transitions])
    topic, count = specs.transitions.name, 6000

    def bounce() -> None:
        own_broker.kill()
        own_broker.start()
        own_broker.restart()

    bouncer = threading.Thread(target=bounce)

    with OrderedProducer(settings, overrides={"queue.buffering.max.messages": 500}) as producer:
        for number in range(count):
            if number == 1000:
                bouncer.start()
            producer.send(topic, number % 3, None, b"%08d" % number + b"x" * 1000)
            if number == 4000:
                bouncer.join(120)  # the rest goes to a broker that is back
        assert producer.flush(60) == 0
        assert producer.delivered == count
    bouncer.join(120)

    for partition in range(3):
        assert _numbers(_read(settings, topic, partition)) == list(range(partition, count, 3))


def test_without_a_broker_a_bounded_send_gives_up_and_the_record_is_not_queued(own_broker: EmbeddedBroker) -> None:
    settings = KafkaSettings(bootstrap_servers=own_broker.bootstrap_servers)
    spec = TOPICS.dead_letter
    ensure_topics(settings, [spec])
    with OrderedProducer(settings, overrides={"queue.buffering.max.messages": 2}) as producer:
        producer.send(spec.name, 0, None, b"00000000")
        assert producer.flush(10) == 0
        own_broker.kill()
        producer.send(spec.name, 0, None, b"00000001", timeout_s=0.1)
        producer.send(spec.name, 0, None, b"00000002", timeout_s=0.1)
        with pytest.raises(QueueFull, match="2 records wait"):
            producer.send(spec.name, 0, None, b"00000003", timeout_s=0.2)
        assert producer.flush(0.2) == 2
        assert producer.failed is None
        own_broker.start()
        assert producer.flush(60) == 0
    assert _numbers(_read(settings, spec.name, 0)) == [0, 1, 2]


def test_a_record_over_the_limit_is_refused_alone(
    kafka_settings: KafkaSettings, make_topic: Callable[..., str]
) -> None:
    topic = make_topic()
    with OrderedProducer(kafka_settings) as producer:
        producer.send(topic, 0, None, b"00000000")
        with pytest.raises(RecordTooLarge, match=r"2,000,000 bytes"):
            producer.send(topic, 0, None, b"x" * 2_000_000)
        producer.send(topic, 0, None, b"00000001")
        assert producer.flush(20) == 0
    assert _numbers(_read(kafka_settings, topic, 0)) == [0, 1]


def test_after_a_record_the_broker_refuses_nothing_follows(
    kafka_settings: KafkaSettings, make_topic: Callable[..., str]
) -> None:
    topic = make_topic(config={"max.message.bytes": "2000"})
    producer = OrderedProducer(kafka_settings, overrides={"linger.ms": 0, "batch.num.messages": 1})
    delivered: list[int | None] = []
    sent = 0
    with pytest.raises(DeliveryFailed, match="Message size too large"):  # noqa: PT012 - which call notices is open
        for number in range(5000):
            value = b"%08d" % number
            producer.send(
                topic, 0, None, value if number != 200 else value + b"x" * 5000,
                on_delivery=lambda message: delivered.append(message.offset()),
            )  # fmt: skip
            sent += 1
        producer.flush(20)
    assert producer.failed is not None
    with pytest.raises(DeliveryFailed):
        producer.send(topic, 0, None, b"after")
    with pytest.raises(DeliveryFailed):
        producer.poll()
    producer.close(1)
    assert sent > 200
    assert _numbers(_read(kafka_settings, topic, 0)) == list(range(200))
    assert delivered == list(range(200))


def test_a_partition_that_does_not_exist_is_a_failure_with_its_name(
    kafka_settings: KafkaSettings, make_topic: Callable[..., str]
) -> None:
    topic = make_topic()
    producer = OrderedProducer(kafka_settings)
    with pytest.raises(DeliveryFailed, match=f"{topic}.*_UNKNOWN_PARTITION"):  # noqa: PT012
        producer.send(topic, 9, None, b"lost")
        producer.flush(20)
    assert producer.close(1) == 0


def test_a_callback_that_sends_is_told_not_to(kafka_settings: KafkaSettings, make_topic: Callable[..., str]) -> None:
    topic = make_topic()
    refused: list[str] = []
    with OrderedProducer(kafka_settings, overrides={"queue.buffering.max.messages": 1, "linger.ms": 0}) as producer:

        def send_again(_message: Message) -> None:
            try:
                producer.send(topic, 0, None, b"again")
            except RuntimeError as error:
                refused.append(str(error))

        producer.send(topic, 0, None, b"first", on_delivery=send_again)
        producer.send(topic, 0, None, b"second")  # waits for room, so the callback runs inside
        assert producer.flush(20) == 0
    assert refused == ["on_delivery must not send: its record would overtake the one that waits"]
