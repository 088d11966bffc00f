"""The trainer's settings: section `trainer` of the YAML, variables GENERALS_TRAINER__*."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from generals_runtime.settings import ReaderSettings, SettingsGroup

LEAST_CAPACITY = 257
"""Rows of a chunk of the engine's default length: its steps, and the state after the last.

Late games have many armies above 255, which need room of their own: more rows are needed where `BatchTooLarge` says so.
"""


class ReplaySettings(SettingsGroup):
    """The replay buffers: one for each board size, made when its first batch comes."""

    capacity: int = Field(
        default=200_000,
        ge=LEAST_CAPACITY,
        lt=2**31,
        description="rows of each board size's buffer: its steps, and one more for each batch",
    )
    board_sizes: int = Field(default=64, ge=1, description="buffers at most; batches of further sizes are left out")
    n_step: int = Field(default=7, ge=1, le=1000)
    gamma: float = Field(default=0.99, ge=0, le=1)
    bootstrap_truncated: bool = Field(
        default=True, description="a game cut off by its tick limit is worth what would have followed; false: nothing"
    )
    alpha: float = Field(default=0.6, ge=0, le=1, description="how far priorities count; 0 samples uniformly")
    beta_start: float = Field(
        default=0.4, ge=0, le=1, description="exponent of the importance weights at the beginning"
    )
    beta_steps: int = Field(default=20_000, ge=1, description="updates until it is 1")
    warmup: int = Field(default=2_000, ge=1, description="steps inserted before the first update")
    directory: Path | None = Field(default=None, description="keep states in mapped files there, not in memory")

    def beta_at(self, step: int) -> float:
        """Importance weights' exponent at an update: from `beta_start` to 1 in `beta_steps`."""
        return self.beta_start + (1.0 - self.beta_start) * min(1.0, step / self.beta_steps)


class LearnerSettings(SettingsGroup):
    """The learner and its network."""

    name: str = Field(default="dqn", pattern=r"^(dqn|[\w.]+:\w+)$", description="dqn, or module:attribute")
    batch_size: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=5e-4, gt=0)
    final_rate: float = Field(default=0.2, ge=0, le=1, description="share of the learning rate at the end")
    flat_share: float = Field(default=0.375, ge=0, lt=1, description="share of `steps` before the rate begins to fall")
    steps: int | None = Field(default=None, ge=1, description="updates that the rate's fall is spread over; null: flat")
    adam_eps: float = Field(default=1e-8, gt=0)
    value_unit: float = Field(
        default=0.1, gt=0, description="reward that the network's last layers and the loss take for 1"
    )
    huber_delta: float = Field(default=0.5, gt=0, description="in value units")
    demonstrators: tuple[str, ...] = Field(
        default=(), description="policies whose steps are also imitated: their actions are made the likeliest"
    )
    imitation_weight: float = Field(default=0.3, ge=0, description="weight of the imitation loss beside the TD loss")
    imitation_temperature: float = Field(
        default=0.2, gt=0, description="in value units; likelihoods are softmax(values / temperature)"
    )
    gradient_clip: float = Field(default=5.0, gt=0)
    target_rate: float = Field(default=0.005, gt=0, le=1, description="how far the target follows each update")
    averaged_share: float = Field(
        default=0.2, gt=0, le=1, description="what plays is the weights' average over about this share of all updates"
    )
    split_moves: bool = Field(default=True, description="moves of half an army are values to learn and choose from")
    symmetries: bool = Field(default=True, description="turn each sample by a random symmetry of the board")
    mixed_precision: bool = Field(default=True, description="bfloat16 on CUDA")
    network_width: int = Field(default=32, ge=1)
    network_blocks: int = Field(default=2, ge=0)

    def learning_rate_at(self, step: int) -> float:
        """Flat, then linear down to `final_rate`, over `steps`."""
        if self.steps is None:
            return self.learning_rate
        flat = self.flat_share * self.steps
        fallen = min(1.0, max(0.0, (step - flat) / (self.steps - flat)))
        return self.learning_rate * (1.0 - fallen * (1.0 - self.final_rate))

    def averaging_rate_at(self, step: int) -> float:
        """How far the average moves at update `step`, 1 the first: update s weighs as (s / step) ** (1 / share - 1)."""
        return min(1.0, 1.0 / (self.averaged_share * step))


class TrainerSettings(ReaderSettings):
    """All settings of `python -m generals_trainer`."""

    section: ClassVar[str] = "trainer"

    replay: ReplaySettings = ReplaySettings()
    learner: LearnerSettings = LearnerSettings()
    learn_from: tuple[str, ...] | None = Field(
        default=None, description="only experiences of these policies; null: of all, for this is off-policy learning"
    )
    policy: str = Field(
        default="dqn", pattern=r"^[A-Za-z0-9_.-]+$", description="name under which its versions are published"
    )
    group: str = Field(default="trainer", min_length=1, description="consumer group; ranks of one job share it")
    run_dir: Path = Field(default=Path("runs/trainer"), description="checkpoint, status.json, history, TensorBoard")
    objects: str | None = Field(default=None, description="store of published policies; null: run_dir/policies")
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    threads: int | None = Field(default=1, ge=1, description="threads of torch on the CPU; null: torch decides")
    seed: int = Field(default=0, ge=0)
    samples_per_insert: float | None = Field(
        default=1.0, gt=0, description="samples drawn for each experience inserted; null: both run free"
    )
    max_staleness: int | None = Field(
        default=None, ge=0, description="own experiences made by a version further behind than this are left out"
    )
    read_ahead: int = Field(default=20_000, ge=1, description="experiences read and not yet inserted, at most")
    max_steps: int | None = Field(default=None, ge=1, description="end after so many updates")
    checkpoint_every_s: float = Field(default=60.0, gt=0)
    publish_every_s: float | None = Field(default=None, gt=0, description="null: publishes nothing")
    log_every_s: float = Field(default=5.0, gt=0)
    tensorboard: bool = False

    @property
    def object_store(self) -> str:
        return self.objects if self.objects is not None else str(self.run_dir / "policies")
