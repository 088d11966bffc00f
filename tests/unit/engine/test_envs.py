"""The environments pass their libraries' own tests, and play what the rules say."""

import re
import runpy
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from numpy.random import default_rng
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test
from pettingzoo.utils import parallel_to_aec

from generals_engine.envs import NAMES, GeneralsEnv, GeneralsVectorEnv, parallel_env
from generals_engine.kernel.state import ARMIES, TILES

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "environments.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)

SMALL: dict[str, Any] = {"width": 6, "height": 6, "tick_limit": 80}


def legal(mask: np.ndarray, rng: np.random.Generator) -> int:
    return int(rng.choice(np.flatnonzero(mask)))


@pytest.mark.parametrize("name", sorted(NAMES))
def test_gymnasiums_own_checker_passes(name: str) -> None:
    env = gymnasium.make(f"generals_engine.envs:{name}", opponents="random", render_mode="ansi")
    check_env(env.unwrapped)


@pytest.mark.parametrize("players", [2, 4])
def test_pettingzoos_parallel_api_test_passes(players: int) -> None:
    parallel_api_test(parallel_env(players=players, width=8, height=8, tick_limit=60), num_cycles=300)


def test_pettingzoos_parallel_seed_test_passes() -> None:
    parallel_seed_test(lambda: parallel_env(**SMALL), num_cycles=100)


@pytest.mark.filterwarnings("ignore")
def test_pettingzoos_api_test_passes_through_the_aec_conversion() -> None:
    """Its warnings are about observations that are no plain arrays; dictionaries with a mask are its own convention."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        api_test(parallel_to_aec(parallel_env(render_mode="ansi", **SMALL)), num_cycles=200)


def test_the_winner_gets_plus_one_and_the_loser_minus_one_once() -> None:
    rng = default_rng(5)
    env = parallel_env(width=5, height=5, tick_limit=5000)
    seen, _ = env.reset(seed=5)
    while env.agents:
        actions = {agent: legal(seen[agent]["action_mask"], rng) for agent in env.agents}
        seen, rewards, terminated, truncated, info = env.step(actions)
        if not any(terminated.values()):
            assert set(rewards.values()) == {0.0}
    assert sorted(rewards.values()) == [-1.0, 1.0]
    assert all(terminated.values())
    assert not any(truncated.values())
    (winner,) = info["player_0"]["winners"]
    assert rewards[f"player_{winner}"] == 1.0


def test_the_tick_limit_truncates_without_a_reward() -> None:
    env = GeneralsEnv(opponents="random", **SMALL)
    env.reset(seed=1)
    idle = int(env.action_space.n) - 1
    steps = 0
    while True:
        _, reward, terminated, truncated, info = env.step(np.int64(idle))
        steps += 1
        if terminated or truncated:
            break
    if truncated:
        assert (steps, reward, info["outcome"]) == (80, 0.0, "tick_limit")
    else:
        assert reward == -1.0


def test_who_dies_in_the_tick_of_the_limit_has_died(seed: int) -> None:
    """While two others live on. The same seed without a limit tells in which tick that is."""
    game: dict[str, Any] = {"players": 3, "width": 7, "height": 7}
    opponents = ("hunter", "hunter")
    for seed_of_game in range(seed % 1000, seed % 1000 + 200):
        env = GeneralsEnv(opponents=opponents, tick_limit=1000, **game)
        env.reset(seed=seed_of_game)
        idle = np.int64(int(env.action_space.n) - 1)
        last, terminated, truncated = 0, False, False
        while not (terminated or truncated):
            _, _, terminated, truncated, info = env.step(idle)
            last += 1
        if terminated and not info:
            break
    assert terminated
    assert not info, "two others live on"
    env = GeneralsEnv(opponents=opponents, tick_limit=last, **game)
    envs = GeneralsVectorEnv(1, opponents=opponents, tick_limit=last, **game)
    env.reset(seed=seed_of_game)
    envs.reset(seed=seed_of_game)
    for _ in range(last):
        _, reward, terminated, truncated, info = env.step(idle)
        _, rewards, ended, cut, _ = envs.step(np.array([idle]))
    assert (reward, terminated, truncated, info["outcome"]) == (-1.0, True, False, "tick_limit")
    assert (rewards[0], ended[0], cut[0]) == (-1.0, True, False)


def test_the_mask_is_what_the_definition_says_and_the_planes_are_the_nine(seed: int) -> None:
    """Counted tile by tile from the board and the fog of the readable rules."""
    from generals_engine import rules
    from generals_engine.fog import visible_to

    rng = default_rng(seed)
    env = parallel_env(players=3, width=7, height=6, tick_limit=100, army_scale=50.0)
    seen, _ = env.reset(seed=seed)
    while env.agents:
        words = env._table.state.words[0]
        tiles, armies = words[TILES : TILES + 42].astype(np.uint8), words[ARMIES : ARMIES + 42].copy()
        state = rules.start(tiles, armies, width=7, height=6, teams=(0, 1, 2))
        for agent in env.agents:
            player = int(agent[-1])
            planes = seen[agent]["observation"].reshape(9, 42)
            visible = visible_to(state, player)
            own, rock = state.owners == player, np.isin(state.kinds, (3, 4))
            enemy = (state.owners >= 0) & ~own & visible
            share = np.minimum(armies / 50.0, 1.0).astype(np.float32)
            city = np.isin(state.kinds, (1, 2)) & visible
            neutral = visible & ~rock & (state.owners < 0)
            wanted = [share * own, share * enemy, own, enemy, neutral, city, rock & visible, visible, ~visible]
            np.testing.assert_array_equal(planes, np.array(wanted, np.float32))
            assert np.array_equal(np.flatnonzero(seen[agent]["action_mask"]), legal_actions(state, player))
        seen, *_ = env.step({agent: legal(seen[agent]["action_mask"], rng) for agent in env.agents})


def legal_actions(state: Any, player: int) -> list[int]:
    found = []
    for tile in range(42):
        y, x = divmod(tile, 7)
        for direction, (v, u) in enumerate(((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))):
            inside = 0 <= v < 6 and 0 <= u < 7
            if (
                inside
                and state.owners[tile] == player
                and state.armies[tile] > 1
                and state.kinds[v * 7 + u] not in (3, 4)
            ):
                found += [tile * 4 + direction, 4 * 42 + tile * 4 + direction]
    return sorted([*found, 8 * 42])


def test_the_vector_environment_plays_the_games_of_the_single_one() -> None:
    vector = GeneralsVectorEnv(3, opponents="expander", **SMALL)
    singles = [GeneralsEnv(opponents="expander", **SMALL) for _ in range(3)]
    seen, _ = vector.reset(seed=4)
    alone = [env.reset(seed=4 + i)[0] for i, env in enumerate(singles)]
    rng = default_rng(1)
    running = np.ones(3, np.bool_)
    for _ in range(60):
        for i in np.flatnonzero(running):
            np.testing.assert_array_equal(seen["action_mask"][i], alone[i]["action_mask"])
            np.testing.assert_array_equal(seen["observation"][i], alone[i]["observation"])
        actions = np.array([legal(mask, rng) for mask in seen["action_mask"]])
        seen, rewards, terminated, truncated, _ = vector.step(actions)
        for i in np.flatnonzero(running):
            alone[i], reward, ended, cut, _ = singles[i].step(actions[i])
            assert (reward, ended, cut) == (rewards[i], terminated[i], truncated[i])
            running[i] = not (ended or cut)


def test_the_vector_environment_restarts_ended_games_in_the_next_step() -> None:
    env = gymnasium.make_vec(
        "generals_engine.envs:Generals/SmallDuel-v0", num_envs=16, opponents="random", tick_limit=20
    )
    seen, _ = env.reset(seed=2)
    assert env.observation_space.contains(seen)
    idle = np.full(16, env.single_action_space.n - 1)
    for _ in range(20):
        _, _, terminated, truncated, _ = env.step(idle)
    assert (terminated | truncated).any()
    ended = terminated | truncated
    seen, rewards, terminated, truncated, _ = env.step(idle)
    assert not (terminated | truncated)[ended].any()
    assert not rewards[ended].any()
    assert (seen["observation"][ended][:, 2].sum(axis=(1, 2)) == 1).all(), "a new game begins with one tile"
    env.close()


def test_the_step_that_restarts_a_game_of_the_vector_environment_plays_nothing() -> None:
    env = gymnasium.make_vec("generals_engine.envs:Generals/SmallDuel-v0", num_envs=4, tick_limit=3)
    env.reset(seed=2)
    idle = np.full(4, env.single_action_space.n - 1)
    cut = [bool(env.step(idle)[3].all()) for _ in range(8)]
    assert cut == [False, False, True, False, False, False, True, False], "three ticks a game, a step between two"
    env.close()


def test_rendering_shows_the_whole_board() -> None:
    env = GeneralsEnv(render_mode="ansi", **SMALL)
    env.reset(seed=1)
    text = env.render()
    assert text is not None
    assert "A1" in text
    assert "B1" in text


@pytest.mark.parametrize("example", EXAMPLES, ids=["single", "vector", "parallel"])
def test_the_guides_examples_run(example: str, tmp_path: Path) -> None:
    program = tmp_path / "example.py"
    program.write_text(example, encoding="utf-8")
    runpy.run_path(str(program))


def test_the_guides_table_is_what_is_registered() -> None:
    rows = re.findall(r"^\| `(Generals/\S+)` \| (\d+) \| (\d+) × (\d+) \| ([\d,]+) \|$", GUIDE.read_text("utf-8"), re.M)
    found = {
        name: {"players": int(p), "width": int(w), "height": int(h), "tick_limit": int(limit.replace(",", ""))}
        for name, p, w, h, limit in rows
    }
    assert found == {name: {"tick_limit": 1000, **arguments} for name, arguments in NAMES.items()}
