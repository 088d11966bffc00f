"""A curriculum climbs by results: those of whole trials, in games that the learner plays against others."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from generals_engine.curriculum import Climb, Curriculum, Stage, Trial
from generals_engine.games import GamePool
from generals_engine.play_settings import PlaySettings
from generals_engine.policies import Observations, Policy, find_policy
from generals_engine.policies.codes import EXTERNAL
from generals_engine.settings import EngineSettings
from generals_engine.timing import TimedPolicy, timed
from generals_engine.worker import CannotPlay, EngineWorker
from generals_runtime.metrics import Metrics
from generals_runtime.settings import load
from generals_schemas.codec import encode_chunk
from generals_schemas.records import EndReason, GameSummary, PolicyRef

LEARNER, OTHER = PolicyRef("learner", 3), PolicyRef("other")
STAGE = Stage(policies=(Policy("learner", 1),))


def climb(games: int = 2, promote_at: float = 0.7, stages: int = 3) -> Climb:
    return Climb(Curriculum(stages=(STAGE,) * stages, learner="learner", promote_at=promote_at, trial_games=games))


def begun(climb: Climb) -> Trial:
    trial = climb.begin((LEARNER, OTHER), (0, 1))
    assert trial is not None
    return trial


def summary(winners: tuple[int, ...] = (), reason: EndReason = "won") -> GameSummary:
    return GameSummary(
        game_id="g", winners=winners, reason=reason, ticks=9, started_ms=0, duration_ms=0, width=8, height=8,
        teams=(0, 1), policies=(LEARNER, OTHER), captures=(), map_seed=0, policy_seed=0, rules_version=18,
    )  # fmt: skip


WON, LOST, DRAWN, ABORTED = summary((0,)), summary((1,)), summary(reason="tick_limit"), summary(reason="aborted")


@pytest.mark.parametrize(
    ("ends", "stage", "score"),
    [
        ((WON, WON), 1, None),
        ((WON, LOST), 0, 0.5),
        ((DRAWN, WON), 1, None),
        ((DRAWN, DRAWN), 0, 0.5),
        ((ABORTED, WON), 1, None),
        ((ABORTED, LOST), 0, 0.0),
        ((ABORTED, ABORTED), 0, 0.0),
    ],
)
def test_a_whole_trial_decides(ends: tuple[GameSummary, ...], stage: int, score: float | None) -> None:
    found = climb()
    trials = [begun(found) for _ in ends]
    for trial, end in zip(trials, ends, strict=True):
        assert found.stage == 0
        found.end(trial, end)
    assert (found.stage, found.score) == (stage, score)


def test_short_games_do_not_decide_before_the_long_ones_have_ended() -> None:
    found = climb(games=2)
    slow, quick, *later = (begun(found) for _ in range(6))
    found.end(quick, WON)
    for trial in later:
        found.end(trial, LOST)
    assert found.stage == 0
    found.end(slow, WON)
    assert found.stage == 1


def test_games_of_the_stage_before_do_not_count_in_the_next() -> None:
    found = climb(games=1)
    old = [begun(found) for _ in range(3)]
    found.end(old[0], WON)
    assert found.stage == 1
    for trial in old[1:]:
        found.end(trial, WON)
    assert found.stage == 1
    found.end(begun(found), WON)
    assert found.stage == 2
    found.end(begun(found), WON)
    assert (found.stage, found.score) == (2, 1.0), "there is nothing after the last one"


@pytest.mark.parametrize(
    ("policies", "teams"),
    [((LEARNER, LEARNER), (0, 1)), ((OTHER, OTHER), (0, 1)), ((LEARNER, OTHER, LEARNER, OTHER), (0, 0, 1, 1))],
    ids=["self-play", "others", "in both teams"],
)
def test_games_without_an_opponent_of_the_learner_are_not_judged(
    policies: tuple[PolicyRef, ...], teams: tuple[int, ...]
) -> None:
    assert climb().begin(policies, teams) is None


def settings(learner: str, **changes: object) -> PlaySettings:
    stages = (
        {"policies": [learner, "random"], "width": 8, "height": 8, "tick_limit": 200},
        {"policies": [learner, "expander"], "width": 10, "height": 9, "tick_limit": 300},
        {"policies": ["random", learner], "width": 18, "height": 18},
    )
    said = {"curriculum": {"stages": stages, "learner": learner, "trial_games": 20}, "seed": 5, "games": 16, "run": "c"}
    return EngineSettings.model_validate({**said, **changes}).play()


def climbed(play: PlaySettings, games: int) -> tuple[GamePool, list[tuple[int, int, str]], bytes]:
    """The pool after so many games; sizes of boards and opponents in the order in which games began; all records."""
    pool = GamePool(play, lambda: 0)
    ended: list[GameSummary] = []
    records = b""
    while len(ended) < games:
        for played in pool.advance():
            if played.chunk is not None:
                records += encode_chunk(played.chunk)
            if played.summary is not None:
                ended.append(played.summary)
    ended.sort(key=lambda summary: int(summary.game_id.rpartition("-")[2]))
    return pool, [(s.width, s.height, "+".join(ref.name for ref in s.policies)) for s in ended], records


def test_boards_and_opponents_grow_with_a_learner_that_wins() -> None:
    pool, games, records = climbed(settings("strategist"), 120)
    assert pool.climb is not None
    assert pool.climb.stage == 2
    assert list(dict.fromkeys(games)) == [
        (8, 8, "strategist+random"),
        (10, 9, "strategist+expander"),
        (18, 18, "random+strategist"),
    ]
    assert games == sorted(games), "no stage comes back"
    assert records == climbed(settings("strategist"), 120)[2], "the same seed climbs in the same game"


def test_one_that_does_not_win_stays_where_it_is() -> None:
    pool, games, _ = climbed(settings("random", curriculum={
        "stages": [{"policies": ["random", "expander"], "width": 8, "height": 8}, {}],
        "learner": "random", "trial_games": 10,
    }), 60)  # fmt: skip
    assert pool.climb is not None
    assert pool.climb.stage == 0
    assert pool.climb.score is not None
    assert pool.climb.score < 0.3
    assert {(width, height) for width, height, _ in games} == {(8, 8)}


class Idle:
    """A policy outside the kernel."""

    ref = PolicyRef("idle")

    def act(self, observations: Observations) -> NDArray[np.int32]:
        return np.full(len(observations), 8 * observations.width * observations.height, np.int32)


def test_a_policy_of_several_stages_is_one_and_is_watched_over_in_all() -> None:
    idle, expander = Policy("idle", EXTERNAL, Idle()), find_policy("expander")
    stages = tuple(Stage(policies=(expander, idle), width=side, height=side, tick_limit=200) for side in (8, 9))
    curriculum = Curriculum(stages=stages, learner="expander", promote_at=0.5, trial_games=4)
    play = timed(
        PlaySettings(run="c", policies=(expander,), games=4, curriculum=curriculum), Metrics(CollectorRegistry()).engine
    )
    assert play.curriculum is not None
    first, second = (stage.policies[1].batch for stage in play.curriculum.stages)
    assert isinstance(first, TimedPolicy)
    assert first is second
    pool, games, _ = climbed(play, 10)
    assert pool.climb is not None
    assert pool.climb.stage == 1
    assert [width for width, _, _ in games][:4] == [8] * 4
    assert games[-1][0] == 9


def test_what_a_stage_does_not_name_is_as_the_engine_has_it() -> None:
    play = EngineSettings.model_validate({
        "policies": ["hunter", "random"], "trained": {"name": "hunter"}, "width": 20, "height": 21, "tick_limit": 700,
        "curriculum": {"stages": [{"width": 8, "height": 9}, {"policies": ["hunter", "expander"]}]},
    }).play()  # fmt: skip
    assert play.curriculum is not None
    assert play.curriculum.learner == "hunter", "the trainer's policy, if none is named"
    first, second = play.stages
    assert (first.width, first.height, first.tick_limit) == (8, 9, 700)
    assert [policy.name for policy in first.policies] == ["hunter", "random"]
    assert (second.width, second.height, second.tick_limit) == (20, 21, 700)
    assert [policy.name for policy in second.policies] == ["hunter", "expander"]
    assert play.largest_area == 420


def test_what_is_wrong_with_a_curriculum_is_named(tmp_path: Path) -> None:
    for wrong, reason in (
        ({"stages": []}, "at least 1"),
        ({"stages": [{"policies": ["napoleon"]}]}, "napoleon"),
        ({"stages": [{"heigth": 8}]}, "heigth"),
        ({"stages": [{}], "promote_at": 70}, "less than or equal to 1"),
    ):
        with pytest.raises(ValidationError, match=reason):
            EngineSettings.model_validate({"curriculum": wrong})
    with pytest.raises(ValidationError, match="cannot grow on one map"):
        EngineSettings.model_validate({"map": tmp_path / "m.json", "curriculum": {"stages": [{"width": 8}]}})


@pytest.mark.parametrize(
    ("curriculum", "reason"),
    [
        ({"stages": [{"policies": ["random"]}], "learner": "hunter"}, "nobody in stage 0 .* hunter: there are random"),
        ({"stages": [{}, {"width": 2, "height": 2}], "learner": "expander"}, "found no place"),
    ],
)
def test_what_would_go_wrong_in_the_midst_of_play_is_refused_before(curriculum: object, reason: str) -> None:
    with pytest.raises(CannotPlay, match=reason):
        EngineWorker(EngineSettings.model_validate({"curriculum": curriculum, "seed": 1}))


def test_a_curriculum_is_read_from_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("engine:\n  curriculum:\n    stages:\n      - {width: 8}\n      - {width: 12}\n", encoding="utf-8")
    monkeypatch.setenv("GENERALS_CONFIG", str(path))
    curriculum = load(EngineSettings).curriculum
    assert curriculum is not None
    assert [stage.width for stage in curriculum.stages] == [8, 12]
