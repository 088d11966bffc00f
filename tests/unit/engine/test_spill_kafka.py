"""What Kafka refuses for good ends the reading of its log; what passes does not."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

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


class Cluster:
    """A consumer of a cluster with so many replicas of one partition, some in sync; of topics whose leader has moved it
    learns that when they are listed."""

    def __init__(self, *, replicas: int = 3, in_sync: int = 3, moved: Iterable[str] = ()) -> None:
        self.replicas, self.in_sync, self.moved, self.listed = replicas, in_sync, set(moved), 0

    def list_topics(self, topic: str, timeout: float) -> Any:
        self.listed += 1
        self.moved.discard(topic)
        partition = SimpleNamespace(replicas=list(range(self.replicas)), isrs=list(range(self.in_sync)))
        return SimpleNamespace(topics={topic: SimpleNamespace(partitions={2: partition})})

    def get_watermark_offsets(self, spot: Any, timeout: float) -> tuple[int, int]:
        if spot.topic in self.moved:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        return 4, 9


def _of_cluster(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, clock: Any = lambda: 0.0) -> KafkaLog:
    monkeypatch.setattr(spill_kafka, "make_consumer", lambda *_, **__: cluster)
    return KafkaLog(KafkaSettings(), clock=clock)


@pytest.mark.parametrize(
    ("replicas", "in_sync", "hides"), [(1, 1, False), (2, 1, False), (3, 3, False), (3, 2, False), (3, 1, True)]
)
def test_records_may_be_hidden_while_too_few_replicas_are_in_sync(
    replicas: int, in_sync: int, hides: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(replicas=replicas, in_sync=in_sync)
    assert _of_cluster(cluster, monkeypatch).hides([("chunks", 2)]) == hides


def test_replicas_are_asked_for_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now, cluster = [0.0], Cluster(in_sync=1)
    log = _of_cluster(cluster, monkeypatch, lambda: now[0])
    assert log.hides([("chunks", 2)])
    cluster.in_sync = 2
    assert log.hides([("chunks", 2)])
    now[0] = 1.0
    assert not log.hides([("chunks", 2)])


def test_a_leader_that_has_moved_is_looked_for_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    log = _of_cluster(Cluster(moved=["chunks"]), monkeypatch)
    assert log.ends([("chunks", 2)]) == {("chunks", 2): 9}


def test_leaders_of_two_topics_are_looked_for_though_one_answers_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    now, cluster = [0.0], Cluster(moved=["games"])
    log = _of_cluster(cluster, monkeypatch, lambda: now[0])
    assert log.span(("chunks", 2)) == (4, 9)
    assert log.span(("games", 2)) is None
    now[0] = 10.0
    assert log.span(("chunks", 2)) == (4, 9)
    assert log.span(("games", 2)) == (4, 9)


def test_partitions_of_a_topic_are_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster()
    assert not _of_cluster(cluster, monkeypatch).hides([("chunks", 2), ("chunks", 2)])
    assert cluster.listed == 1


@pytest.mark.parametrize(("replicas", "replicated"), [(1, False), (2, True), (3, True)])
def test_whether_topics_are_replicated_is_what_kafka_says(
    replicas: int, replicated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = _of_cluster(Cluster(replicas=replicas), monkeypatch)
    assert log.replicated(["chunks", "games"]) == replicated
