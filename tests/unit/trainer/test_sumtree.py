"""The sum tree against numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generals_trainer.sumtree import SumTree


@settings(max_examples=40, deadline=None)
@given(capacity=st.sampled_from([1, 5, 16, 17, 256, 257, 5000]), seed=st.integers(0, 2**32 - 1))
def test_it_finds_what_a_cumulative_sum_finds(capacity: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    tree = SumTree(capacity)
    leaves = np.zeros(capacity, np.float32)
    for _ in range(4):
        indices = rng.integers(0, capacity, 50)
        values = (rng.integers(0, 8, 50) * rng.integers(0, 2, 50)).astype(np.float32)
        tree.set(indices, values)
        for index, value in zip(indices, values, strict=True):
            leaves[index] = value
        start, stop = sorted(int(i) for i in rng.integers(0, capacity + 1, 2))
        tree.fill(start, stop, 3.0)
        leaves[start:stop] = 3.0
    np.testing.assert_array_equal(tree.leaves[:capacity], leaves)
    assert tree.total() == leaves.sum(dtype=np.float64)
    if tree.total() > 0:
        # Whole and half sums are exact in binary: both sides must agree at every border.
        sums = np.arange(0, tree.total(), 0.5)
        expected = np.searchsorted(np.cumsum(leaves, dtype=np.float64), sums, side="right")
        np.testing.assert_array_equal(tree.find(sums), expected)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_its_sums_depend_on_its_leaves_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    worn, fresh = SumTree(3000), SumTree(3000)
    for _ in range(20):
        worn.set(rng.integers(0, 3000, 64), rng.random(64, np.float32))
    fresh.load(worn.leaves[:3000])
    assert worn.total() == fresh.total()
    sums = np.sort(rng.random(200)) * worn.total()
    np.testing.assert_array_equal(worn.find(sums), fresh.find(sums))


def test_a_leaf_of_zero_is_never_found_even_at_the_total() -> None:
    tree = SumTree(100)
    tree.set(np.array([3, 40]), np.array([0.1, 0.2], np.float32))
    assert set(tree.find(np.array([0.0, tree.total(), np.nextafter(tree.total(), 1)])).tolist()) <= {3, 40}


def test_an_empty_tree_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        SumTree(0)
