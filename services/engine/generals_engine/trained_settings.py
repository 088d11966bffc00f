"""How trained policies play."""

from pydantic import Field

from generals_runtime.settings import SettingsGroup


class TrainedSettings(SettingsGroup):
    """Exploration follows the trainer's progress, not a clock: a policy says how many updates it has seen."""

    name: str = Field(default="dqn", description="the trainer's name for its policy")
    explore_from: float = Field(default=0.0, ge=0, le=1, description="share of random moves at the first version")
    explore_steps: int = Field(
        default=2000, ge=1, description="updates in which it would fall to 0; it stops at the floor"
    )
    explore_floor: float = Field(default=0.0, ge=0, le=1)
    past_versions: int = Field(default=8, ge=1, description="of `past`: how many versions play, the newest among them")
    past_every: int = Field(default=1, ge=1, description="of `past`: every n-th version, counted back from the newest")

    def exploration(self, trainer_steps: int) -> float:
        """The share of random moves of a version that has seen so many updates; before the first, all are random."""
        return max(self.explore_floor, self.explore_from * (1.0 - trainer_steps / self.explore_steps))
