"""What is the same for very many rows and too long for a column: kept once an object, rows hold an index."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from operator import itemgetter
from typing import Any


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


_of_fields = itemgetter(
    "encoding", "encoding_params", "reward", "reward_params", "planes", "scalars", "source_topic", "source_topic_id"
)
"""What a Config is made of, from the fields of a batch."""


@dataclass(slots=True)
class Configs:
    """The list of an object's configurations, in the order of first use."""

    entries: list[Config] = field(default_factory=list)
    _known: dict[str, int] = field(default_factory=dict)
    _last: tuple[Any, ...] = ()
    _last_index: int = 0

    def index(self, fields: dict[str, Any]) -> int:
        """The index of the configuration of a batch, of which these are the fields; added if it is new."""
        found = _of_fields(fields)
        if found != self._last:
            config = Config(*found)
            key = json.dumps(asdict(config), sort_keys=True)
            if key not in self._known:
                self._known[key] = len(self.entries)
                self.entries.append(config)
            self._last, self._last_index = found, self._known[key]
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
