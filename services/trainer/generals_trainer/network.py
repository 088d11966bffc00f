"""A small fully convolutional dueling network: any board size, one set of weights.

Unusual: which moves are legal is worked out inside, from the input's own channels. The advantage is centred on its mean
over those moves, and the exported ONNX needs no second input to give the same values as the network here.

Moves get their values tile by tile (1x1 convolution): that learns far faster than a flat layer, and carries over to
other board sizes. The pass and the state's value come from pooled features.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from generals_schemas.encodings import Encoding

MOVES = 8
"""Four directions, whole and split."""


class Roles(NamedTuple):
    """Which channels tell what moves are legal: -1 where the encoding has none.

    own, mountain: channels that are 1 on such tiles.  army: a tile is movable if this channel is above `threshold`.
    """

    own: int
    mountain: int
    army: int
    threshold: float

    @property
    def known(self) -> bool:
        return min(self.own, self.mountain, self.army) >= 0


def roles(encoding: Encoding, params: Mapping[str, float]) -> Roles:
    """Find them among an encoding's channels."""
    kinds: dict[tuple[str, str], int] = {
        (channel.kind, channel.of): index for index, channel in enumerate(encoding.channels)
    }
    if ("plane", "ready") in kinds:
        ready = kinds["plane", "ready"]
        return Roles(ready, kinds.get(("plane", "mountain"), -1), ready, 0.5)
    own = kinds.get(("plane", "mine"), kinds.get(("plane", "own"), -1))
    mountain = kinds.get(("plane", "mountain"), -1)
    scale = encoding.with_params(params).get("army_scale", 1.0)
    for kind, threshold in (("army", 1.5 / scale), ("log_army", math.log(2.5) / math.log1p(scale))):
        for of in ("mine", "own"):
            if (kind, of) in kinds and threshold < 1.0:
                return Roles(own, mountain, kinds[kind, of], threshold)
    return Roles(own, mountain, -1, 0.0)


class QNetwork(nn.Module):
    """Planes `[B, C, H, W]` float32 to action values `[B, A]`, A = 8 * H * W + 1, in the flat index's order."""

    def __init__(
        self,
        encoding: Encoding,
        *,
        params: Mapping[str, float] | None = None,
        width: int = 32,
        blocks: int = 2,
        split_moves: bool = True,
        value_unit: float = 1.0,
    ) -> None:
        """value_unit: what a 1 of the last layers is worth; small ones let small differences be learnt."""
        super().__init__()
        self.value_unit = value_unit
        self.split_moves = split_moves
        self.channels = len(encoding.channels)
        self.roles = roles(encoding, params or {})
        self.stem = nn.Conv2d(self.channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(blocks))
        self.feedback = nn.Linear(2 * width, width)
        self.moves = nn.Conv2d(width, MOVES, 1)
        self.pooled = nn.Linear(2 * width, width)
        self.passing = nn.Linear(width, 1)
        self.value = nn.Linear(width, 1)
        # All actions are worth 0 at first: a random start would hide rewards of a tile's worth for hundreds of updates.
        for parameter in nn.ModuleList([self.moves, self.passing, self.value]).parameters():
            nn.init.zeros_(parameter)
        self.to(memory_format=torch.channels_last)

    def forward(self, planes: Tensor) -> Tensor:
        features = functional.relu(self.stem(planes))
        for index, block in enumerate(self.blocks):
            features = block(features)
            if index == 0:
                features = features + self.feedback(_pool(features))[:, :, None, None]
        hidden = functional.relu(self.pooled(_pool(features)))
        moves = self.moves(features)
        advantage = torch.cat([_flat(moves[:, :4]), _flat(moves[:, 4:]), self.passing(hidden)], dim=1).float()
        value: Tensor = self.value(hidden).float()  # the sum in bfloat16 would round away what tells actions apart
        return self.value_unit * (value + advantage - self._baseline(planes, advantage))

    def _baseline(self, planes: Tensor, advantage: Tensor) -> Tensor:
        """The advantage's mean over the legal actions. `[B, 1]`"""
        if not self.roles.known:
            return advantage.mean(dim=1, keepdim=True)
        legal = self._legal(planes)
        return (advantage * legal).sum(dim=1, keepdim=True) / legal.sum(dim=1, keepdim=True)

    def _legal(self, planes: Tensor) -> Tensor:
        """1 for moves from own tiles with army above 1 to tiles that are no mountain, and the pass. `[B, A]`"""
        own = planes[:, self.roles.own] > 0.5
        movable = own & (planes[:, self.roles.army] > self.roles.threshold)
        free = functional.pad((planes[:, self.roles.mountain] < 0.5).to(planes.dtype), (1, 1, 1, 1))
        targets = torch.stack([free[:, :-2, 1:-1], free[:, 2:, 1:-1], free[:, 1:-1, :-2], free[:, 1:-1, 2:]], dim=3)
        moves = (targets * movable[:, :, :, None].to(planes.dtype)).flatten(1)
        splits = moves if self.split_moves else torch.zeros_like(moves)
        return torch.cat([moves, splits, torch.ones_like(moves[:, :1])], dim=1)


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        changed: Tensor = self.second(functional.relu(self.first(features)))
        return functional.relu(features + changed)


def _pool(features: Tensor) -> Tensor:
    """Mean and maximum over the board. `[B, 2 * width]`"""
    return torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)


def _flat(moves: Tensor) -> Tensor:
    """`[B, 4, H, W]` to `[B, H * W * 4]`: (y * W + x) * 4 + direction."""
    return moves.permute(0, 2, 3, 1).flatten(1)
