"""A curriculum: larger boards and stronger opponents as the learner's results rise.

Games are judged by trials: so many games, begun one after another in one stage, judged when the last of them has ended.
Judged as they end, the short ones would come first, and those are mostly won or mostly lost. The order in which games
end depends on the settings alone, so with policies that do not change the same seed climbs in the same game.

Each worker climbs by the games that it plays itself, and a new one begins at the first stage: who has learned to win
there is through it after one trial.
"""

from dataclasses import dataclass

from generals_engine.policies import Policy
from generals_engine.policies.registry import is_remote
from generals_schemas.records import GameSummary, PolicyRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a stage plays, see `PlaySettings`."""

    policies: tuple[Policy, ...]
    width: int | None = None
    height: int | None = None
    tick_limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Curriculum:
    """Stages in order, and when the next one begins.

    learner: the policy's name in records.  promote_at: share of points, a game nobody won is half a point, in a trial
    of `trial_games` games that the learner plays against others.
    """

    stages: tuple[Stage, ...]
    learner: str
    promote_at: float = 0.7
    trial_games: int = 200

    def __post_init__(self) -> None:
        if not self.stages:
            raise ValueError("the curriculum has no stages: name at least one")
        for number, stage in enumerate(self.stages):
            names = [policy.ref.name for policy in stage.policies]
            if self.learner not in names and not any(is_remote(policy.name) for policy in stage.policies):
                raise ValueError(
                    f"nobody in stage {number} of the curriculum is its learner, {self.learner}: there are "
                    f"{', '.join(names)}; set curriculum.learner to the name that records give it"
                )


@dataclass(slots=True)
class Trial:
    """Games that are judged together. Aborted ones end without being judged."""

    stage: int
    begun: int = 0
    ended: int = 0
    judged: int = 0
    points: float = 0.0

    @property
    def score(self) -> float:
        """The learner's share of points, 0 … 1."""
        return self.points / self.judged if self.judged else 0.0


class Climb:
    """Where a worker stands.

    score: the learner's in the last whole trial of this stage, None before the first.
    """

    def __init__(self, curriculum: Curriculum) -> None:
        self._curriculum = curriculum
        self.learner = curriculum.learner
        self.stage = 0
        self.score: float | None = None
        self._trial = Trial(stage=0)

    def begin(self, policies: tuple[PolicyRef, ...], teams: tuple[int, ...]) -> Trial | None:
        """The trial of a game that begins now; None if the learner does not play in it, or against nobody else."""
        if not 0 < len(_learners(self.learner, policies, teams)) < len(set(teams)):
            return None
        if self._trial.begun == self._curriculum.trial_games:
            self._trial = Trial(self.stage)
        self._trial.begun += 1
        return self._trial

    def end(self, trial: Trial, summary: GameSummary) -> None:
        """A game of the trial has ended. The last one of a trial may begin the next stage."""
        trial.ended += 1
        if summary.reason != "aborted":
            trial.judged += 1
            trial.points += points(self.learner, summary)
        if trial.stage != self.stage or trial.ended < self._curriculum.trial_games:
            return
        self.score = trial.score
        if trial.score >= self._curriculum.promote_at and self.stage + 1 < len(self._curriculum.stages):
            self.stage, self.score = self.stage + 1, None
            self._trial = Trial(self.stage)


def points(learner: str, summary: GameSummary) -> float:
    """What the learner has of a game's one point: all if its team won, half if nobody did, else none."""
    if not summary.winners:
        return 0.5
    learners = _learners(learner, summary.policies, summary.teams)
    return float(bool(learners & {summary.teams[winner] for winner in summary.winners}))


def _learners(learner: str, policies: tuple[PolicyRef, ...], teams: tuple[int, ...]) -> set[int]:
    """The teams that the learner plays in."""
    return {team for policy, team in zip(policies, teams, strict=True) if policy.name == learner}
