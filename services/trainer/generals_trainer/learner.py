"""Learners: something that improves a network from samples. The default is a masked double DQN.

A learner of your own is a class with the verbs of `Learner`, named as `module:attribute` in the settings.
"""

import json
import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from generals_runtime.errors import OperatorError
from generals_schemas.encodings import get_encoding
from generals_schemas.named import attribute_named
from generals_trainer.network import QNetwork
from generals_trainer.samples import Layout, Sample
from generals_trainer.settings import LearnerSettings
from generals_trainer.tensors import LearnerBatch, Tensors

GradientAverager: TypeAlias = Callable[[list[Tensor]], None]


class UnknownLearner(OperatorError):
    """The settings name a learner that cannot be had; the message says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """What one update says about itself.

    errors: `[N]` f4, the samples' TD errors, for their priorities.
    """

    errors: NDArray[np.float32]
    loss: float
    value: float
    gradient_norm: float
    learning_rate: float


class Learner(Protocol):
    """What the trainer needs of a learner."""

    @property
    def published(self) -> nn.Module:
        """What plays: planes `[B, C, H, W]` to values `[B, A]`."""

    def __init__(self, layout: Layout, settings: LearnerSettings, *, device: torch.device, seed: int) -> None:
        """Boards of `layout`'s encoding will come; those of other sizes too."""

    average_gradients: GradientAverager | None
    """Called with the gradients of each update, to average them with other ranks' in place. None: there are none."""

    def learn(self, sample: Sample) -> Learnt:
        """One update."""

    def follow(self) -> None:
        """One update by other ranks' gradients alone."""

    def state(self) -> dict[str, Any]:
        """A copy of all that makes the next update what it is: tensors, numbers, texts."""

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a `state`."""


def learner_named(name: str) -> type[Learner]:
    """`dqn`, or `module:attribute`.

    Raises:
        UnknownLearner: no such learner.
    """
    if name == "dqn":
        return DoubleDQN
    try:
        found: type[Learner] = attribute_named("learner", name)
    except KeyError as error:
        raise UnknownLearner(f"{error.args[0]}; trainer.learner.name must be dqn or module:attribute") from error
    return found


def device_named(name: str) -> torch.device:
    """`cpu`, `cuda`, `cuda:1`; `auto` is CUDA where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else torch.device(name)


class DoubleDQN:
    """Masked double DQN: the online network chooses among the next state's legal actions, the target values them.

    Steps of `demonstrators` are imitated too (a cross-entropy beside the TD loss, as in deep Q-learning from
    demonstrations, Hester et al. 2018, but with likelihoods for its margin): the differences between actions are small
    beside the noise of returns, and take long to learn from rewards alone.

    What plays has the weights' average over the updates behind it (polynomial-decay averaging, Shamir and Zhang 2013,
    ADR 0013): one update's weights may leave games unfinished that those of a few updates before or after would win.
    """

    def __init__(self, layout: Layout, settings: LearnerSettings, *, device: torch.device, seed: int) -> None:
        self.settings = settings
        self.device = device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = QNetwork(
                get_encoding(layout.encoding),
                params=dict(layout.encoding_params),
                width=settings.network_width,
                blocks=settings.network_blocks,
                split_moves=settings.split_moves,
                value_unit=settings.value_unit,
            )
        self.network: nn.Module = network.to(device)
        self.target = deepcopy(self.network).requires_grad_(False)
        self.published: nn.Module = deepcopy(self.target)
        self.steps = 0
        self.average_gradients: GradientAverager | None = None
        self._optimizer = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate, eps=settings.adam_eps)
        self._generator = np.random.Generator(np.random.PCG64(seed))
        self._tensors: dict[Layout, Tensors] = {}

    def learn(self, sample: Sample) -> Learnt:
        self._optimizer.zero_grad()
        errors, loss, value = self._gradients(sample)
        norm, rate = self._update()
        return Learnt(errors=errors, loss=loss, value=value, gradient_norm=norm, learning_rate=rate)

    def follow(self) -> None:
        self._optimizer.zero_grad()
        self._update()

    def _update(self) -> tuple[float, float]:
        """Move by the gradients. Returns their norm and the learning rate.

        Raises:
            ValueError: a gradient is not finite. The weights are still what they were.
        """
        gradients = self._all_gradients()
        if self.average_gradients is not None:
            self.average_gradients(gradients)
        rate = self.settings.learning_rate_at(self.steps)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.gradient_clip))
        if not math.isfinite(norm):
            raise ValueError("a gradient is NaN or infinite: the learner has diverged")
        self._optimizer.step()
        self.steps += 1
        self._move(self.target, self.settings.target_rate)
        self._move(self.published, self.settings.averaging_rate_at(self.steps))
        return norm, rate

    def _gradients(self, sample: Sample) -> tuple[NDArray[np.float32], float, float]:
        """Of the sample's loss. Returns TD errors, loss, mean value."""
        batch = self._tensors_for(sample.layout).batch(sample, self._generator if self.settings.symmetries else None)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._mixed):
            everything = self.network(batch.planes).float()
            targets = self.targets(batch)
        values = everything.gather(1, batch.actions[:, None])[:, 0]
        unit = self.settings.value_unit
        losses = functional.huber_loss(values / unit, targets / unit, reduction="none", delta=self.settings.huber_delta)
        loss = (batch.weights * losses).mean()
        if self.settings.demonstrators:
            loss = loss + self.settings.imitation_weight * self._imitation(sample, batch, everything)
        torch.autograd.backward([loss])
        values = values.detach()
        return (targets - values).cpu().numpy(), float(loss.detach()), float(values.mean())

    def _imitation(self, sample: Sample, batch: LearnerBatch, values: Tensor) -> Tensor:
        """Cross-entropy of the demonstrators' actions, 0 for steps of others; the mean over all. values: `[N, A]`."""
        shown = torch.from_numpy(sample.made_by(self.settings.demonstrators)).to(self.device)
        shown &= batch.mask.gather(1, batch.actions[:, None])[:, 0]  # splits, where these are not learnt, are not
        temperature = self.settings.imitation_temperature * self.settings.value_unit
        logits = (values[shown] / temperature).masked_fill(~batch.mask[shown], -torch.inf)
        return functional.cross_entropy(logits, batch.actions[shown], reduction="sum") / len(values)

    def _all_gradients(self) -> list[Tensor]:
        """One of each parameter, zeros where there is none."""
        for parameter in self.network.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        return [parameter.grad for parameter in self.network.parameters() if parameter.grad is not None]

    @torch.no_grad()
    def targets(self, batch: LearnerBatch) -> Tensor:
        """Return plus discounted value of the best legal next action. `[N]` f4"""
        online = self.network(batch.next_planes)
        best = online.masked_fill(~batch.next_mask, -torch.inf).argmax(dim=1, keepdim=True)
        following = self.target(batch.next_planes).gather(1, best)[:, 0].float()
        targets: Tensor = batch.returns + batch.discounts * following
        return targets

    def state(self) -> dict[str, Any]:
        # A copy: it is written to disk by another thread while learning goes on.
        return deepcopy(
            {
                "online": self.network.state_dict(),
                "target": self.target.state_dict(),
                "published": self.published.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "steps": self.steps,
                "generator": json.dumps(self._generator.bit_generator.state),
            }
        )

    def restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["online"])
        self.target.load_state_dict(state["target"])
        self.published.load_state_dict(state["published"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.steps = int(state["steps"])
        self._generator.bit_generator.state = json.loads(state["generator"])

    @property
    def _mixed(self) -> bool:
        return self.settings.mixed_precision and self.device.type == "cuda"

    def _tensors_for(self, layout: Layout) -> Tensors:
        if layout not in self._tensors:
            self._tensors[layout] = Tensors(layout, self.device, split_moves=self.settings.split_moves)
        return self._tensors[layout]

    @torch.no_grad()
    def _move(self, follower: nn.Module, rate: float) -> None:
        """Move a network's weights a part of the way to the learnt ones."""
        ours: list[Tensor] = list(follower.parameters())
        theirs: list[Tensor] = list(self.network.parameters())
        torch._foreach_lerp_(ours, theirs, rate)
