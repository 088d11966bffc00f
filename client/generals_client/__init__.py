"""Read experiences: `ExperienceStream` iterates the topic as batches of numpy arrays, each experience exactly once."""

from generals_client.batch import Batch, Segment, flat
from generals_client.errors import PositionLost, SourceChanged, StreamError, TopicMissing
from generals_client.expand import expand, legal_actions
from generals_client.positions import Deduplicator, Mark, Position
from generals_client.reader import Delivered, ReaderStats, RecordReader
from generals_client.stream import ExperienceStream

__all__ = [
    "Batch",
    "Deduplicator",
    "Delivered",
    "ExperienceStream",
    "Mark",
    "Position",
    "PositionLost",
    "ReaderStats",
    "RecordReader",
    "Segment",
    "SourceChanged",
    "StreamError",
    "TopicMissing",
    "expand",
    "flat",
    "legal_actions",
]
