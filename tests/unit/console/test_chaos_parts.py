"""The parts of chaos that decide what happens and what is counted."""

from dataclasses import replace
from pathlib import Path

import pytest
from numpy.random import default_rng
from synthetic_play import Game, play_chunk

from generals_client.positions import Mark, Position
from generals_console.chaos_plan import KINDS, plan
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
