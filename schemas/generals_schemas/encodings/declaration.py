"""What an encoding declares."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

BASE_PLANES = ("own", "enemy", "city", "mountain")
"""Stored for every encoding: tiles of the team, of others, cities and generals, mountains and obstacles."""

DERIVED_PLANES = ("visible", "neutral", "fog")
"""Made by the reader: visible = own tiles and what is around them; neutral = visible, unowned, no mountain; fog = not
visible. Records of before (ADR 0014) hold `visible` as a fifth plane, which is then used."""

ChannelKind = Literal["army", "log_army", "plane", "scalar"]


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of the tensor.

    kind: `army`: armies on the tiles of plane `of`, divided by `army_scale`, clipped to 0…1;
        `log_army`: log(1 + army) / log(1 + army_scale) there, clipped to 0…1;
        `plane`: 1 on the tiles of plane `of`; `scalar`: the value of scalar `of` on every tile.
    """

    name: str
    kind: ChannelKind
    of: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Encoding:
    """A tensor encoding by name.

    planes: the stored bit planes, BASE_PLANES first.  scalars: the stored scalars.
    channels: in the order of the tensor's axis C.  params: defaults that a configuration may override.
    """

    name: str
    channels: tuple[Channel, ...]
    planes: tuple[str, ...] = BASE_PLANES
    scalars: tuple[str, ...] = ()
    params: Mapping[str, float] = field(default_factory=lambda: {"army_scale": 1000.0})
    dtype: Literal["float32", "float16"] = "float32"
    needs_memory: bool = False

    def __post_init__(self) -> None:
        if self.planes[: len(BASE_PLANES)] != BASE_PLANES:
            raise ValueError(f"encoding {self.name}: planes must begin with {BASE_PLANES}")
        for channel in self.channels:
            known = self.scalars if channel.kind == "scalar" else (*self.planes, *DERIVED_PLANES)
            if channel.of not in known:
                raise ValueError(
                    f"encoding {self.name}: channel {channel.name} is made of {channel.of}, not one of {known}"
                )

    def with_params(self, overrides: Mapping[str, float]) -> dict[str, float]:
        """All parameters, `overrides` applied.

        Raises:
            ValueError: a parameter that the encoding does not have.
        """
        unknown = sorted(set(overrides) - set(self.params))
        if unknown:
            raise ValueError(f"encoding {self.name} has no parameter {unknown[0]!r}; it has {', '.join(self.params)}")
        return {**self.params, **overrides}
