"""The engine's settings: `engine:` in the YAML, GENERALS_ENGINE__… in the environment."""

import secrets
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from generals_engine.curriculum import Curriculum, Stage
from generals_engine.map_files import load_map
from generals_engine.play_settings import CHUNK_TICKS, PlaySettings
from generals_engine.policies import Policy, find_policy
from generals_engine.rules import NEWEST_RULES, OLDEST_RULES
from generals_engine.trained_settings import TrainedSettings
from generals_runtime.settings import ServiceSettings, SettingsGroup
from generals_schemas.actions import MAX_PLAYERS, MAX_SIDE

PACED_FILL_S = 4.0
"""What a chunk of a paced engine takes to fill, unless its length is set: a chunk is sent when it is full."""

LEAST_PACED_TICKS = 8


def _new_run() -> str:
    """Never drawn twice: game ids are unique for ever, and so must the run's part of them be."""
    return secrets.token_hex(6)


def _known(policies: tuple[str, ...]) -> tuple[str, ...]:
    for name in policies:
        if ":" not in name:  # others are loaded when play begins
            find_policy(name)
    return policies


PolicyNames = Annotated[tuple[str, ...], AfterValidator(_known)]


class StageSettings(SettingsGroup):
    """A stage of a curriculum. What it does not name is as the engine's own settings have it."""

    policies: PolicyNames | None = Field(default=None, min_length=1)
    width: int | None = Field(default=None, ge=1, le=MAX_SIDE)
    height: int | None = Field(default=None, ge=1, le=MAX_SIDE)
    tick_limit: int | None = Field(default=None, ge=1)


class CurriculumSettings(SettingsGroup):
    """Larger boards and stronger opponents as the learner's results rise."""

    stages: tuple[StageSettings, ...] = Field(
        min_length=1, description="in order; each may change policies, width, height and tick_limit"
    )
    learner: str | None = Field(
        default=None, description="the policy whose results count, as records name it; null: trained.name"
    )
    promote_at: float = Field(default=0.7, gt=0, le=1, description="share of a trial's points; a draw is half a point")
    trial_games: int = Field(default=200, ge=1, description="games of the learner against others, judged together")


class EngineSettings(ServiceSettings):
    """Everything an engine worker can be told."""

    section: ClassVar[str] = "engine"

    run: str = Field(
        default_factory=_new_run,
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="first part of game ids; one used before would repeat them",
    )
    worker: int = Field(default=0, ge=0, description="which of the run's workers this is")
    workers: int = Field(default=1, ge=1, description="how many the run has; part of what games are drawn from")
    seed: int | None = Field(
        default=None, ge=0, description="the same seed and worker give the same games; null: drawn"
    )
    games: int = Field(default=128, ge=1, le=4096, description="played side by side")
    max_games: int | None = Field(default=None, ge=1, description="ends after so many; null: never")
    players: int = Field(default=2, ge=2, le=MAX_PLAYERS)
    teams: tuple[int, ...] | None = Field(default=None, description="a team's number for each player; null: no teams")
    width: int | None = Field(default=None, ge=1, le=MAX_SIDE, description="null: as the site draws it")
    height: int | None = Field(default=None, ge=1, le=MAX_SIDE, description="null: as the site draws it")
    map: Path | None = Field(default=None, description="a JSON file: all games are played on this map")
    policies: PolicyNames = Field(
        default=("expander", "random"), min_length=1, description="names, module:factory or http://…"
    )
    assignment: Literal["seats", "pool"] = Field(
        default="seats", description="seats: player p plays policies[p]; pool: each seat draws one for each game"
    )
    curriculum: CurriculumSettings | None = Field(
        default=None, description="stages that follow each other as the learner wins; null: always the same play"
    )
    answer_within_s: float | None = Field(
        default=1.0,
        gt=0,
        description="how long a policy outside the kernel may take before its players pass; null: for ever",
    )
    tick_limit: int | None = Field(default=2000, ge=1, description="cuts games short; null: played to the end")
    chunk_ticks: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description=f"ticks a record, fewer above 20 x 20; null: {CHUNK_TICKS}, or what a game paced by "
        f"ticks_per_second plays in {PACED_FILL_S:g} s",
    )
    memory: bool = Field(default=False, description="records carry what players remember, for encodings that need it")
    rules_version: int = Field(default=NEWEST_RULES, ge=OLDEST_RULES, le=NEWEST_RULES)
    split_percent: int = Field(default=10, ge=0, le=100, description="percent of random moves that send half an army")
    trained: TrainedSettings = TrainedSettings()
    ticks_per_second: float | None = Field(
        default=None, gt=0, description="of all games together, at most; null: full speed"
    )
    on_broker_away: Literal["block", "drop_oldest", "drop_newest", "spill_to_disk"] = Field(
        default="block",
        description="block: play stops until there is room; drop_*: games are given up; spill_to_disk: to disk first",
    )
    away_after_s: float = Field(
        default=3.0, gt=0, description="spill_to_disk: a record unacknowledged for so long means the broker is away"
    )
    away_queue_bytes: int = Field(
        default=64 << 20,
        ge=1 << 20,
        description="drop_*: bytes that may wait in memory; as many again, 32 MiB at most, are on their way",
    )
    spill_dir: Path | None = Field(
        default=None, description="spill_to_disk: this engine's own folder, kept over restarts"
    )
    spill_max_bytes: int = Field(
        default=1 << 30, ge=1 << 20, description="spill_to_disk: room on disk; when it is full, play stops"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.worker >= self.workers:
            raise ValueError(f"worker {self.worker} is not below workers {self.workers}; the first is 0")
        if self.teams is not None and len(self.teams) != self.players:
            raise ValueError(f"teams {self.teams} must have one number for each of {self.players} players")
        if self.on_broker_away == "spill_to_disk" and self.spill_dir is None:
            raise ValueError("on_broker_away spill_to_disk needs spill_dir, a folder that outlives the process")
        if self.map is not None and self.curriculum is not None:
            for stage in self.curriculum.stages:
                if stage.width is not None or stage.height is not None:
                    raise ValueError(f"the boards of a curriculum cannot grow on one map, {self.map}: leave one out")
        return self

    def play(self) -> PlaySettings:
        """What is to be played. Loads the map and the policies.

        Raises:
            MapError, UnknownPolicy: what cannot be loaded, and why.
        """
        made: dict[tuple[str, int], Policy] = {}
        play = PlaySettings(
            run=self.run,
            policies=_found(self.policies, made),
            players=self.players,
            teams=self.teams,
            width=self.width,
            height=self.height,
            board=load_map(self.map) if self.map is not None else None,
            games=self.games,
            assignment=self.assignment,
            tick_limit=self.tick_limit,
            chunk_ticks=self.chunk_ticks or self._usual_chunk_ticks(),
            seed=secrets.randbits(62) if self.seed is None else self.seed,
            worker=self.worker,
            workers=self.workers,
            memory=self.memory,
            rules_version=self.rules_version,
            split_percent=self.split_percent,
            max_games=self.max_games,
            curriculum=self._curriculum(made),
        )
        for stage in play.stages:
            stage.new_map(seed=0)  # raises, rather than in the midst of a game
        return play

    def _usual_chunk_ticks(self) -> int:
        if self.ticks_per_second is None:
            return CHUNK_TICKS
        return min(CHUNK_TICKS, max(LEAST_PACED_TICKS, round(PACED_FILL_S * self.ticks_per_second / self.games)))

    def _curriculum(self, made: dict[tuple[str, int], Policy]) -> Curriculum | None:
        said = self.curriculum
        if said is None:
            return None
        stages = tuple(
            Stage(
                policies=_found(stage.policies or self.policies, made),
                width=stage.width or self.width,
                height=stage.height or self.height,
                tick_limit=stage.tick_limit or self.tick_limit,
            )
            for stage in said.stages
        )
        return Curriculum(
            stages=stages,
            learner=said.learner or self.trained.name,
            promote_at=said.promote_at,
            trial_games=said.trial_games,
        )


def _found(names: tuple[str, ...], made: dict[tuple[str, int], Policy]) -> tuple[Policy, ...]:
    """The policies of these names. One named in several stages is one; one named twice in a stage is two."""
    found = []
    for place, name in enumerate(names):
        key = (name, names[:place].count(name))
        if key not in made:
            made[key] = find_policy(name)
        found.append(made[key])
    return tuple(found)
