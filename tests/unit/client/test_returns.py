"""Rewards summed over n steps, within one record."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from synthetic_play import play

from generals_client.batch import Batch, Segment


@pytest.fixture
def record(seed: int) -> Any:
    (first, _) = play(np.random.default_rng(seed), games=1, chunks=1, ticks=9, side=(6, 7))
    return replace(first, rewards=np.arange(1, 10, dtype=np.float32), end="terminated")


def test_returns_are_summed_and_shortened_at_the_records_end(record: Any) -> None:
    batch = Batch([Segment(record, np.array([0, 4, 6, 7, 8]))], n_step=3, discount=0.5)
    assert batch.horizon.tolist() == [3, 3, 3, 2, 1]
    assert batch.reward.tolist() == [1 + 1 + 0.75, 5 + 3 + 1.75, 7 + 4 + 2.25, 8 + 4.5, 9]
    assert batch.terminated.tolist() == [False, False, True, True, True]
    assert batch.bootstrap.tolist() == [0.125, 0.125, 0, 0, 0]
    alone = Batch([Segment(record, np.arange(9))])
    after = [3, 7, 9, 9, 9]
    np.testing.assert_array_equal(batch.next_state[:2], alone.state[after[:2]])
    np.testing.assert_array_equal(batch.next_state[2:], alone.next_state[[8, 8, 8]])
    np.testing.assert_array_equal(batch.next_action_mask[:2], alone.action_mask[after[:2]])


def test_one_step_is_the_plain_reward(record: Any) -> None:
    segment = Segment(record, np.arange(9))
    one, plain = Batch([segment], n_step=1, discount=0.9), Batch([segment])
    np.testing.assert_array_equal(one.reward, plain.reward)
    np.testing.assert_array_equal(one.next_state, plain.next_state)
    assert one.bootstrap.tolist() == [np.float32(0.9)] * 8 + [0]


def test_a_truncated_game_is_bootstrapped_from_its_last_state(record: Any) -> None:
    batch = Batch([Segment(replace(record, end="truncated"), np.arange(9))], n_step=4, discount=0.5)
    assert batch.truncated.tolist() == [False] * 5 + [True] * 4
    assert not batch.terminated.any()
    assert batch.bootstrap.tolist() == [0.0625] * 6 + [0.125, 0.25, 0.5]
