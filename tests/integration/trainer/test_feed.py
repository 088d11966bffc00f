"""The trainer's reading thread on a real broker: what it cannot read is said in one line."""

import pytest

from generals_trainer.feed import Feed, FeedFailed


def test_a_missing_topic_is_named(kafka: str) -> None:
    with pytest.raises(FeedFailed, match=r"topic absent: .*; `generals topics create` makes it"):
        Feed(bootstrap_servers=kafka, group="feed", topic="absent", start="earliest", read_ahead=100, client_config={})
