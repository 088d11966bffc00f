"""What the buffers held is fetched again patiently: an error that passes is waited out, and the watchdog is told."""

from typing import Any

import pytest
from confluent_kafka import KafkaError, Message, TopicPartition

from generals_runtime.settings import KafkaSettings
from generals_trainer import refill as module
from generals_trainer.refill import RefillFailed, refill

TRANSPORT = KafkaError(KafkaError._TRANSPORT, "broker down")


class Log:
    """A consumer of a log of two records that answers with these, one at a time, and then with nothing."""

    def __init__(self, *messages: Message) -> None:
        self.messages = list(messages)

    def get_watermark_offsets(self, _: TopicPartition, timeout: float) -> tuple[int, int]:
        return 0, 2

    def assign(self, _: list[TopicPartition]) -> None: ...

    def consume(self, _: int, __: float) -> list[Message]:
        return [self.messages.pop(0)] if self.messages else []

    def close(self) -> None: ...


def record(offset: int) -> Message:
    return Message(topic="experiences", partition=0, offset=offset, value=bytes([offset]))


def failed(error: KafkaError) -> Message:
    return Message(topic="experiences", partition=0, error=error)


def fetch(log: Log, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], int]:
    """What comes of offsets 0 and 1, and how many signs of life."""
    signs: list[None] = []
    monkeypatch.setattr(module, "make_consumer", lambda *_, **__: log)
    monkeypatch.setattr(module, "decode_batch", lambda value: value)
    wanted = [(0, 0, 0), (1, 0, 1)]
    found = list(refill(KafkaSettings(), "experiences", wanted, alive=lambda: signs.append(None)))
    return [value for *_, value in found], len(signs)


def test_an_error_that_passes_is_waited_out_with_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    values, signs = fetch(Log(record(0), failed(TRANSPORT), failed(TRANSPORT), record(1)), monkeypatch)
    assert values == [b"\0", b"\1"]
    assert signs == 5  # one for the partition, one for each message


def test_the_last_error_is_named_when_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", -1.0)
    with pytest.raises(RefillFailed, match=r"experiences\[0\]: offset 0 did not come in .*: broker down"):
        fetch(Log(failed(TRANSPORT)), monkeypatch)


def test_a_refusal_is_not_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "not allowed")
    with pytest.raises(RefillFailed, match="experiences: not allowed"):
        fetch(Log(failed(refusal)), monkeypatch)
