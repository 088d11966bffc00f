"""A game being played, for the live view: follows the newest chunk of the transitions topic, a few boards a second."""

from dataclasses import dataclass

from confluent_kafka import OFFSET_END, Consumer, TopicPartition

from generals_runtime.kafka import make_consumer
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import decode_chunk
from generals_schemas.errors import SchemaError
from generals_schemas.records import TransitionChunk


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Board `index` of a chunk."""

    chunk: TransitionChunk
    index: int

    @property
    def tick(self) -> int:
        return self.chunk.first_tick + self.index


class GameWatcher:
    """Steps through one game's chunk after another. Never blocks."""

    def __init__(self, kafka: KafkaSettings, topic: str, partition: int = 0) -> None:
        self._consumer: Consumer = make_consumer(
            kafka,
            group_id="generals-watch",
            overrides={"auto.offset.reset": "latest", "queued.max.messages.kbytes": 512},
        )
        self._consumer.assign([TopicPartition(topic, partition, OFFSET_END)])
        self._chunk: TransitionChunk | None = None
        self._index = 0

    def step(self, boards: int = 2) -> Frame | None:
        """The next board to show; None before the first chunk."""
        self._index += boards
        if self._chunk is None or self._index > self._chunk.ticks:
            self._take_next()
        return Frame(self._chunk, min(self._index, self._chunk.ticks)) if self._chunk else None

    def close(self) -> None:
        self._consumer.close()

    def _take_next(self) -> None:
        wanted = self._chunk.game_id if self._chunk and not self._chunk.final else None
        newest = None
        for message in self._consumer.consume(64, 0.0):
            if message.error() is not None:
                continue
            try:
                chunk = decode_chunk(message.value() or b"")
            except SchemaError:  # the collector reports it; here it is only not shown
                continue
            if chunk.game_id == wanted:
                newest = chunk
                break
            newest = chunk
        if newest is not None:
            self._chunk, self._index = newest, 0
