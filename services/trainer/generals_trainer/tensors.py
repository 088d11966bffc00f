"""Packed samples to tensors on the learner's device, each sample turned by a symmetry of its own."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from generals_client.expand import expand, legal_actions
from generals_schemas.encodings import get_encoding
from generals_trainer.samples import Layout, Sample, States
from generals_trainer.symmetries import Symmetries, symmetries


@dataclass(frozen=True, slots=True, eq=False)
class LearnerBatch:
    """What a learner needs of N samples.

    planes, next_planes: `[N, C, H, W]` f4, channels-last.  mask, next_mask: `[N, A]` bool.
    actions: `[N]` i8.  returns, discounts, weights: `[N]` f4.
    """

    planes: Tensor
    next_planes: Tensor
    mask: Tensor
    next_mask: Tensor
    actions: Tensor
    returns: Tensor
    discounts: Tensor
    weights: Tensor


class Tensors:
    """Makes learner batches for one layout."""

    def __init__(self, layout: Layout, device: torch.device, *, split_moves: bool = True) -> None:
        self.layout = layout
        self.split_moves = split_moves
        self.device = device
        self.encoding = get_encoding(layout.encoding)
        self.params = dict(layout.encoding_params)

    @cached_property
    def symmetries(self) -> Symmetries:
        return symmetries(self.layout.width, self.layout.height)

    def batch(self, sample: Sample, generator: np.random.Generator | None) -> LearnerBatch:
        """generator: draws a symmetry for each sample; None leaves boards as they are."""
        turns = None if generator is None else generator.integers(0, len(self.symmetries), len(sample))
        actions = sample.actions if turns is None else self.symmetries.moved[turns, sample.actions]
        return LearnerBatch(
            planes=self.planes(sample.states, turns),
            next_planes=self.planes(sample.next_states, turns),
            mask=self.mask(sample.states, turns),
            next_mask=self.mask(sample.next_states, turns),
            actions=torch.from_numpy(actions.astype(np.int64)).to(self.device),
            returns=torch.from_numpy(sample.returns).to(self.device),
            discounts=torch.from_numpy(sample.discounts).to(self.device),
            weights=torch.from_numpy(sample.weights).to(self.device),
        )

    def legal(self, states: States) -> NDArray[np.bool_]:
        """`[N, A]`: what may be chosen."""
        mask = legal_actions(
            armies=states.armies,
            bits=states.bits,
            rows=np.arange(len(states.armies)),
            width=self.layout.width,
            height=self.layout.height,
            planes=self.layout.planes,
        )
        if not self.split_moves:
            half = 4 * self.layout.tiles
            mask[:, half : 2 * half] = False
        return mask

    def mask(self, states: States, turns: NDArray[np.int64] | None = None) -> Tensor:
        """`[N, A]` bool."""
        legal = self.legal(states)
        if turns is not None:
            legal = np.take_along_axis(legal, self.symmetries.actions[turns], axis=1)
        return torch.from_numpy(legal).to(self.device)

    def planes(self, states: States, turns: NDArray[np.int64] | None = None) -> Tensor:
        """`[N, C, H, W]` f4."""
        array = expand(
            self.encoding,
            armies=states.armies,
            bits=states.bits,
            scalars=states.scalars,
            rows=np.arange(len(states.armies)),
            width=self.layout.width,
            height=self.layout.height,
            params=self.params,
            planes=self.layout.planes,
        )
        planes = torch.from_numpy(array).to(self.device).float()
        if turns is not None:
            index = torch.from_numpy(self.symmetries.tiles[turns]).to(self.device)
            flat = planes.flatten(2)
            planes = flat.gather(2, index[:, None].expand_as(flat)).view_as(planes)
        return planes.contiguous(memory_format=torch.channels_last)
