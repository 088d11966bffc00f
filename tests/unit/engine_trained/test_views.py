"""What a trained policy is shown is, to the bit, what the collector makes of the same boards."""

from typing import Any

import numpy as np
import pytest

from generals_collector.tensorise import recipe, tensorise
from generals_engine.games import GamePool
from generals_engine.play_settings import PlaySettings
from generals_engine.policies import Observations, Policy, find_policy
from generals_engine.trained.playing import best, random_moves
from generals_engine.trained.views import Viewer
from generals_engine.trained_settings import TrainedSettings
from generals_schemas.encodings import get_encoding
from generals_schemas.records import PolicyRef, Source


class Recording:
    """Plays at random and keeps what it was shown, by (game ordinal, player, tick)."""

    ref = PolicyRef("recording")

    def __init__(self, encoding: str, seed: int) -> None:
        self.viewer = Viewer(get_encoding(encoding), {})
        self.shown: dict[tuple[int, int, int], Any] = {}
        self._rng = np.random.default_rng(seed)

    def act(self, seen: Observations) -> Any:
        views = self.viewer.view(seen)
        for i in range(len(seen)):
            state = (views.planes, views.armies[i], views.bits[i], views.scalars[i])
            self.shown[int(seen.games[i]), int(seen.players[i]), int(seen.ticks[i])] = state
        own = (seen.tiles & 15) == seen.players[:, None] + 1
        armies = np.where(own & (seen.tiles != 255), seen.armies, 0) + self._rng.random(seen.armies.shape)
        return (armies.argmax(axis=1) * 4 + self._rng.integers(0, 4, len(seen))).astype(np.int32)


@pytest.mark.parametrize("encoding", ["nine_planes", "memory"])
@pytest.mark.parametrize(
    ("teams", "size"), [(None, (13, 11)), ((0, 1, 0, 2), (13, 11)), (None, (None, None))],
    ids=["duel", "teams", "boards of several sizes"],
)  # fmt: skip
def test_views_are_the_collectors_states(
    encoding: str, teams: tuple[int, ...] | None, size: tuple[int | None, int | None], seed: int
) -> None:
    recording = Recording(encoding, seed)
    policies = (Policy("recording", -1, recording), find_policy("expander"))
    play = PlaySettings(
        run="t", policies=policies, players=len(teams or (0, 1)), teams=teams, width=size[0], height=size[1], games=3,
        tick_limit=120 if size[0] else 400, chunk_ticks=16, seed=seed, memory=encoding == "memory", max_games=4,
    )  # fmt: skip
    pool = GamePool(play, now_ms=lambda: 0)
    how = recipe(encoding=encoding)
    compared = 0
    while pool.running:
        for played in pool.advance():
            if played.chunk is None:
                continue
            game = int(played.chunk.game_id.split("-")[-1])
            for batch in tensorise(played.chunk, Source("t", "t", 0, 0, 0, 1), how):
                for i in range(batch.steps):
                    shown = recording.shown.get((game, batch.player, batch.first_tick + i))
                    if shown is None:
                        continue
                    planes, armies, bits, scalars = shown
                    assert planes == batch.planes
                    where = f"game {game} player {batch.player} tick {batch.first_tick + i}"
                    np.testing.assert_array_equal(armies, batch.armies[i], err_msg=where)
                    np.testing.assert_array_equal(bits, batch.bits[i], err_msg=where)
                    np.testing.assert_array_equal(scalars, batch.scalars[i], err_msg=where)
                    compared += 1
    assert compared > 300


def test_the_best_legal_action_is_chosen_and_random_ones_are_legal_and_no_pass() -> None:
    values = np.array([[5.0, 1.0, 9.0], [3.0, 2.0, 1.0]], np.float32)
    legal = np.array([[True, True, False], [False, False, True]])
    assert best(values, legal).tolist() == [0, 2]
    rng = np.random.default_rng(0)
    mask = np.array([[True, True, False, True], [False, False, False, True]])
    drawn = np.stack([random_moves(mask, rng) for _ in range(200)])
    assert set(drawn[:, 0].tolist()) == {0, 1}
    assert set(drawn[:, 1].tolist()) == {3}


def test_exploration_falls_with_the_trainers_progress() -> None:
    settings = TrainedSettings(explore_from=0.5, explore_steps=1000, explore_floor=0.02)
    assert [settings.exploration(steps) for steps in (0, 500, 5000)] == [0.5, 0.25, 0.02]
    assert TrainedSettings().exploration(0) == 0.0, "by default it plays its best"
