"""Crashes, lost answers and rivals at every step of the protocol: the archive holds each experience once."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count, islice

import pytest
from numpy.random import default_rng
from simulated_archive import LOG, MemoryLog, MemoryStore, life, made_up_log, origin, run

from generals_schemas.codec import encode_batch
from generals_schemas.records import ExperienceBatch
from generals_writer.build import LogRecord, build
from generals_writer.claims import Claim, Cursor, Seal
from generals_writer.errors import ClaimConflict, CorruptObject, LogExpired
from generals_writer.formats import format_of
from generals_writer.formats.entries import log_order
from generals_writer.layout import CLAIMS, hour_of, parse_claim_key, seal_key
from generals_writer.publisher import Published, Publisher


def claims_of(store: MemoryStore) -> list[Claim]:
    keys = [key for key in sorted(store.objects) if key.startswith(CLAIMS) and parse_claim_key(key)]
    return [Claim.from_bytes(key, store.objects[key]) for key in keys]


def archived(store: MemoryStore) -> list[ExperienceBatch]:
    entries = []
    for key, data in store.objects.items():
        form = format_of(key)
        if form is not None:
            found = list(form.read(data))
            assert len({hour_of(entry.timestamp_ms) for entry in found}) == 1
            entries += found
    return [entry.batch for entry in log_order(entries)]


def assert_whole(store: MemoryStore, log: MemoryLog, expected: Sequence[ExperienceBatch]) -> None:
    assert [encode_batch(batch) for batch in archived(store)] == [encode_batch(batch) for batch in expected]
    position = 0
    promised = set()
    for claim in claims_of(store):
        assert claim.first == position
        seal = Seal.from_bytes("seal", store.objects[seal_key(LOG, claim.first)])
        assert [o.key for o in seal.objects] == [o.key for o in claim.objects]
        promised |= {o.key for o in claim.objects}
        position = claim.end
    assert position == log.end
    assert {key for key in store.objects if key.startswith("topic=")} == promised


@pytest.mark.parametrize("writers", [1, 2, 3])
def test_any_crash_any_lost_answer_and_any_rival_leave_each_experience_once(writers: int, seed: int) -> None:
    rng = default_rng([seed, writers])
    for _ in range(6):
        log, expected = made_up_log(rng, chunks=25)
        store = MemoryStore(rng, unreliable=0.1)
        lives = [life(store, log, rng, f"w{n}") for n in range(writers)]
        for _ in range(int(rng.integers(10, 120))):
            turn = int(rng.integers(writers))
            if rng.random() < 0.05:  # SIGKILL: whatever was done is done, nothing else happens
                lives[turn].close()
                lives[turn] = life(store, log, rng, f"w{turn}")
            next(lives[turn], None)
        store.unreliable = 0.0
        for survivor in lives:
            run(survivor)
        assert_whole(store, log, expected)


def test_a_kill_before_every_single_step_is_survived(seed: int) -> None:
    log, expected = made_up_log(default_rng(seed), chunks=8)
    for kill_at in count():
        store = MemoryStore()
        victim = life(store, log, default_rng(seed), "victim")
        steps = sum(1 for _ in islice(victim, kill_at))
        victim.close()
        run(life(store, log, default_rng(seed + 1), "heir"))
        assert_whole(store, log, expected)
        if steps < kill_at:  # it was through before it was to be killed
            break
    assert kill_at > 10


def test_segments_cut_differently_by_rivals_are_the_first_claimants(seed: int) -> None:
    log, expected = made_up_log(default_rng(seed), chunks=10)
    store = MemoryStore()
    first, second = Publisher(store, log, origin("first")), Publisher(store, log, origin("second"))
    cursors = [run(first.settle()), run(second.settle())]
    assert cursors == [Cursor(0), Cursor(0)]
    builds = [
        build(log.read(LOG, 0, end), before=Cursor(0), end=end, origin=origin(name), format_name="parquet")
        for name, end in (("first", 7), ("second", 11))
    ]
    claiming = first.publish(builds[0])
    assert next(claiming) == "claim"
    assert next(claiming).startswith(("store", "seal"))
    adopted = run(second.publish(builds[1]))
    assert isinstance(adopted, Published)
    assert (adopted.outcome, adopted.cursor.offset, adopted.claim.writer) == ("foreign", 7, "first")
    run(claiming)
    run(life(store, log, default_rng(seed), "second"))
    assert_whole(store, log, expected)


def test_a_topic_created_anew_is_refused_by_both_ids(seed: int) -> None:
    log, _ = made_up_log(default_rng(seed), chunks=3)
    store = MemoryStore()
    run(life(store, log, default_rng(seed), "w"))
    with pytest.raises(ClaimConflict, match=r"topic-id.*other-id"):
        run(Publisher(store, log, origin(topic_id="other-id")).settle())


def test_a_segment_that_a_crash_left_is_told_of_by_whoever_finishes_it_and_by_no_other(seed: int) -> None:
    log, _ = made_up_log(default_rng(seed), chunks=6)
    store, told = MemoryStore(), list[Published]()
    begun = Publisher(store, log, origin("victim")).publish(
        build(log.read(LOG, 0, 5), before=Cursor(0), end=5, origin=origin("victim"), format_name="parquet")
    )
    next(begun)
    next(begun)
    for _ in range(2):
        assert run(Publisher(store, log, origin("heir")).settle(told.append)).offset == 5
    assert [(published.outcome, published.claim.writer) for published in told] == [("resumed", "victim")]
    assert [stored.key for stored in told[0].stored] == [planned.key for planned in told[0].claim.objects]


def test_records_made_from_a_topic_created_anew_are_refused_by_both_ids(seed: int) -> None:
    log, expected = made_up_log(default_rng(seed), chunks=3)
    source = replace(expected[-1].source, topic_id="other-source", offset=0)
    other = LogRecord(log.end, 0, encode_batch(replace(expected[-1], source=source)))
    records, named = (
        [*log.records, other],
        rf"offset {log.end}: .* generals\.transitions with id other-source, .* source-id",
    )
    with pytest.raises(ClaimConflict, match=named):
        build(records, before=Cursor(0), end=log.end + 1, origin=origin(), format_name="parquet")
    before = build(log.records, before=Cursor(0), end=log.end, origin=origin(), format_name="parquet").claim.after
    with pytest.raises(ClaimConflict, match=named):
        build([other], before=before, end=log.end + 1, origin=origin(), format_name="parquet")


def test_a_claim_that_the_log_contradicts_is_refused(seed: int) -> None:
    rng = default_rng(seed)
    log, _ = made_up_log(rng, chunks=6)
    store = MemoryStore()
    begun = Publisher(store, log, origin()).publish(
        build(log.read(LOG, 0, 5), before=Cursor(0), end=5, origin=origin(), format_name="parquet")
    )
    next(begun)
    next(begun)
    other, _ = made_up_log(rng, chunks=6)
    other.records = other.records[1:]
    with pytest.raises(
        ClaimConflict, match=r"with other .*counts.*the log has been changed.*give this one an empty destination"
    ):
        run(Publisher(store, other, origin("heir")).settle())


def test_a_begun_claim_whose_records_have_expired_is_an_error(seed: int) -> None:
    log, _ = made_up_log(default_rng(seed), chunks=6)
    store = MemoryStore()
    begun = Publisher(store, log, origin()).publish(
        build(log.read(LOG, 0, 5), before=Cursor(0), end=5, origin=origin(), format_name="parquet")
    )
    next(begun)
    next(begun)
    log.first = 2
    with pytest.raises(LogExpired):
        run(Publisher(store, log, origin("heir")).settle())


def test_offsets_that_expired_before_they_were_archived_are_claimed_as_such(seed: int) -> None:
    log, _ = made_up_log(default_rng(seed), chunks=6)
    store = MemoryStore()
    publisher = Publisher(store, log, origin())
    cursor = run(publisher.settle())
    assert isinstance(cursor, Cursor)
    run(publisher.publish(publisher.expired(cursor, 4, "npz")))
    (claim,) = claims_of(store)
    assert (claim.counts.expired, claim.counts.records, claim.objects, claim.end, claim.format) == (4, 0, (), 4, "npz")
    log.first = 4
    after = run(Publisher(store, log, origin()).settle())
    assert isinstance(after, Cursor)
    assert after.offset == 4


def test_a_foreign_file_in_an_objects_place_stops_the_writer_and_is_not_overwritten(seed: int) -> None:
    log, _ = made_up_log(default_rng(seed), chunks=4)
    store = MemoryStore()
    built = build(log.read(LOG, 0, 5), before=Cursor(0), end=5, origin=origin(), format_name="parquet")
    key = built.objects[0][0].key
    store.objects[key] = b"something else"
    with pytest.raises(CorruptObject, match="in the way"):
        run(Publisher(store, log, origin()).publish(built))
    assert store.objects[key] == b"something else"


def test_an_unreadable_record_is_counted_and_the_rest_is_archived(seed: int) -> None:
    log, expected = made_up_log(default_rng(seed), chunks=6)
    log.records[3] = type(log.records[3])(log.records[3].offset, 0, log.records[3].value[:-1] + b"\x00\x01")
    store = MemoryStore()
    run(life(store, log, default_rng(seed), "w"))
    assert sum(claim.counts.unreadable for claim in claims_of(store)) == 1
    assert len(archived(store)) >= len(expected) - 1


def test_counts_add_up_and_rejected_markers_make_no_row(seed: int) -> None:
    log, expected = made_up_log(default_rng(seed), chunks=30)
    built = build(log.records, before=Cursor(0), end=log.end, origin=origin(), format_name="parquet")
    counts = built.claim.counts
    assert counts.records == len(log.records) == counts.batches + counts.repeats + counts.rejected
    assert counts.batches == len(expected)
    assert counts.rows == sum(batch.steps for batch in expected)
    assert counts.lost == 0
    assert built.claim.rejected_reasons == ({"checksum": counts.rejected} if counts.rejected else {})
