"""Win rates, their intervals, and Elo."""

import numpy as np
import pytest

from generals_trainer.ratings import Score, rate


def test_draws_count_as_half() -> None:
    assert Score(wins=200, losses=100, draws=100).win_rate == 0.625


def test_the_interval_is_wilsons() -> None:
    # Worked by hand: p = 0.9, n = 400, z = 1.96: (0.9 + 0.0048) / 1.0096 -/+ 0.0297
    low, high = Score(wins=360, losses=40, draws=0).interval()
    assert low == pytest.approx(0.8667, abs=2e-4)
    assert high == pytest.approx(0.9258, abs=2e-4)
    assert Score(400, 0, 0).interval()[0] == pytest.approx(0.9905, abs=1e-3)
    assert Score(0, 0, 0).interval() == (0.0, 1.0)


def test_the_interval_holds_the_truth_about_as_often_as_it_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inside = 0
    for wins in rng.binomial(400, 0.8, 2000):
        low, high = Score(int(wins), 400 - int(wins), 0).interval()
        inside += low <= 0.8 <= high
    assert 0.93 <= inside / 2000 <= 0.975


def test_elo_finds_known_strengths(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = {"a": 0.0, "b": 200.0, "c": 400.0}
    results = {}
    for first, second in (("a", "b"), ("b", "c"), ("a", "c")):
        chance = 1 / (1 + 10 ** ((truth[second] - truth[first]) / 400))
        wins = int(rng.binomial(4000, chance))
        results[first, second] = Score(wins, 4000 - wins, 0)
    ratings = rate(results, anchor="a")
    assert [rating.name for rating in ratings] == ["c", "b", "a"]
    for rating in ratings:
        assert rating.elo == pytest.approx(truth[rating.name], abs=max(2.2 * rating.error, 1e-9))
    assert 5 < ratings[0].error < 25
    assert (ratings[-1].elo, ratings[-1].error, ratings[-1].games) == (0.0, 0.0, 8000)


def test_who_won_everything_has_a_finite_rating() -> None:
    best, _ = rate({("champion", "random"): Score(100, 0, 0)}, anchor="random", anchor_elo=1000)
    assert best.name == "champion"
    assert 1500 < best.elo < 2200


def test_an_anchor_that_did_not_play_is_named() -> None:
    with pytest.raises(ValueError, match="anchor 'x' did not play"):
        rate({("a", "b"): Score(1, 1, 1)}, anchor="x")
