"""What Kafka refuses for good ends the reading of its log; what passes does not."""

from typing import Any

import pytest
from confluent_kafka import KafkaError

from generals_engine import spill_kafka
from generals_engine.spill_kafka import KafkaLog
from generals_runtime.kafka import KafkaUnavailable
from generals_runtime.settings import KafkaSettings


class Refusing:
    """A consumer that only ever hands out one error."""

    def __init__(self, code: int) -> None:
        self._error = KafkaError(code)

    def assign(self, _: Any) -> None: ...

    def consume(self, _: int, __: float) -> list["Refusing"]:
        return [self]

    def topic(self) -> str:
        return "games"

    def partition(self) -> int:
        return 2

    def offset(self) -> int:
        return 0

    def error(self) -> KafkaError:
        return self._error


def _log(code: int, monkeypatch: pytest.MonkeyPatch) -> KafkaLog:
    monkeypatch.setattr(spill_kafka, "make_consumer", lambda *_, **__: Refusing(code))
    log = KafkaLog(KafkaSettings())
    log.seek({("games", 2): 0})
    return log


@pytest.mark.parametrize("code", [KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError._AUTO_OFFSET_RESET])
def test_a_refusal_is_told_with_the_partition(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KafkaUnavailable, match=r"games\[2\] cannot be read"):
        _log(code, monkeypatch).read(0.0)


@pytest.mark.parametrize("code", [KafkaError._TRANSPORT, KafkaError.LEADER_NOT_AVAILABLE, KafkaError._PARTITION_EOF])
def test_what_passes_is_waited_for(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _log(code, monkeypatch).read(0.0) == []
