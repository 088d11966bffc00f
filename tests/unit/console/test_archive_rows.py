"""What the audit sees of an archive: rows of every format, what was pruned, and claims that are gone."""

from pathlib import Path

import pytest
from numpy.random import default_rng
from simulated_archive import LOG, MemoryLog, made_up_log, origin, run

from generals_console.archive_rows import archived_rows
from generals_runtime.objects import ObjectStore, open_store
from generals_schemas.records import ExperienceBatch
from generals_writer.archive import prune
from generals_writer.build import build
from generals_writer.catalog import read_chains
from generals_writer.formats import FORMAT_NAMES
from generals_writer.layout import HOUR_MS, claim_key, hour_of
from generals_writer.publisher import Publisher

SEGMENT = 20


def write(store: ObjectStore, log: MemoryLog, format_name: str) -> None:
    """Archive the whole log, in segments of twenty offsets."""
    publisher = Publisher(store, log, origin())
    cursor = run(publisher.settle())
    while cursor.offset < log.end:
        end = min(log.end, cursor.offset + SEGMENT)
        records = log.read(LOG, cursor.offset, end)
        built = build(records, before=cursor, end=end, origin=origin(), format_name=format_name)
        cursor = run(publisher.publish(built)).cursor


@pytest.fixture
def made(seed: int) -> tuple[MemoryLog, list[ExperienceBatch]]:
    return made_up_log(default_rng(seed), chunks=40)


@pytest.mark.parametrize("format_name", FORMAT_NAMES)
def test_rows_of_every_format_are_counted(
    format_name: str, made: tuple[MemoryLog, list[ExperienceBatch]], tmp_path: Path
) -> None:
    log, batches = made
    write(open_store(tmp_path), log, format_name)
    rows = archived_rows(tmp_path, LOG.topic)
    found = zip([rows.game_ids[n] for n in rows.games], rows.players.tolist(), rows.ticks.tolist(), strict=True)
    assert sorted(found) == sorted((b.game_id, b.player, b.first_tick + n) for b in batches for n in range(b.steps))
    assert (rows.starts, rows.ends, rows.pruned, rows.expired, rows.damage) == ({0: 0}, {0: log.end}, [], 0, [])


def test_what_was_pruned_is_named_by_hour_and_offsets(
    made: tuple[MemoryLog, list[ExperienceBatch]], tmp_path: Path
) -> None:
    log, _ = made
    store = open_store(tmp_path)
    write(store, log, "parquet")
    hour = sorted(hour_of(record.timestamp_ms) for record in log.records)[len(log.records) // 2]
    gone = prune(store, before_ms=hour * HOUR_MS)
    rows = archived_rows(tmp_path, LOG.topic)
    assert gone.objects == len(rows.pruned) > 0
    assert all(one.hour < hour and 0 <= one.first <= one.last < log.end for one in rows.pruned)
    assert rows.damage == []


@pytest.mark.parametrize("which", [0, 1])
def test_a_claim_that_is_gone_is_damage_whether_the_first_or_one_between(
    which: int, made: tuple[MemoryLog, list[ExperienceBatch]], tmp_path: Path
) -> None:
    log, _ = made
    store = open_store(tmp_path)
    write(store, log, "parquet")
    (chain,) = read_chains(store)
    store.delete(claim_key(LOG, chain.segments[which].claim.first))
    rows = archived_rows(tmp_path, LOG.topic)
    assert len(rows.damage) == 1
    assert rows.starts == {0: 0}, "what it claimed is still wanted"
