"""`ExperienceStream` over a consumer that lies in memory: what a broker is not needed for."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from confluent_kafka import TopicPartition
from synthetic_play import play

from generals_client import ExperienceStream, reader
from generals_schemas.codec import encode_batch
from generals_schemas.records import ExperienceBatch

TOPIC = "experiences"


class Message:
    def __init__(self, offset: int, value: bytes) -> None:
        self._offset, self._value = offset, value

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def error(self) -> None:
        return None

    def value(self) -> bytes:
        return self._value

    def timestamp(self) -> tuple[int, int]:
        return 1, 0


class OnePartition:
    """A confluent_kafka.Consumer whose topic has one partition, which holds `values`."""

    def __init__(self, values: Sequence[bytes]) -> None:
        self._messages = [Message(offset, value) for offset, value in enumerate(values)]
        self._end = len(values)
        self._assigned = False
        self._on_assign: Any = None

    def list_topics(self, topic: str, timeout: float) -> Any:
        return SimpleNamespace(topics={topic: SimpleNamespace(error=None, partitions={0: None})})

    def subscribe(self, topics: list[str], *, on_assign: Any, **_: Any) -> None:
        self._on_assign = on_assign

    def assign(self, partitions: list[TopicPartition]) -> None:
        self._assigned = True

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        return partitions

    def get_watermark_offsets(self, partition: TopicPartition, **_: Any) -> tuple[int, int]:
        return 0, self._end

    def consume(self, count: int, timeout: float) -> list[Message]:
        if not self._assigned:
            self._on_assign(self, [TopicPartition(TOPIC, 0)])
            return []
        found, self._messages = self._messages[:count], self._messages[count:]
        return found

    def close(self) -> None:
        pass


@pytest.fixture
def records(seed: int) -> list[ExperienceBatch]:
    """Two chunks of both players, and a marker of a rejected chunk between them."""
    batches = list(play(np.random.default_rng(seed), games=1, chunks=2, ticks=5))
    marker = ExperienceBatch.rejection(reason="checksum", source=replace(batches[0].source, offset=1, count=1))
    return [*batches[:2], marker, *(replace(batch, source=replace(batch.source, offset=2)) for batch in batches[2:])]


@pytest.fixture
def values(records: list[ExperienceBatch], monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The records as the topic holds them; one of them is a repeat."""
    log = [encode_batch(record) for record in [*records[:2], records[0], *records[2:]]]
    monkeypatch.setattr(reader, "Consumer", lambda _: OnePartition(log))
    return log


@pytest.mark.parametrize("wanted", [{}, {"players": [0]}, {"players": [1]}, {"game_ids": ["no such game"]}])
def test_markers_are_among_the_records_whatever_the_filters(
    wanted: dict[str, Any], records: list[ExperienceBatch], values: list[bytes]
) -> None:
    with ExperienceStream(bootstrap_servers="memory", group="g", topic=TOPIC, **wanted) as stream:
        found = [record.batch for record in stream.records()]
    assert [batch.rejected for batch in found if batch.rejected is not None] == ["checksum"]
    played = [
        (batch.chunk, batch.player)
        for batch in records
        if batch.rejected is None and batch.player in wanted.get("players", (0, 1)) and "game_ids" not in wanted
    ]
    assert [(batch.chunk, batch.player) for batch in found if batch.rejected is None] == played


def test_what_was_read_is_counted_with_the_bytes_of_repeats(values: list[bytes]) -> None:
    with ExperienceStream(bootstrap_servers="memory", group="g", topic=TOPIC) as stream:
        assert sum(len(batch) for batch in stream) == 20
        assert (stream.stats.records, stream.stats.repeats, stream.stats.rejected) == (5, 1, 1)
        assert stream.stats.size_bytes == sum(map(len, values))
