"""The collector's settings: `collector:` in the YAML, GENERALS_COLLECTOR__… in the environment."""

import hashlib
import json
from typing import ClassVar, Self

from pydantic import Field, model_validator

from generals_collector.tensorise import Recipe, recipe
from generals_runtime.settings import ServiceSettings, SettingsGroup


class RejectLimits(SettingsGroup):
    """When so many chunks fail validation that the data is not bad but a deployment is: the collector then stops.

    A limit of 0 is off.
    """

    in_a_row: int = Field(default=50, ge=0, description="chunks one after another")
    in_window: int = Field(default=100, ge=0, description="chunks among the last `window`")
    window: int = Field(default=2000, ge=1, description="how many of the latest chunks `in_window` looks at")


class Flow(SettingsGroup):
    """How chunks run through the process. Larger groups cost less each and take longer."""

    group_chunks: int = Field(default=32, ge=1, le=4096, description="chunks that are taken and acknowledged together")
    group_wait_ms: float = Field(default=50.0, gt=0, description="a group is taken after this long even if not full")
    groups_in_flight: int = Field(default=8, ge=1, le=256, description="groups taken and not yet acknowledged")
    buffer_chunks: int = Field(default=512, ge=1, description="fetched and not yet taken, in Faust's own queue")
    commit_every_s: float = Field(default=1.0, gt=0, description="how often acknowledged offsets are committed")
    session_timeout_s: float = Field(
        default=15.0, ge=6, description="a collector not heard from for so long loses its partitions"
    )
    max_record_bytes: int = Field(
        default=1_000_000, ge=1024, le=1_000_000, description="a chunk with a larger batch is rejected"
    )


class CollectorSettings(ServiceSettings):
    """Everything the collector can be told. What `RELOADABLE`… names may change while it runs."""

    section: ClassVar[str] = "collector"
    RELOADABLE: ClassVar[frozenset[str]] = frozenset(
        {"encoding", "encoding_params", "reward", "reward_params", "limits"}
    )
    RELOADABLE_OBSERVABILITY: ClassVar[frozenset[str]] = frozenset({"log_level", "follow_game"})

    group: str = Field(default="generals-collector", min_length=1, description="consumer group, which shares the work")
    encoding: str = Field(default="nine_planes", description="name of an encoding, or module:attribute")
    encoding_params: dict[str, float] = Field(default_factory=dict, description="in place of its defaults")
    reward: str = Field(default="standard", description="name of a reward, several joined by +, or module:attribute")
    reward_params: dict[str, float] = Field(default_factory=dict, description="in place of its defaults")
    limits: RejectLimits = RejectLimits()
    flow: Flow = Flow()
    reload_every_s: float = Field(default=2.0, gt=0, description="how often the YAML is looked at for changes")

    @model_validator(mode="after")
    def _recipe_can_be_made(self) -> Self:
        try:
            self.recipe()
        except KeyError as error:
            raise ValueError(str(error.args[0])) from error
        return self

    @property
    def version(self) -> str:
        """A short hash of what decides on the content of batches."""
        content = (self.encoding, self.encoding_params, self.reward, self.reward_params)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    def recipe(self) -> Recipe:
        """How experiences are made."""
        return recipe(
            encoding=self.encoding,
            encoding_params=self.encoding_params,
            reward=self.reward,
            reward_params=self.reward_params,
            version=self.version,
        )
