"""What can go wrong for a reader.

StreamError
├── PositionLost     the log no longer holds the offset that was asked for
├── SourceChanged    the records come from another transitions topic than the saved position
└── TopicMissing     there is no such topic
"""


class StreamError(Exception):
    """Base of all errors of the experience stream."""


class PositionLost(StreamError):
    """The offset asked for has expired or does not exist yet; going on silently would skip records."""


class SourceChanged(StreamError):
    """Records were made from a transitions topic with another id: it was deleted and created again."""

    def __init__(self, partition: int, saved: str, found: str) -> None:
        super().__init__(
            f"partition {partition}: the saved position belongs to source topic id {saved}, the records to {found}; "
            "the transitions topic was created anew, so start from 'earliest' or from a position saved since"
        )


class TopicMissing(StreamError):
    """The topic does not exist on this cluster."""
