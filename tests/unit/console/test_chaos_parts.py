"""The parts of chaos that decide what happens and what is counted."""

import os
import platform
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from numpy.random import default_rng
from synthetic_play import Game, play_chunk

from generals_client.positions import Mark, Position
from generals_console.chaos_clocks import Clocks, find_libfaketime
from generals_console.chaos_plan import CLOCK_JUMP, FARTHEST_JUMP_S, KINDS, plan
from generals_console.chaos_reader import Counts, Saved
from generals_schemas.records import ExperienceBatch, Source

SERVICES = ["engine", "collector", "writer", "reader", "broker"]


def batches(chunks: int) -> list[ExperienceBatch]:
    game = Game(default_rng(5), "g", 6, 6)
    source = Source("transitions", "id", 0, 0, 0, 2)
    return [batch for n in range(chunks) for batch in play_chunk(game, 4, source=replace(source, offset=n))]


def test_the_same_seed_gives_the_same_faults(seed: int) -> None:
    assert plan(seed, 300, 10, SERVICES) == plan(seed, 300, 10, SERVICES)
    assert plan(seed, 300, 10, SERVICES) != plan(seed + 1, 300, 10, SERVICES)


def test_faults_come_in_order_at_the_rate_asked_for_and_only_to_who_is_there(seed: int) -> None:
    faults = plan(seed, 600, 20, SERVICES)
    assert len(faults) == 200
    assert [fault.at_s for fault in faults] == sorted(fault.at_s for fault in faults)
    assert all(0 <= fault.at_s <= 600 and fault.target in SERVICES for fault in faults)


def test_each_kind_comes_once_before_any_comes_again(seed: int) -> None:
    kinds = {(kind.name, kind.target) for kind in KINDS if kind.target in SERVICES}
    faults = plan(seed, 60, len(kinds), SERVICES)
    assert {(fault.kind, fault.target) for fault in faults} == kinds


def test_only_clocks_jump_and_not_where_they_cannot(seed: int) -> None:
    faults = plan(seed, 600, 40, SERVICES)
    jumps = [abs(fault.jump_s) for fault in faults if fault.kind == CLOCK_JUMP]
    assert jumps
    assert max(jumps) <= FARTHEST_JUMP_S
    assert not any(fault.jump_s for fault in faults if fault.kind != CLOCK_JUMP)
    assert not any(fault.kind == CLOCK_JUMP for fault in plan(seed, 600, 40, SERVICES, (CLOCK_JUMP,)))


TELL = """
import sys, time
for _ in sys.stdin:
    print(time.time(), time.monotonic(), flush=True)
"""


# Where there is a wheel the test always runs; elsewhere requirements-dev.txt leaves libfaketime out, and chaos says so.
@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="libfaketime has a wheel for Linux on x86-64 only"
)
def test_a_process_sees_its_clock_jump_and_its_waits_stay_right(tmp_path: Path) -> None:
    library = find_libfaketime()
    assert library is not None
    clocks = Clocks(library, tmp_path)
    environment = {**os.environ, **clocks.environment("one"), "FAKETIME_NO_CACHE": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", TELL], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for by_s in (0.0, -2700.0, 1800.0, 0.0):
            clocks.step("one", by_s)
            process.stdin.write("tell\n")
            process.stdin.flush()
            told, waited = map(float, process.stdout.readline().split())
            assert told - time.time() == pytest.approx(by_s, abs=20)
            assert waited == pytest.approx(time.monotonic(), abs=20)
        process.stdin.close()


def test_a_plan_without_targets_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        plan(1, 60, 10, [])


def test_the_reader_counts_a_tick_that_comes_again_and_one_that_is_left_out() -> None:
    first, _, second, _, third, _ = batches(3)
    counts = Counts()
    for batch in (first, second):
        counts.add(batch)
    assert (counts.experiences, counts.duplicates, counts.missing) == (8, 0, 0)
    counts.add(second)
    assert (counts.duplicates, counts.missing) == (4, 0)
    counts = Counts()
    for batch in (first, third):
        counts.add(batch)
    assert (counts.duplicates, counts.missing) == (0, 4)


def test_a_game_whose_beginning_is_missing_is_counted() -> None:
    counts = Counts()
    counts.add(batches(2)[2])
    assert counts.missing == 4


def test_the_reader_saves_counts_and_positions_together(tmp_path: Path) -> None:
    path = tmp_path / "reader.json"
    assert Saved.read(path) == Saved(Counts(), [])
    counts = Counts()
    counts.add(batches(1)[0])
    saved = Saved(counts, [Position("t", 0, 7, Mark(3, 0, 2), "id")])
    saved.write(path)
    assert Saved.read(path) == saved
