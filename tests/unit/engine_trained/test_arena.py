"""Matches between policies."""

import pytest

from generals_engine.arena import find_player, play_match
from generals_engine.policies import UnknownPolicy
from generals_runtime.broker import free_port
from generals_runtime.published_policies import PolicyDirectory, PolicyError


def test_expander_beats_random_and_the_seats_do_not_matter() -> None:
    expander, random = find_player("expander"), find_player("random")
    there = play_match(expander, random, games=60, size=8, tick_limit=500, seed=3)
    back = play_match(random, expander, games=60, size=8, tick_limit=500, seed=3)
    assert there.wins + there.losses + there.draws == 60
    assert there.wins > 3 * max(1, there.losses)
    assert back.losses > 3 * max(1, back.wins)
    assert there.ticks > 20


def test_the_same_seed_plays_the_same_match() -> None:
    policies = find_player("expander"), find_player("random")
    assert play_match(*policies, games=11, size=8, seed=1) == play_match(*policies, games=11, size=8, seed=1)


def test_an_unknown_player_is_named() -> None:
    with pytest.raises(PolicyError, match="policy nobody was never published; published are: none"):
        find_player("nobody", PolicyDirectory(()))
    with pytest.raises(PolicyError, match="name a broker"):
        find_player("nobody")
    with pytest.raises(UnknownPolicy):
        find_player("no.such:policy")


@pytest.mark.parametrize("version", ["abc", "-1", "²", ""])
def test_a_version_that_is_no_number_is_refused(version: str) -> None:
    with pytest.raises(PolicyError, match=f"player 'dqn@{version}': a version is a number, as in dqn@3"):
        find_player(f"dqn@{version}", PolicyDirectory(()))


def test_a_policy_that_cannot_be_asked_has_not_lost_the_match() -> None:
    away = find_player(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(PolicyError, match="no answer"):
        play_match(away, find_player("random"), games=2, size=8, seed=1)
