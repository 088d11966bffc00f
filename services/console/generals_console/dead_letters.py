"""The dead-letter topic: what is in it, and sending records back to where they came from."""

from collections.abc import Iterator
from dataclasses import dataclass

from confluent_kafka import Message

from generals_console.ranges import read_ranges, whole_log
from generals_runtime.errors import OperatorError
from generals_runtime.kafka import OrderedProducer, RecordTooLarge, make_consumer
from generals_runtime.settings import KafkaSettings


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A rejected record as it came, with the headers that say why and from where."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes
    headers: dict[str, str]


def dead_letters(kafka: KafkaSettings) -> Iterator[DeadLetter]:
    """All of them, oldest first in each partition."""
    topic = kafka.topics().dead_letter.name
    consumer = make_consumer(kafka, group_id="generals-dead-letter")
    try:
        for message in read_ranges(consumer, topic, whole_log(consumer, topic)):
            yield _letter(message)
    finally:
        consumer.close()


def send_again(kafka: KafkaSettings, letters: list[DeadLetter], topic: str) -> int:
    """Produce the records to `topic` under their old keys; returns how many were acknowledged.

    They are new records there: a reader of experiences sees them as new chunks.

    Raises:
        OperatorError: one is too large for any topic of ours; those before it are sent.
        DeliveryFailed: the broker refused one.
    """
    largest = {"message.max.bytes": int(kafka.topics().dead_letter.config["max.message.bytes"])}
    with OrderedProducer(kafka, client_id="generals-dead-letter", overrides=largest) as producer:
        for letter in letters:
            try:
                producer.send(topic, None, letter.key, letter.value)
            except RecordTooLarge as error:
                raise OperatorError(f"dead letter {letter.offset} cannot be sent again: {error}") from error
        producer.flush()
        return producer.delivered


def _letter(message: Message) -> DeadLetter:
    headers = message.headers()
    pairs = headers if isinstance(headers, list) else []
    return DeadLetter(
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        timestamp_ms=message.timestamp()[1],
        key=_bytes(message.key()),
        value=message.value() or b"",
        headers={name: _text(content) for name, content in pairs},
    )


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def _text(value: str | bytes | None) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value or ""
