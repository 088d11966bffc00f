"""What is asked of a broker that is not ready yet is asked again; what it knows for sure is believed at once."""

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException

from generals_client import broker_log
from generals_client.broker_log import BrokerLog
from generals_client.errors import PositionLost, StreamError, TopicMissing
from generals_client.positions import Position


class Consumer:
    """Answers `list_topics` with each of these in turn: an exception, a topic's error, or partitions."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def list_topics(self, topic: str, timeout: float) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        error = answer if isinstance(answer, KafkaError) else None
        return SimpleNamespace(topics={topic: SimpleNamespace(error=error, partitions={} if error else answer)})


class ConsumerWithOldLeaders(Consumer):
    """As librdkafka at times is after a leader has moved: it learns nothing until the topic is listed again."""

    def __init__(self, code: int) -> None:
        super().__init__({0: None}, {0: None})
        self._code = code

    def get_watermark_offsets(self, spot: Any, timeout: float) -> tuple[int, int]:
        if self.answers:
            raise KafkaException(KafkaError(self._code))
        return 3, 5


class ConsumerOfAnOldLeader(Consumer):
    """Its broker stood still while another led the partition, and answers with the end of before."""

    def __init__(self) -> None:
        super().__init__({0: None}, {0: None})

    def get_watermark_offsets(self, spot: Any, timeout: float) -> tuple[int, int]:
        return (1, 2) if self.answers else (3, 5)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_log, "AGAIN_S", 0.0)


def opened(consumer: Any) -> BrokerLog:
    return BrokerLog(consumer, "topic", "earliest")


def test_partitions_are_asked_for_until_the_broker_is_ready() -> None:
    away = KafkaException(KafkaError(KafkaError._TRANSPORT))
    consumer = Consumer(away, KafkaError(KafkaError.LEADER_NOT_AVAILABLE), away, {0: None, 1: None})
    assert opened(consumer).partitions == {0, 1}
    assert consumer.answers == []


@pytest.mark.parametrize(
    "code",
    [
        KafkaError._TRANSPORT, KafkaError._UNKNOWN_PARTITION, KafkaError._TIMED_OUT_QUEUE,
        KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.OFFSET_NOT_AVAILABLE, KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
    ],
)  # fmt: skip
def test_a_leader_that_has_moved_is_looked_for_anew(code: int) -> None:
    position = Position("topic", 0, OFFSET_BEGINNING)
    assert opened(ConsumerWithOldLeaders(code)).within(position) == (Position("topic", 0, 3), 5)


def test_a_position_behind_the_end_of_an_old_leader_is_not_lost() -> None:
    position = Position("topic", 0, 5)
    assert opened(ConsumerOfAnOldLeader()).within(position) == (position, 5)


def test_a_position_behind_an_end_that_stays_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_log, "OLD_END_S", 0.0)
    with pytest.raises(PositionLost, match=r"topic\[0\]: offset 3 is outside the log, which holds 1 … 2"):
        opened(ConsumerOfAnOldLeader()).within(Position("topic", 0, 3))


def test_a_topic_that_the_broker_does_not_know_is_missing_and_not_asked_for_again() -> None:
    with pytest.raises(TopicMissing, match=r"topic topic: .*`generals topics create` makes it"):
        opened(Consumer(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)))


def test_a_topic_that_may_not_be_read_is_not_called_missing() -> None:
    with pytest.raises(StreamError, match="the partitions of topic are not known") as caught:
        opened(Consumer(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)))
    assert not isinstance(caught.value, TopicMissing)


def test_a_broker_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_log, "PATIENCE_S", -1.0)
    with pytest.raises(StreamError, match="the partitions of topic are not known"):
        opened(Consumer(KafkaException(KafkaError(KafkaError._TRANSPORT))))
