"""What a worker plays, apart from where it sends it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from generals_engine.curriculum import Curriculum
from generals_engine.maps import GameMap, MapError, generate_map, rule_side
from generals_engine.policies import BatchPolicy, Policy
from generals_engine.rng import below, streams

CHUNK_TICKS = 256
"""Ticks a chunk by default (ADR 0016)."""

MOST_RECORD_BYTES = 512 * 1024
"""Of a record's arrays before compression; chunks of large boards get fewer ticks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaySettings:
    """What is played.

    run: unique for ever; game ids are `run-worker-ordinal`.
    policies: seat p plays `policies[p % len]`, or a draw from them if `assignment` is "pool".
    teams: `[P]`, None: everyone for themselves.  width, height: None: the site's.  board: a fixed map for all games.
    tick_limit: None: to the end.  max_games: None: for ever.
    curriculum: its stages say who plays on which boards; None: as it is said here, always.
    """

    run: str
    policies: tuple[Policy, ...]
    players: int = 2
    teams: tuple[int, ...] | None = None
    width: int | None = None
    height: int | None = None
    board: GameMap | None = None
    games: int = 128
    assignment: Literal["seats", "pool"] = "seats"
    tick_limit: int | None = None
    chunk_ticks: int = CHUNK_TICKS
    seed: int = 0
    worker: int = 0
    workers: int = 1
    memory: bool = False
    rules_version: int = 18
    split_percent: int = 10
    max_games: int | None = None
    curriculum: Curriculum | None = None

    def __post_init__(self) -> None:
        if not self.policies:
            raise ValueError("policies is empty: name at least one")
        if self.board is not None and self.board.players != self.players:
            raise MapError(f"the map has {self.board.players} generals, but {self.players} players are set")
        if self.teams is not None and (len(self.teams) != self.players or len(set(self.teams)) < 2):
            raise ValueError(f"teams {self.teams} must give each of {self.players} players a team, two at least")

    @property
    def team_numbers(self) -> tuple[int, ...]:
        return self.teams or tuple(range(self.players))

    @property
    def stages(self) -> tuple["PlaySettings", ...]:
        """What each stage plays; without a curriculum there is one."""
        if self.curriculum is None:
            return (self,)
        return tuple(
            replace(
                self,
                policies=stage.policies,
                width=stage.width,
                height=stage.height,
                tick_limit=stage.tick_limit,
                curriculum=None,
            )
            for stage in self.curriculum.stages
        )

    def new_map(self, seed: int) -> GameMap:
        """The board of the game with this seed.

        Raises:
            MapError: so many players and cities have no room on boards of this size.
        """
        return self.board or generate_map(
            seed, players=self.players, teams=len(set(self.team_numbers)), width=self.width, height=self.height
        )

    @property
    def largest_area(self) -> int:
        """Tiles of the largest board that may come."""
        if self.curriculum is not None:
            return max(stage.largest_area for stage in self.stages)
        if self.board is not None:
            return int(self.board.tiles.size)
        side = rule_side(self.players, 1.0)
        return (self.width or side) * (self.height or side)

    @property
    def record_tiles(self) -> int:
        """The most `(T + 1) * HW` of any chunk."""
        return min((self.chunk_ticks + 1) * self.largest_area, max(MOST_RECORD_BYTES // 5, 2 * self.largest_area))

    def ticks_a_chunk(self, area: int) -> int:
        """T for a board of `area` tiles: so few that a record of 4-byte armies stays under MOST_RECORD_BYTES."""
        fixed = 1024 + (self.players * area * 5 if self.memory else 0)
        each = area * 5 + self.players * 4 + 2
        return max(1, min(self.chunk_ticks, (MOST_RECORD_BYTES - fixed) // each - 1))

    def seated(self, seed: int) -> tuple[Policy, ...]:
        """`[P]`: who plays in which seat of the game with this seed."""
        offered = self.policies
        if self.assignment == "seats":
            return tuple(offered[player % len(offered)] for player in range(self.players))
        stream = streams(seed, 1)
        return tuple(offered[below(stream, 0, len(offered))] for _ in range(self.players))


def wrap_batch_policies(play: PlaySettings, wrap: Callable[[BatchPolicy], BatchPolicy]) -> PlaySettings:
    """The same play, each batch policy wrapped. One that sits in two seats is still one, and asked once for both."""
    wrapped: dict[int, BatchPolicy] = {}

    def wrapped_once(policy: Policy) -> Policy:
        if policy.batch is None:
            return policy
        if id(policy.batch) not in wrapped:
            wrapped[id(policy.batch)] = wrap(policy.batch)
        return replace(policy, batch=wrapped[id(policy.batch)])

    def all_wrapped(policies: tuple[Policy, ...]) -> tuple[Policy, ...]:
        return tuple(map(wrapped_once, policies))

    curriculum = play.curriculum
    if curriculum is not None:
        stages = tuple(replace(stage, policies=all_wrapped(stage.policies)) for stage in curriculum.stages)
        curriculum = replace(curriculum, stages=stages)
    return replace(play, policies=all_wrapped(play.policies), curriculum=curriculum)
