"""Verify names what is wrong, repair mends it from the log, compact and prune change nothing that they should not."""

import io
import json
import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.random import default_rng
from simulated_archive import LOG, MemoryLog, MemoryStore, life, made_up_log, origin, run

from generals_client.batch import flat
from generals_client.positions import Position
from generals_runtime.objects import open_store
from generals_schemas.codec import encode_batch
from generals_schemas.records import ExperienceBatch
from generals_writer import archive, compaction
from generals_writer.archive import Wanted, compact, export, ls, prune, read, read_entries, repair, verify
from generals_writer.build import build
from generals_writer.catalog import read_chains
from generals_writer.claims import Claim
from generals_writer.errors import ArchiveError, CorruptObject, LogExpired
from generals_writer.formats import get_format, parquet, states
from generals_writer.generations import Generation, Overtaken, publish_generation
from generals_writer.index import INDEX, add_to_indices, read_index
from generals_writer.layout import CLAIMS, HOUR_MS, beginning_key, claim_key, generation_key, hour_of, seal_key
from generals_writer.publisher import Publisher

TOPIC = LOG.topic
ALL = Wanted()


class Archive:
    """A whole archive of a made-up log."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        rng = default_rng(seed)
        self.log, self.expected = made_up_log(rng, chunks=30)
        self.store = MemoryStore()
        run(life(self.store, self.log, rng, "w"))

    @property
    def objects(self) -> list[str]:
        return [held.key for chain in read_chains(self.store) for held in chain.held()]

    def claims(self) -> list[Claim]:
        return [segment.claim for chain in read_chains(self.store) for segment in chain.segments]

    def glob_rows(self) -> int:
        """As a reader counts who takes every Parquet file in the folders."""
        files = [data for key, data in self.store.objects.items() if key.endswith(".parquet")]
        return sum(pq.ParquetFile(io.BytesIO(data)).metadata.num_rows for data in files)


_made: list[Archive] = []


@pytest.fixture
def whole(seed: int) -> Archive:
    """A copy of one archive, made by the first test that asks."""
    if not _made:
        _made.append(Archive(seed))
    print(f"GENERALS_TEST_SEED={_made[0].seed} makes this archive")  # noqa: T201 - shown if the test fails
    return deepcopy(_made[0])


def records(batches: Sequence[ExperienceBatch]) -> list[bytes]:
    return [encode_batch(batch) for batch in batches]


def in_order(store: MemoryStore, wanted: Wanted = ALL) -> list[bytes]:
    return [encode_batch(entry.batch) for _, entry in read_entries(store, TOPIC, wanted=wanted)]


class BoundedLog(MemoryLog):
    def bounds(self, log: object) -> tuple[int, int]:
        return self.first, self.end


def test_a_whole_archive_is_clean_and_counts_every_row(whole: Archive) -> None:
    report = verify(whole.store, log=BoundedLog(whole.log.records))
    assert report.clean
    assert report.problems == []
    assert report.rows == sum(batch.steps for batch in whole.expected) == whole.glob_rows()
    assert (report.behind, report.pending, report.objects) == (0, 0, len(whole.objects))
    assert json.loads(json.dumps(report.to_json()))["missing"] == 0


def test_verify_says_how_far_the_archive_is_behind_the_log(whole: Archive) -> None:
    last = whole.claims()[-1]
    for key in (claim_key(LOG, last.first), seal_key(LOG, last.first), *(planned.key for planned in last.objects)):
        del whole.store.objects[key]
    report = verify(whole.store, log=BoundedLog(whole.log.records))
    assert report.clean
    assert report.behind == last.end - last.first


def flip_a_byte(whole: Archive) -> str:
    key = whole.objects[len(whole.objects) // 2]
    data = bytearray(whole.store.objects[key])
    data[len(data) // 2] ^= 4
    whole.store.objects[key] = bytes(data)
    return key


def cut_an_object(whole: Archive) -> str:
    key = whole.objects[0]
    whole.store.objects[key] = whole.store.objects[key][:-9]
    return key


def lose_an_object(whole: Archive) -> str:
    key = whole.objects[-1]
    del whole.store.objects[key]
    return key


def lose_a_claim(whole: Archive) -> str:
    key = claim_key(LOG, whole.claims()[1].first)
    del whole.store.objects[key]
    return key


def lose_two_claims_and_their_seals(whole: Archive) -> str:
    first, second = whole.claims()[1:3]
    for claim in (first, second):
        del whole.store.objects[claim_key(LOG, claim.first)]
    del whole.store.objects[seal_key(LOG, first.first)]
    return claim_key(LOG, first.first)


def damage_a_claim(whole: Archive) -> str:
    key = claim_key(LOG, whole.claims()[1].first)
    whole.store.objects[key] = b"{}"
    return key


def lose_a_seal(whole: Archive) -> str:
    key = seal_key(LOG, whole.claims()[0].first)
    del whole.store.objects[key]
    return key


def damage_a_seal(whole: Archive) -> str:
    key = seal_key(LOG, whole.claims()[0].first)
    whole.store.objects[key] = whole.store.objects[key][:30]
    return key


def lose_the_beginning(whole: Archive) -> str:
    del whole.store.objects[beginning_key(LOG)]
    return beginning_key(LOG)


DAMAGE = [
    flip_a_byte,
    cut_an_object,
    lose_an_object,
    lose_a_claim,
    lose_two_claims_and_their_seals,
    damage_a_claim,
    lose_a_seal,
    damage_a_seal,
    lose_the_beginning,
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named_and_repaired_from_the_log(whole: Archive, damage: Callable[[Archive], str]) -> None:
    before = dict(whole.store.objects)
    where = damage(whole)
    report = verify(whole.store)
    assert not report.clean
    assert where in [problem.where for problem in report.problems]
    mended = repair(whole.store, whole.log)
    assert mended.clean, mended.failed
    assert where in mended.repaired
    assert verify(whole.store).problems == []
    assert in_order(whole.store) == records(whole.expected)
    claims = {key for key in before if key.startswith(CLAIMS)}
    assert {key: data for key, data in whole.store.objects.items() if key not in claims} == {
        key: data for key, data in before.items() if key not in claims
    }


@pytest.mark.parametrize("compacted", [False, True])
def test_objects_that_another_version_of_a_library_makes_again_are_sealed_as_they_are(
    whole: Archive, compacted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if compacted:
        compact(whole.store, merged_rows=40)
    else:
        assert max(len(claim.objects) for claim in whole.claims()) > 1
    lost = {key: whole.store.objects.pop(key) for key in whole.objects}
    monkeypatch.setattr(parquet, "_STATISTICS", False)
    mended = repair(whole.store, whole.log)
    assert mended.clean, mended.failed
    assert mended.repaired == list(lost)
    assert all(whole.store.objects[key] != data for key, data in lost.items())
    assert verify(whole.store).problems == []
    assert in_order(whole.store) == records(whole.expected)


def test_what_the_log_no_longer_holds_cannot_be_repaired_and_is_named(whole: Archive) -> None:
    where = cut_an_object(whole)
    whole.log.first = whole.log.end
    mended = repair(whole.store, whole.log)
    assert [(problem.kind, problem.where) for problem in mended.failed] == [("missing", where)]


def test_an_object_that_no_claim_names_is_stray_but_harms_nobody(whole: Archive) -> None:
    key = whole.objects[0].replace("-0-", "-7-")
    whole.store.objects[key] = whole.store.objects[whole.objects[0]]
    report = verify(whole.store)
    assert report.clean
    assert [problem.where for problem in report.problems] == [key]
    assert in_order(whole.store) == records(whole.expected)


@pytest.mark.parametrize("name", ["²", "٣", "-1"])
def test_a_name_whose_number_is_none_is_nobodys(whole: Archive, name: str) -> None:
    for folder in (claim_key(LOG, 0), seal_key(LOG, 0), generation_key(LOG, 0)):
        whole.store.objects[folder.rpartition("/")[0] + f"/{name}.json"] = b"not ours"
    whole.store.objects[f"{CLAIMS}{TOPIC}/{name}/{0:020d}.json"] = b"not ours"
    whole.store.objects[whole.objects[0].rpartition("/")[0] + f"/{TOPIC}-0-{name}.parquet"] = b"not ours"
    where = lose_a_claim(whole)  # whose end is looked for among all names
    assert where in repair(whole.store, whole.log).repaired
    assert verify(whole.store).clean
    assert in_order(whole.store) == records(whole.expected)


def test_rows_that_are_there_twice_are_counted(whole: Archive) -> None:
    """As if a writer had claimed what was claimed before: forged from the last segment, one offset further."""
    last = whole.claims()[-1]
    raw = json.loads(whole.store.objects[claim_key(LOG, last.first)])
    seal = json.loads(whole.store.objects[seal_key(LOG, last.first)])
    raw["before"], raw["after"] = raw["after"], {**raw["after"], "offset": last.end + last.end - last.first}
    seal["first"], seal["end"] = last.end, raw["after"]["offset"]
    renamed = {planned.key: planned.key.replace(f"{last.first:020d}", f"{last.end:020d}") for planned in last.objects}
    for part in (*raw["objects"], *seal["objects"]):
        whole.store.objects[renamed[part["key"]]] = whole.store.objects[part["key"]]
        part["key"] = renamed[part["key"]]
    whole.store.objects[claim_key(LOG, last.end)] = json.dumps(raw).encode()
    whole.store.objects[seal_key(LOG, last.end)] = json.dumps(seal).encode()
    report = verify(whole.store)
    assert report.duplicate == last.counts.rows
    assert (report.missing, report.corrupt) == (0, 0)


def test_reading_back_in_the_order_of_the_log_gives_exactly_what_was_sent(
    whole: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_order(whole.store) == records(whole.expected)
    monkeypatch.setattr("generals_writer.reading.PACK_ABOVE_ROWS", 1)
    assert in_order(whole.store) == records(whole.expected)


def test_other_orders_give_the_same_batches(whole: Archive) -> None:
    for order, seed in (("stored", 0), ("shuffled", 1), ("shuffled", 2)):
        found = read_entries(whole.store, TOPIC, order=order, seed=seed)  # type: ignore[arg-type]
        assert sorted(encode_batch(entry.batch) for _, entry in found) == sorted(records(whole.expected))


def test_flat_batches_hold_the_values_of_the_stream(whole: Archive) -> None:
    batches = list(read(whole.store, TOPIC, batch_size=16))
    assert sum(len(batch) for batch in batches) == sum(batch.steps for batch in whole.expected)
    by_key = {
        (game, int(player), int(tick)): (batch, row)
        for batch in batches
        for row, (game, player, tick) in enumerate(zip(batch.game_id, batch.player, batch.tick, strict=True))
    }
    for record in whole.expected[:12]:
        one = flat(record)
        for row in range(len(one)):
            batch, at = by_key[record.game_id, record.player, record.first_tick + row]
            np.testing.assert_array_equal(batch.state[at], one.state[row])
            np.testing.assert_array_equal(batch.next_state[at], one.next_state[row])
            assert (batch.action[at], batch.reward[at]) == (one.action[row], one.reward[row])


def test_reading_by_game_player_partition_and_time(whole: Archive) -> None:
    game, player = whole.expected[0].game_id, 1
    found = in_order(whole.store, Wanted.of(game_ids=[game], players=[player]))
    assert found == records([b for b in whole.expected if (b.game_id, b.player) == (game, player)])
    assert in_order(whole.store, Wanted.of(partitions=[1])) == []
    middle = sorted(record.timestamp_ms for record in whole.log.records)[len(whole.log.records) // 2]
    early = in_order(whole.store, Wanted.of(until_ms=middle))
    late = in_order(whole.store, Wanted.of(since_ms=middle))
    assert sorted(early + late) == sorted(records(whole.expected))
    assert early
    assert late


def test_a_damaged_object_stops_a_reader(whole: Archive) -> None:
    flip_a_byte(whole)
    with pytest.raises(CorruptObject, match="not what was sealed"):
        in_order(whole.store)


def test_the_position_behind_the_archive_is_exact(whole: Archive) -> None:
    (position,) = archive.positions(whole.store, TOPIC)
    last = whole.expected[-1].source
    assert (position.offset, position.source_id) == (whole.log.end, "source-id")
    assert position.mark is not None
    assert position.mark.offset >= last.offset


def test_a_reader_goes_no_further_than_the_position_that_others_go_on_from(whole: Archive) -> None:
    end = whole.claims()[len(whole.claims()) // 2].first  # where the archive ended while a writer was at work
    every = {entry.offset: encode_batch(entry.batch) for _, entry in read_entries(whole.store, TOPIC)}
    expected = [record for offset, record in every.items() if offset < end]
    assert 0 < len(expected) < len(every)
    for prepare in (lambda: None, lambda: compact(whole.store)):  # merged objects reach beyond it
        prepare()
        found = read_entries(whole.store, TOPIC, until=[Position(TOPIC, 0, end)])
        assert [encode_batch(entry.batch) for _, entry in found] == expected
    assert list(read_entries(whole.store, TOPIC, until=[Position(TOPIC, 1, 99)])) == []


def test_ls_counts_by_hour_and_partition(whole: Archive) -> None:
    listing = ls(whole.store)
    assert listing.rows == sum(batch.steps for batch in whole.expected)
    assert [hour.folder for hour in listing.hours] == sorted({key.rpartition("/")[0] + "/" for key in whole.objects})
    (partition,) = listing.partitions
    assert (partition.first, partition.end, partition.pending) == (0, whole.log.end, 0)
    json.dumps(listing.to_json())


class TestCompact:
    """Fewer objects, the same rows."""

    def test_small_objects_become_one_an_hour_and_every_reader_agrees(self, whole: Archive) -> None:
        hours = {hour_of(record.timestamp_ms) for record in whole.log.records}
        before = len(whole.objects)
        report = compact(whole.store)
        assert report.merged > report.objects > 0
        assert len(whole.objects) == before - report.merged + report.objects <= 2 * len(hours)
        assert whole.glob_rows() == sum(batch.steps for batch in whole.expected)
        assert in_order(whole.store) == records(whole.expected)
        found = verify(whole.store)
        assert found.problems == []
        assert found.rows == sum(batch.steps for batch in whole.expected)

    def test_what_is_compact_is_left_alone(self, whole: Archive) -> None:
        compact(whole.store)
        before = dict(whole.store.objects)
        assert compact(whole.store).merged == 0
        assert whole.store.objects == before

    def test_merged_objects_can_be_merged_again(self, whole: Archive) -> None:
        compact(whole.store, merged_rows=12)
        compact(whole.store)
        assert in_order(whole.store) == records(whole.expected)
        assert verify(whole.store).problems == []
        assert whole.glob_rows() == sum(batch.steps for batch in whole.expected)

    def test_a_crash_before_the_small_ones_are_emptied_is_finished_by_the_next(
        self, whole: Archive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(compaction, "_empty", lambda *_: None)
            compact(whole.store)
        assert verify(whole.store).clean
        assert in_order(whole.store) == records(whole.expected)
        assert compact(whole.store).emptied > 0
        assert whole.glob_rows() == sum(batch.steps for batch in whole.expected)

    def test_of_two_at_once_one_is_told_and_leaves_nothing_behind(
        self, whole: Archive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Both store what they merged before the first is in force; the second knows of a segment more."""
        last = whole.claims()[-1]
        names = [claim_key(LOG, last.first), seal_key(LOG, last.first), *(planned.key for planned in last.objects)]
        held_back = {key: whole.store.objects.pop(key) for key in names}
        waiting: list[Generation] = []

        def publish(store: MemoryStore, generation: Generation) -> None:
            waiting.append(generation)
            if len(waiting) == 1:
                store.objects.update(held_back)
                with pytest.raises(Overtaken):
                    compact(store)
            publish_generation(store, waiting[0])
            publish_generation(store, generation)

        monkeypatch.setattr(compaction, "publish_generation", publish)
        compact(whole.store)
        assert len(waiting) == 2
        assert verify(whole.store).problems == []
        assert in_order(whole.store) == records(whole.expected)
        assert whole.glob_rows() == sum(batch.steps for batch in whole.expected)

    def test_what_a_crash_left_unnamed_is_taken_away_by_the_next(
        self, whole: Archive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def crash(*_: object) -> None:
            raise KeyboardInterrupt

        before = set(whole.store.objects)
        with monkeypatch.context() as patch:
            patch.setattr(compaction, "publish_generation", crash)
            with pytest.raises(KeyboardInterrupt):
                compact(whole.store)
        left = set(whole.store.objects) - before
        for key in left:  # earlier versions gave names without what is behind the generation's number
            whole.store.objects[re.sub(r"-g1-\w+", "-g1", key)] = whole.store.objects[key]
        compact(whole.store)
        assert verify(whole.store).problems == []
        assert left
        assert not left & set(whole.store.objects)
        assert whole.glob_rows() == sum(batch.steps for batch in whole.expected)

    def test_a_writer_asleep_since_before_cannot_store_a_merged_object_again(self, whole: Archive) -> None:
        old = dict(whole.store.objects)
        compact(whole.store)
        for key in old:
            assert key in whole.store.objects

    def test_a_damaged_merged_object_is_repaired_from_the_log(self, whole: Archive) -> None:
        compact(whole.store)
        before = dict(whole.store.objects)
        where = flip_a_byte(whole)
        assert [problem.where for problem in verify(whole.store).problems] == [where]
        assert repair(whole.store, whole.log).repaired == [where]
        assert whole.store.objects == before


@pytest.mark.parametrize("damage", [lose_a_claim, lose_two_claims_and_their_seals, lose_a_seal, damage_a_seal])
@pytest.mark.parametrize("pruned", [False, True])
def test_repair_does_not_bring_back_what_was_merged_or_pruned(
    whole: Archive, damage: Callable[[Archive], str], pruned: bool
) -> None:
    compact(whole.store, merged_rows=12 if pruned else compaction.MERGED_ROWS)
    if pruned:
        hours = sorted({hour_of(record.timestamp_ms) for record in whole.log.records})
        prune(whole.store, before_ms=hours[len(hours) // 2] * HOUR_MS)
    there, rows = {key for key in whole.store.objects if key.endswith(".parquet")}, whole.glob_rows()
    where = damage(whole)
    mended = repair(whole.store, whole.log)
    assert mended.clean, mended.failed
    assert where in mended.repaired
    assert {key for key in whole.store.objects if key.endswith(".parquet")} == there
    assert whole.glob_rows() == rows
    assert verify(whole.store).problems == []


class TestPrune:
    """Old hours go, the rest stays, and nothing counts as missing."""

    def split(self, whole: Archive) -> int:
        hours = sorted({hour_of(record.timestamp_ms) for record in whole.log.records})
        return hours[len(hours) // 2] * HOUR_MS

    @pytest.mark.parametrize("compacted", [False, True])
    def test_old_hours_are_moved_and_the_rest_is_read_as_before(self, whole: Archive, compacted: bool) -> None:
        if compacted:
            compact(whole.store)
        border, attic = self.split(whole), MemoryStore()
        report = prune(whole.store, before_ms=border, move_to=attic)
        found = verify(whole.store)
        assert found.problems == []
        assert found.pruned == report.rows > 0
        kept = in_order(whole.store)
        assert kept == [record for record in records(whole.expected) if record in set(kept)]
        moved = [e for key in attic.objects for e in get_format("parquet").read(attic.objects[key])]
        assert all(hour_of(entry.timestamp_ms) * HOUR_MS < border for entry in moved)
        assert sorted(kept + records([entry.batch for entry in moved])) == sorted(records(whole.expected))
        assert whole.glob_rows() == found.rows

    def test_a_dry_run_changes_nothing(self, whole: Archive) -> None:
        before = dict(whole.store.objects)
        report = prune(whole.store, before_ms=self.split(whole), dry_run=True)
        assert report.objects > 0
        assert whole.store.objects == before

    def test_compacting_after_pruning_works(self, whole: Archive) -> None:
        compact(whole.store, merged_rows=12)
        prune(whole.store, before_ms=self.split(whole))
        compact(whole.store)
        assert verify(whole.store).problems == []


def test_export_writes_the_wanted_rows_in_another_place_once(whole: Archive, tmp_path: Path) -> None:
    target = open_store(tmp_path)
    game = whole.expected[0].game_id
    report = export(whole.store, target, TOPIC, wanted=Wanted.of(game_ids=[game]), rows=10)
    found = [e.batch for key in report.objects for e in get_format("parquet").read(target.get(key))]
    assert sorted(records(found)) == sorted(records([b for b in whole.expected if b.game_id == game]))
    with pytest.raises(ArchiveError, match="empty folder"):
        export(whole.store, target, TOPIC)


def test_indices_are_added_to_and_can_be_made_anew(whole: Archive) -> None:
    for chain in read_chains(whole.store):
        for segment in chain.segments:
            add_to_indices(whole.store, segment.claim, segment.stored().values())
    added = {key: data for key, data in whole.store.objects.items() if key.endswith(INDEX)}
    assert len(added) == len({key.rpartition("/")[0] for key in whole.objects})
    for key in added:
        whole.store.objects[key] = b"damaged"
    assert archive.rebuild_indices(whole.store) == sorted(added)
    assert {key: data for key, data in whole.store.objects.items() if key.endswith(INDEX)} == added
    folder = whole.objects[0].rpartition("/")[0] + "/"
    entry = read_index(whole.store, folder)[whole.objects[0].removeprefix(folder)]
    assert entry["rows"] > 0
    assert entry["bytes"] == len(whole.store.objects[whole.objects[0]])


def test_a_log_that_has_lost_records_says_so() -> None:
    with pytest.raises(LogExpired):
        MemoryLog([], first=5).read(LOG, 0, 3)


def npz_archive(seed: int) -> MemoryStore:
    """Small NPZ objects of a made-up log."""
    log, _ = made_up_log(default_rng(seed), chunks=12)
    store = MemoryStore()
    publisher = Publisher(store, log, origin("w"))
    cursor = run(publisher.settle())
    while cursor.offset < log.end:
        end = min(log.end, cursor.offset + 6)
        records = log.read(LOG, cursor.offset, end)
        cursor = run(
            publisher.publish(build(records, before=cursor, end=end, origin=origin("w"), format_name="npz"))
        ).cursor
    return store


def test_a_merged_object_that_cannot_be_read_replaces_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    store = npz_archive(seed)
    expected = in_order(store)

    with monkeypatch.context() as patch:
        patch.setattr(states, "offsets_of", lambda lengths: np.zeros(len(lengths) + 1, np.int32))
        with pytest.raises(CorruptObject):
            compact(store, TOPIC)
    assert in_order(store) == expected
    assert compact(store, TOPIC).merged > 1
    assert in_order(store) == expected
    assert verify(store, TOPIC).clean


def test_a_time_off_the_calendar_is_of_its_last_hour(seed: int) -> None:
    log, batches = made_up_log(default_rng(seed), chunks=3)
    microseconds = [replace(record, timestamp_ms=1_750_000_000_000_000) for record in log.read(LOG, 0, log.end)]
    store = MemoryStore()
    run(life(store, MemoryLog(microseconds), default_rng(seed), "w"))
    assert in_order(store) == records(batches)
    assert all(
        "/year=9999/month=12/day=31/hour=23/" in held.key for chain in read_chains(store) for held in chain.held()
    )
