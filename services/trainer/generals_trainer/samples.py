"""What goes in and out of a replay buffer: layouts, samples, snapshots, errors.

ReplayError
├── BatchTooLarge    a batch that the whole buffer would not hold
├── LayoutMismatch   a batch of another board shape or encoding
└── NotEnough        nothing can be sampled yet
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from generals_client.expand import AnyArmies
from generals_runtime.errors import OperatorError
from generals_schemas.records import ExperienceBatch


class ReplayError(Exception):
    """Base of the replay buffer's errors."""


class BatchTooLarge(ReplayError, OperatorError):
    """A batch that would not fit into the buffer if it were empty."""


class LayoutMismatch(ReplayError):
    """A batch of another board shape or encoding than the buffer's."""


class NotEnough(ReplayError):
    """Nothing can be sampled yet."""


class Layout(NamedTuple):
    """What all states of one buffer have in common. A NamedTuple: it is hashed and compared for every batch."""

    width: int
    height: int
    encoding: str
    encoding_params: tuple[tuple[str, float], ...]
    planes: tuple[str, ...]
    scalars: tuple[str, ...]

    @classmethod
    def of(cls, batch: ExperienceBatch) -> "Layout":
        params = tuple(sorted(batch.encoding_params.items()))
        return cls(batch.width, batch.height, batch.encoding, params, batch.planes, batch.scalar_names)

    @property
    def tiles(self) -> int:
        return self.width * self.height

    @property
    def bytes_per_plane(self) -> int:
        return (self.tiles + 7) // 8

    def __str__(self) -> str:
        return f"{self.width}x{self.height} {self.encoding}"


@dataclass(frozen=True, slots=True, eq=False)
class States:
    """N packed states, as `generals_client.expand` takes them.

    armies: `[N, HW]` u1, or as wide as the largest needs, u2 or u4.  bits: `[N, planes, ceil(HW / 8)]` u1.
    scalars: `[N, S]` f4.
    """

    armies: AnyArmies
    bits: NDArray[np.uint8]
    scalars: NDArray[np.float32]

    def part(self, rows: slice) -> "States":
        """Some of them: views of the same memory."""
        return States(self.armies[rows], self.bits[rows], self.scalars[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """N sampled steps.

    serials: `[N]` i8, the steps' numbers, for `update_priorities`.
    returns: `[N]` f4, rewards of up to n steps, discounted.
    discounts: `[N]` f4, what the value of `next_states` is multiplied by: gamma ** lengths, 0 behind a terminated step.
    lengths: `[N]` i4, steps in each window.
    weights: `[N]` f4, importance weights, the largest 1.
    ages: `[N]` i8, rows inserted since.
    policies: `[N]` u2, index into `policy_names`.  policy_versions: `[N]` i4.
    log_probs: `[N]` f4, the behaviour policy's, NaN where the record had none.
    """

    layout: Layout
    serials: NDArray[np.int64]
    states: States
    next_states: States
    actions: NDArray[np.int32]
    returns: NDArray[np.float32]
    discounts: NDArray[np.float32]
    lengths: NDArray[np.int32]
    weights: NDArray[np.float32]
    ages: NDArray[np.int64]
    policies: NDArray[np.uint16]
    policy_versions: NDArray[np.int32]
    log_probs: NDArray[np.float32]
    policy_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.serials)

    def made_by(self, names: Collection[str]) -> NDArray[np.bool_]:
        """Which steps are of one of these policies. `[N]`"""
        return np.array([name in names for name in self.policy_names], np.bool_)[self.policies]


class Block(NamedTuple):
    """A batch in the ring and where the log holds it.

    first: serial number of its first row.  rows: N + 1.  sequence: the caller's running number, the order of insertion.
    """

    first: int
    rows: int
    sequence: int
    partition: int
    offset: int


@dataclass(slots=True)
class Counters:
    """What happened to the buffer since it was made.

    inserted, evicted: steps.  evicted_unused: of these eligible but never sampled (overflow).
    """

    inserted: int = 0
    evicted: int = 0
    evicted_unused: int = 0
    sampled: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """All that is needed, with the log, to make the buffer again: order and priorities, not contents.

    blocks: `[blocks, 5]` i8, see `Block`.  leaves: `[rows]` f4 and uses: `[rows]` u2, from the oldest row on.
    """

    layout: Layout
    capacity: int
    blocks: NDArray[np.int64]
    leaves: NDArray[np.float32]
    uses: NDArray[np.uint16]
    head: int
    max_leaf: float
    generator: dict[str, Any]
    counters: dict[str, int]
