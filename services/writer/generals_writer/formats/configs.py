"""What is the same for very many rows and too long for a column: kept once an object, rows hold an index."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from generals_schemas.records import ExperienceBatch


@dataclass(frozen=True, slots=True)
class Config:
    """How a row's state is laid out, and which topic it was made from."""

    encoding: str
    encoding_params: dict[str, float]
    reward: str
    reward_params: dict[str, float]
    planes: tuple[str, ...]
    scalars: tuple[str, ...]
    source_topic: str
    source_topic_id: str


@dataclass(slots=True)
class Configs:
    """The list of an object's configurations, in the order of first use."""

    entries: list[Config] = field(default_factory=list)
    _known: dict[str, int] = field(default_factory=dict)
    _last_index: int = 0

    def index(self, batch: ExperienceBatch) -> int:
        """The index of a batch's configuration, added if it is new."""
        config = Config(
            encoding=batch.encoding,
            encoding_params=batch.encoding_params,
            reward=batch.reward,
            reward_params=batch.reward_params,
            planes=batch.planes,
            scalars=batch.scalar_names,
            source_topic=batch.source.topic,
            source_topic_id=batch.source.topic_id,
        )
        if self.entries and config == self.entries[self._last_index]:
            return self._last_index
        key = json.dumps(asdict(config), sort_keys=True)
        if key not in self._known:
            self._known[key] = len(self.entries)
            self.entries.append(config)
        self._last_index = self._known[key]
        return self._last_index

    def to_json(self) -> list[dict[str, Any]]:
        return [asdict(config) for config in self.entries]

    @classmethod
    def from_json(cls, saved: Sequence[dict[str, Any]]) -> "Configs":
        configs = cls()
        for entry in saved:
            config = Config(**{**entry, "planes": tuple(entry["planes"]), "scalars": tuple(entry["scalars"])})
            configs._known[json.dumps(asdict(config), sort_keys=True)] = len(configs.entries)
            configs.entries.append(config)
        return configs
