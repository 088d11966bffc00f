"""Every interleaving of rival writers, crashes and lost answers, up to bounds: the archive holds each batch once.

Claims, objects and seals are made by the writer's own code. Without the claim step the walk finds doubled rows.
"""

from dataclasses import replace

import pytest
from archive_model import Explorer, Found, Setup, cached_build
from numpy.random import default_rng
from simulated_archive import HOUR_MS, MemoryLog
from synthetic_play import Game, play_chunk

from generals_schemas.codec import encode_batch
from generals_schemas.records import Source
from generals_writer.build import LogRecord

START_MS = 1_750_000_000_000


@pytest.fixture(scope="module")
def log() -> MemoryLog:
    """Two chunks of two batches; a collector repeated the first chunk's last batch. The hours alternate."""
    game = Game(default_rng(0), "g", 4, 4)
    chunks = [play_chunk(game, 1, source=Source("transitions", "id", 0, offset, 0, 2)) for offset in (0, 1)]
    batches = [chunks[0][0], chunks[0][1], chunks[0][1], chunks[1][0], chunks[1][1]]
    return MemoryLog(
        [LogRecord(n, START_MS + (n % 2) * HOUR_MS, encode_batch(batch)) for n, batch in enumerate(batches)]
    )


def explored(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> Found:
    return Explorer(setup, cached_build(monkeypatch)).run()


def assert_always_once(found: Found) -> None:
    assert (found.lost, found.doubled, found.stuck) == (0, 0, 0), found
    assert found.clean > 50, found
    assert found.states > 2_000, found


def test_no_crash_and_no_lost_answer_loses_or_doubles_a_batch(log: MemoryLog, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_always_once(explored(Setup(log, writers=1, cuts=(1, 2, 5), faults=1, crashes=1), monkeypatch))


def test_no_rival_and_no_crash_loses_or_doubles_a_batch(log: MemoryLog, monkeypatch: pytest.MonkeyPatch) -> None:
    short = MemoryLog(log.records[:3])
    assert_always_once(explored(Setup(short, writers=2, cuts=(1, 3), faults=0, crashes=1), monkeypatch))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("writers", "faults", "crashes", "cuts"), [(1, 2, 2, (1, 2, 5)), (2, 1, 0, (2, 5))])
def test_nor_do_more_faults_at_once(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch, writers: int, faults: int, crashes: int, cuts: tuple[int, ...]
) -> None:
    assert_always_once(explored(Setup(log, writers, cuts, faults, crashes), monkeypatch))


def test_writers_that_do_not_claim_are_caught_with_doubled_rows(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = Setup(log, writers=1, cuts=(1, 2, 5), faults=0, crashes=1)
    assert explored(setup, monkeypatch).doubled == 0
    found = explored(replace(setup, claims=False), monkeypatch)
    assert found.doubled > 0, found
