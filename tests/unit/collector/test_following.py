"""A followed game's chunks are told by the collector, and those of no other."""

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from generals_collector.conversion import Converted, RawRecord
from generals_collector.service import CollectorService
from generals_collector.settings import CollectorSettings
from generals_runtime import logs


@pytest.fixture
def service() -> Iterator[CollectorService]:
    made = CollectorService(CollectorSettings())
    yield made
    made._loop.close()
    logs.follow(None)


@pytest.mark.parametrize("followed", ["game-7", None])
def test_a_followed_games_chunks_are_told(service: CollectorService, followed: str | None) -> None:
    logs.follow(followed)
    with capture_logs() as told:
        for offset, key in enumerate((b"game-7", b"game-8", b"\xff", None)):
            service._note(Converted(RawRecord("transitions", 3, offset, 0, key, b""), ()))
    assert [(entry["event"], entry["game_id"], entry["offset"]) for entry in told] == (
        [("chunk converted", "game-7", 0)] if followed else []
    )
