"""Matches between policies."""

from pathlib import Path

import pytest

from generals_engine.arena import find_player, play_match
from generals_engine.policies import UnknownPolicy
from generals_runtime.broker import free_port
from generals_runtime.published_policies import PolicyDirectory, PolicyError


def nothing_published() -> PolicyDirectory:
    return PolicyDirectory(())


def test_expander_beats_random_and_the_seats_do_not_matter() -> None:
    expander, random = find_player("expander", nothing_published), find_player("random", nothing_published)
    there = play_match(expander, random, games=60, size=8, tick_limit=500, seed=3)
    back = play_match(random, expander, games=60, size=8, tick_limit=500, seed=3)
    assert there.wins + there.losses + there.draws == 60
    assert there.wins > 3 * max(1, there.losses)
    assert back.losses > 3 * max(1, back.wins)
    assert there.ticks > 20


def test_the_same_seed_plays_the_same_match() -> None:
    policies = find_player("expander", nothing_published), find_player("random", nothing_published)
    assert play_match(*policies, games=11, size=8, seed=1) == play_match(*policies, games=11, size=8, seed=1)


def test_an_unknown_player_is_named() -> None:
    with pytest.raises(PolicyError, match="policy nobody was never published; published are: none"):
        find_player("nobody", nothing_published)
    with pytest.raises(UnknownPolicy):
        find_player("no.such:policy", nothing_published)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder.onnx").mkdir()
    for name, why in (("absent.onnx", "No such file"), ("folder.onnx", "Is a directory")):
        with pytest.raises(PolicyError, match=f"{name}: the file cannot be read: {why}"):
            find_player(str(tmp_path / name), nothing_published)


@pytest.mark.parametrize("version", ["abc", "-1", "²", ""])
def test_a_version_that_is_no_number_is_refused(version: str) -> None:
    with pytest.raises(PolicyError, match=f"player 'dqn@{version}': a version is a number, as in dqn@3"):
        find_player(f"dqn@{version}", nothing_published)


def test_a_policy_that_cannot_be_asked_has_not_lost_the_match() -> None:
    away = find_player(f"http://127.0.0.1:{free_port()}", nothing_published)
    with pytest.raises(PolicyError, match="no answer"):
        play_match(away, find_player("random", nothing_published), games=2, size=8, seed=1)
