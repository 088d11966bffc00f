"""`ExperienceStream` on a real broker: each experience once, from wherever one starts, whoever else reads."""

import threading
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from experience_keys import Keys, expected, keys, two_partitions
from synthetic_play import play

from generals_client import ExperienceStream, Position, PositionLost, TopicMissing


def test_every_experience_comes_once_in_batches_of_one_board_size(rng: Any, produce: Any, stream: Any) -> None:
    records = two_partitions(rng)
    produce(records)
    with stream(batch_size=64) as reader:
        batches = list(reader)
    assert Counter(keys(batches)) == Counter(expected(records))
    assert max(len(batch) for batch in batches) == 64
    for batch in batches:
        shape = (len(batch), 9, batch.height, batch.width)
        assert batch.state.shape == batch.next_state.shape == shape
        assert batch.state.dtype == np.float32
        assert batch.action_mask.shape == batch.next_action_mask.shape == (len(batch), 8 * shape[2] * shape[3] + 1)
        assert batch.action_mask[np.arange(len(batch)), batch.action].all()
        assert batch.truncated.sum() == sum(t % 60 == 59 for t in batch.tick.tolist())


def test_the_arrays_of_a_record_are_those_that_were_written(rng: Any, produce: Any, stream: Any) -> None:
    (record, _) = play(rng, games=1, chunks=1, ticks=9)
    produce([record])
    with stream(max_wait_s=0.1) as reader:
        (batch,) = list(reader)
    np.testing.assert_array_equal(batch.reward, record.rewards)
    np.testing.assert_array_equal(batch.action, record.actions)
    np.testing.assert_array_equal(batch.state[1:], batch.next_state[:-1])
    np.testing.assert_array_equal(batch.state[:, 0].max(axis=(1, 2)) > 0, np.full(9, True))
    assert batch.policy.tolist() == ["expander"] * 9
    assert batch.reward_name.tolist() == ["standard"] * 9
    assert set(batch.source_offset.tolist()) == {0}


def test_repeats_are_dropped_and_counted(rng: Any, produce: Any, stream: Any) -> None:
    records = list(play(rng, games=2, chunks=4, ticks=10))
    produce(records[:7] + records[3:9] + records)
    with stream() as reader:
        assert Counter(keys(reader)) == Counter(expected(records))
        assert reader.stats.repeats == 4 + 9
        assert reader.stats.lost_chunks == 0


def test_filters_keep_only_the_games_and_players_asked_for(rng: Any, produce: Any, stream: Any) -> None:
    records = two_partitions(rng)
    produce(records)
    game = records[0].game_id
    with stream(game_ids=[game], players=[1]) as reader:
        assert keys(reader) == expected(r for r in records if r.game_id == game and r.player == 1)


def test_a_sample_is_a_share_of_the_steps_and_the_same_at_every_replay(rng: Any, produce: Any, stream: Any) -> None:
    records = two_partitions(rng)
    produce(records)
    with stream("a", sample_fraction=0.3) as first, stream("b", sample_fraction=0.3) as second:
        sample = keys(first)
        assert Counter(sample) == Counter(keys(second))
    assert 0.15 < len(sample) / len(expected(records)) < 0.45
    assert set(sample) < set(expected(records))


@pytest.mark.parametrize("stop_after", [1, 2, 5])
def test_a_saved_position_goes_on_at_the_very_next_step(stop_after: int, rng: Any, produce: Any, stream: Any) -> None:
    records = two_partitions(rng)
    produce(records + records[:5])
    with stream("first", batch_size=17) as reader:
        source = iter(reader)
        before = keys(next(source) for _ in range(stop_after))
        saved = [position.to_json() for position in reader.positions()]
    with stream("second", batch_size=17, start=[Position.from_json(s) for s in saved]) as reader:
        after = keys(reader)
    assert Counter(before + after) == Counter(expected(records))


def test_a_group_goes_on_where_it_committed(rng: Any, produce: Any, stream: Any) -> None:
    records = two_partitions(rng)
    produce(records)
    with stream("mine", batch_size=50) as reader:
        before = keys([next(iter(reader))])
        reader.commit()
    with stream("mine", batch_size=50) as reader:
        after = keys(reader)
    assert Counter(before + after) == Counter(expected(records))
    with stream("another") as reader:
        assert Counter(keys(reader)) == Counter(expected(records))


def test_a_range_read_twice_gives_identical_arrays(rng: Any, produce: Any, stream: Any) -> None:
    produce(play(rng, games=2, chunks=4, ticks=10))
    runs = []
    for group in ("one", "two"):
        with stream(group, start={0: 4}, batch_size=32) as reader:
            runs.append(list(reader))
    assert [len(batch) for batch in runs[0]] == [len(batch) for batch in runs[1]]
    for first, second in zip(*runs, strict=True):
        for name in ("state", "next_state", "action", "reward", "action_mask", "next_action_mask", "tick", "game_id"):
            assert getattr(first, name).tobytes() == getattr(second, name).tobytes(), name


def test_a_start_by_time_skips_what_is_older(rng: Any, produce: Any, stream: Any) -> None:
    records = list(play(rng, games=1, chunks=4, ticks=10))
    produce(records[:4], timestamp_ms=1_000_000)
    produce(records[4:], timestamp_ms=2_000_000)
    with stream(start=datetime.fromtimestamp(1500, UTC)) as reader:
        assert Counter(keys(reader)) == Counter(expected(records[4:]))


def test_following_hands_on_a_part_of_a_batch_after_the_time_limit(rng: Any, produce: Any, stream: Any) -> None:
    records = list(play(rng, games=1, chunks=1, ticks=10))
    produce(records)
    with stream(follow=True, batch_size=1000, max_wait_s=0.2) as reader:
        found: Keys = []
        source = iter(reader)
        while len(found) < 20:
            found += keys([next(source)])
    assert Counter(found) == Counter(expected(records))


def test_two_members_share_the_partitions_and_the_last_one_gets_what_the_other_leaves(
    rng: Any, produce: Any, stream: Any
) -> None:
    records = two_partitions(rng)
    first, second = [r for r in records if r.chunk == 0], [r for r in records if r.chunk > 0]
    produce(first)
    found: set[tuple[str, int, int]] = set()

    def read(reader: ExperienceStream) -> None:
        for record in reader.poll_records(0.2):
            found.update(expected([record.batch]))
        reader.commit()

    with stream("shared", follow=True) as stays:
        with stream("shared", follow=True) as leaves:
            while len(stays.assignment) != 1 or len(leaves.assignment) != 1 or found != set(expected(first)):
                read(stays)
                read(leaves)
        produce(second)
        while found != set(expected(records)):
            read(stays)
        assert stays.assignment == (0, 1)
        assert stays.stats.lost_chunks == 0


def test_a_missing_topic_and_a_lost_offset_are_named(rng: Any, produce: Any, stream: Any, kafka: str) -> None:
    with pytest.raises(TopicMissing, match="no-such-topic"):
        ExperienceStream(bootstrap_servers=kafka, group="g", topic="no-such-topic")
    produce(play(rng, games=1, chunks=1, ticks=3))
    with stream(start={0: 500}) as reader, pytest.raises(PositionLost, match=r"offset 500 is outside the log.*0 … 2"):
        list(reader)


def test_ten_groups_at_once_each_get_everything_and_one_that_stops_slows_no_other(
    rng: Any, produce: Any, stream: Any
) -> None:
    records = [r for n in (0, 1) for r in play(rng, games=4, chunks=5, ticks=125, side=(8, 9), partition=n)]
    produce(records)
    wanted = len(expected(records))
    assert wanted >= 10_000
    counts: dict[int, int] = {}
    resume = threading.Event()

    def read(number: int) -> None:
        with stream(f"group-{number}", batch_size=512) as reader:
            distinct: set[tuple[str, int, int]] = set()
            for index, batch in enumerate(reader):
                distinct.update(keys([batch]))
                if number == 0 and index == 0:
                    resume.wait(60)
            counts[number] = len(distinct)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads[1:]:
        thread.join(60)
    assert counts == dict.fromkeys(range(1, 10), wanted), "the nine are done while the first stands still"
    resume.set()
    threads[0].join(60)
    assert counts[0] == wanted
