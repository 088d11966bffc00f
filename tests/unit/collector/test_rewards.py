"""Rewards by name, their parameters and their sums."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.random import default_rng

from generals_collector.reward_page import document
from generals_collector.rewards import Facts, Reward, get_reward, reward_names

PAGE = Path(__file__).parents[3] / "docs" / "rewards.md"


def facts(seed: int, ticks: int = 40, players: int = 3) -> Facts:
    rng = default_rng(seed)
    totals = rng.integers(1, 500, (4, ticks + 1, players)).astype(float)
    cities = rng.integers(0, 3, (2, ticks, players)).astype(float)
    end = np.zeros((ticks, players))
    end[-1] = (1, -1, 0)
    cut = np.zeros((ticks, players))
    cut[-1, 2] = 1
    return Facts(*totals, *cities, end, cut)


def test_every_name_is_a_reward_that_scores_every_tick_of_every_player(seed: int) -> None:
    assert set(reward_names()) == {"outcome", "potential", "standard"}
    for name in reward_names():
        reward = get_reward(name)
        scores = reward.evaluate(facts(seed), reward.parameters({}))
        assert (reward.name, scores.shape, scores.dtype) == (name, (40, 3), np.float64)
        assert np.isfinite(scores).all()


def test_the_end_gives_win_and_loss_and_nothing_else(seed: int) -> None:
    for name in ("standard", "outcome"):
        reward = get_reward(name)
        last = reward.evaluate(facts(seed), reward.parameters({"win": 5.0}))[-1]
        assert last[:2].tolist() == [5.0, -1.0]


def test_a_potential_that_ends_at_zero_adds_the_same_to_every_course_of_an_episode(seed: int) -> None:
    reward = get_reward("potential")
    gamma = 0.97
    parameters = reward.parameters({"gamma": gamma, "cut": 0.0})  # the third player's game is cut off
    shaped = [reward.evaluate(facts(s), parameters) for s in (seed, seed + 1)]
    returns = [(gamma ** np.arange(40)[:, None] * scores).sum(axis=0) for scores in shaped]
    for s, found in zip((seed, seed + 1), returns, strict=True):
        at = facts(s)
        start = 0.5 * (at.land[0] / (at.land[0] + at.others_land[0]) - 0.5)
        start += 0.5 * (at.army[0] / (at.army[0] + at.others_army[0]) - 0.5)
        np.testing.assert_allclose(found, -start, atol=1e-12)


def test_a_potential_of_nothing_on_the_board_is_zero() -> None:
    nothing = Facts(*np.zeros((4, 3, 2)), *np.zeros((4, 2, 2)))
    reward = get_reward("potential")
    assert not reward.evaluate(nothing, reward.parameters({})).any()


def test_a_sum_weighs_its_parts_and_clips_them_and_itself(seed: int) -> None:
    both = get_reward("standard+potential")
    at = facts(seed)
    parts = [get_reward(name) for name in ("standard", "potential")]
    one, other = (part.evaluate(at, part.parameters({})) for part in parts)
    plain = both.evaluate(at, both.parameters({"potential.weight": 0.3}))
    np.testing.assert_allclose(plain, one + 0.3 * other)
    clipped = both.evaluate(at, both.parameters({"standard.clip": 0.05, "clip": 0.04}))
    np.testing.assert_allclose(clipped, np.clip(np.clip(one, -0.05, 0.05) + other, -0.04, 0.04))


def test_records_carry_only_what_differs_from_the_defaults() -> None:
    assert get_reward("standard").changed({"win": 1.0, "loss": -3.0}) == {"loss": -3.0}


def test_wrong_names_and_values_are_named_with_what_there_is() -> None:
    with pytest.raises(KeyError, match=r"reward 'nice' is unknown; there are outcome, potential, standard"):
        get_reward("nice")
    with pytest.raises(KeyError, match="adds the same twice"):
        get_reward("standard+standard")
    with pytest.raises(KeyError, match="no_such_module"):
        get_reward("no_such_module:REWARD")
    with pytest.raises(ValueError, match=r"has no parameter 'wim'; it has win, loss"):
        get_reward("standard").parameters({"wim": 1.0})
    with pytest.raises(ValueError, match="must be a finite number"):
        get_reward("standard").parameters({"win": float("nan")})


def test_ones_own_reward_is_found_by_module_and_attribute(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    import sys
    import types

    own = types.ModuleType("own_rewards")
    own.LAND = Reward("land", lambda at, p: p[0] * at.land[1:], {"scale": 0.01})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_rewards", own)
    reward = get_reward("own_rewards:LAND")
    at = facts(seed)
    np.testing.assert_allclose(reward.evaluate(at, reward.parameters({"scale": 2.0})), 2 * at.land[1:])


def test_the_page_is_what_the_declarations_say() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == document(), "out of date: python -m generals_collector.rewards > docs/rewards.md"
    for name in reward_names():
        section = page.split(f"## {name}\n")[1].split("\n## ")[0]
        for parameter in get_reward(name).params:
            assert f"| `{parameter}` |" in section
            assert parameter == "clip" or re.search(rf"^- .*\b{parameter}\b.*:", section, re.MULTILINE), parameter


def test_the_pages_own_reward_works_by_its_name(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "land_reward.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    reward, given = get_reward("land_reward:REWARD"), facts(seed)
    assert reward.name == "land_reward:REWARD"
    scores = reward.evaluate(given, reward.parameters({"per_tile": 2.0}))
    np.testing.assert_array_equal(scores, 2.0 * (given.land[1:] - given.land[:-1]))


def test_the_pages_configuration_is_one_that_a_collector_takes() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    section = yaml.safe_load(text)["collector"]
    assert get_reward(section["reward"]).changed(section["reward_params"]) == section["reward_params"]
