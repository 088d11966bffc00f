"""The records that travel through Kafka, as frozen dataclasses with numpy arrays.

Axes: T ticks of a chunk, N steps of a batch, P players, HW = H * W tiles in row-major order.
The wire form of each is in `avro/*.avsc`; `codec` goes between the two.
"""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from generals_schemas.actions import num_actions

Armies: TypeAlias = NDArray[np.uint16] | NDArray[np.uint32]
EndReason: TypeAlias = Literal["won", "stalemate", "tick_limit", "aborted"]
End: TypeAlias = Literal["none", "terminated", "truncated"]


@dataclass(frozen=True, slots=True)
class PolicyRef:
    """Who chose the actions: a policy's name and version (0 for heuristics)."""

    name: str
    version: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a game ended. `winners` are the living players of the winning team, or the whole team if none of it lives;
    empty if nobody won.
    """

    winners: tuple[int, ...]
    reason: EndReason

    @property
    def truncated(self) -> bool:
        return self.reason in ("tick_limit", "aborted")


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """What each player remembers of the board when a chunk begins.

    tiles: `[P, HW]` u1, the tile byte last seen, `tiles.UNSEEN` if never seen.
    armies: `[P, HW]`, the army last seen there; the chunk's army dtype.
    """

    tiles: NDArray[np.uint8]
    armies: Armies


@dataclass(frozen=True, slots=True, eq=False)
class TransitionChunk:
    """T consecutive ticks of one game and the T + 1 boards around them. Needs no other record to be understood.

    tiles: `[T + 1, HW]` u1, see `generals_schemas.tiles`. Board i is the one before tick `first_tick + i`.
    armies: `[T + 1, HW]` u2, or u4 when one exceeds 65,535.
    alive: `[T + 1]` u2, bit p set while player p lives (boards cannot show it: who surrendered still owns land).
    actions: `[T, P]` i4, the action each player took, legal or not; -1 for the dead.
    log_probs: `[T, P]` f4, the behaviour policy's log-probability of the action, or None.
    outcome: on the final chunk of a game only.
    """

    game_id: str
    chunk: int
    first_tick: int
    rules_version: int
    width: int
    height: int
    teams: tuple[int, ...]
    policies: tuple[PolicyRef, ...]
    map_seed: int
    policy_seed: int
    tiles: NDArray[np.uint8]
    armies: Armies
    alive: NDArray[np.uint16]
    actions: NDArray[np.int32]
    log_probs: NDArray[np.float32] | None = None
    memory: Memory | None = None
    outcome: Outcome | None = None

    @property
    def ticks(self) -> int:
        return int(self.actions.shape[0])

    @property
    def players(self) -> int:
        return len(self.teams)

    @property
    def final(self) -> bool:
        return self.outcome is not None

    @property
    def num_actions(self) -> int:
        return num_actions(self.width, self.height)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a batch came from: the chunk's coordinates, and which of the chunk's batches it is (`index` of `count`)."""

    topic: str
    topic_id: str
    partition: int
    offset: int
    index: int
    count: int


@dataclass(frozen=True, slots=True, eq=False)
class ExperienceBatch:
    """The N experiences of one player in one chunk, states packed; `next_state[i]` is `state[i + 1]`, stored once.

    armies: `[N + 1, HW]` u2 or u4, 0 where the player cannot see.
    bits: `[N + 1, len(planes), ceil(HW / 8)]` u1, one bit a tile, least significant bit first.
    scalars: `[N + 1, len(scalar_names)]` f4.
    actions: `[N]` i4.  rewards: `[N]` f4.  log_probs: `[N]` f4 or None.
    end: what happens after the last step.
    rejected: the reason, if the chunk failed validation. The batch is then a marker with N = 0 that keeps the source
        offsets seen by a reader without holes.
    """

    game_id: str
    chunk: int
    player: int
    first_tick: int
    width: int
    height: int
    encoding: str
    encoding_params: dict[str, float]
    reward: str
    reward_params: dict[str, float]
    policy: PolicyRef
    config_version: str
    planes: tuple[str, ...]
    scalar_names: tuple[str, ...]
    armies: Armies
    bits: NDArray[np.uint8]
    scalars: NDArray[np.float32]
    actions: NDArray[np.int32]
    rewards: NDArray[np.float32]
    source: Source
    log_probs: NDArray[np.float32] | None = None
    end: End = "none"
    rejected: str | None = None

    @property
    def steps(self) -> int:
        return int(self.actions.shape[0])

    @classmethod
    def rejection(cls, *, reason: str, source: Source, config_version: str = "") -> "ExperienceBatch":
        """The marker left in the place of a chunk that failed validation."""
        return cls(
            game_id="",
            chunk=0,
            player=0,
            first_tick=0,
            width=0,
            height=0,
            encoding="",
            encoding_params={},
            reward="",
            reward_params={},
            policy=PolicyRef(""),
            config_version=config_version,
            planes=(),
            scalar_names=(),
            armies=np.zeros((1, 0), np.uint16),
            bits=np.zeros((1, 0, 0), np.uint8),
            scalars=np.zeros((1, 0), np.float32),
            actions=np.zeros(0, np.int32),
            rewards=np.zeros(0, np.float32),
            source=source,
            rejected=reason,
        )


@dataclass(frozen=True, slots=True)
class Capture:
    """A general taken: the clock before the tick ended, who took it, whose it was."""

    tick: int
    captor: int
    victim: int


@dataclass(frozen=True, slots=True)
class GameSummary:
    """One record a finished game: what analytics and ratings need."""

    game_id: str
    winners: tuple[int, ...]
    reason: EndReason
    ticks: int
    started_ms: int
    duration_ms: int
    width: int
    height: int
    teams: tuple[int, ...]
    policies: tuple[PolicyRef, ...]
    captures: tuple[Capture, ...]
    map_seed: int
    policy_seed: int
    rules_version: int


@dataclass(frozen=True, slots=True)
class PolicyPointer:
    """Where a published policy's artefact lies, and how to know that it is the right one."""

    name: str
    version: int
    url: str
    sha256: str
    created_ms: int
    format: str = "onnx"
    metadata: dict[str, str] = field(default_factory=dict)
