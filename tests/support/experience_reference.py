"""What the experiences of a chunk are, one tile and one tick at a time in plain Python, from the definitions in the
requirements alone. Shares no code with the packages: their output is judged by it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CITY_KINDS = {1, 6, 9}
GENERAL_KINDS = {2, 7, 10}
IMPASSABLE_KINDS = {3, 4}
STEPS = ((0, -1), (0, 1), (-1, 0), (1, 0))


@dataclass
class ReferenceExperience:
    """One (game, player, tick). `planes` has nine lists of H * W numbers, `mask` 8 * H * W + 1 truths."""

    player: int
    tick: int
    planes: list[list[float]]
    mask: list[bool]
    action: int
    reward: float
    next_planes: list[list[float]]
    next_mask: list[bool]
    terminated: bool
    truncated: bool


@dataclass
class Board:
    """One board of a chunk, taken apart."""

    width: int
    height: int
    kinds: list[int]
    owners: list[int]
    armies: list[int]

    def neighbours(self, tile: int) -> list[int | None]:
        """Up, down, left, right; None off the board."""
        x, y = tile % self.width, tile // self.width
        found: list[int | None] = []
        for dx, dy in STEPS:
            inside = 0 <= x + dx < self.width and 0 <= y + dy < self.height
            found.append((y + dy) * self.width + x + dx if inside else None)
        return found

    def around(self, tile: int) -> list[int]:
        """The tile and what stands around it, at most nine."""
        x, y = tile % self.width, tile // self.width
        return [
            v * self.width + u
            for v in range(max(0, y - 1), min(self.height, y + 2))
            for u in range(max(0, x - 1), min(self.width, x + 2))
        ]


def board(chunk: Any, index: int) -> Board:
    """Board `index` of a chunk."""
    tiles = [int(tile) for tile in chunk.tiles[index]]
    return Board(
        chunk.width,
        chunk.height,
        kinds=[tile // 16 for tile in tiles],
        owners=[tile % 16 - 1 for tile in tiles],
        armies=[int(army) for army in chunk.armies[index]],
    )


def visible_tiles(at: Board, teams: Sequence[int], player: int) -> set[int]:
    """The tiles that the player's team sees."""
    seen: set[int] = set()
    for tile, owner in enumerate(at.owners):
        if owner >= 0 and teams[owner] == teams[player]:
            seen.update(at.around(tile))
    return seen


def planes(at: Board, teams: Sequence[int], player: int, scale: float = 1000.0) -> list[list[float]]:
    """The nine planes, in order."""
    seen = visible_tiles(at, teams, player)
    result = [[0.0] * len(at.kinds) for _ in range(9)]
    for tile, (kind, owner, army) in enumerate(zip(at.kinds, at.owners, at.armies, strict=True)):
        if tile not in seen:
            result[8][tile] = 1.0
            continue
        strength = min(1.0, max(0.0, army / scale))
        ours = owner >= 0 and teams[owner] == teams[player]
        theirs = owner >= 0 and not ours
        result[0][tile] = strength if ours else 0.0
        result[1][tile] = strength if theirs else 0.0
        result[2][tile] = float(ours)
        result[3][tile] = float(theirs)
        result[4][tile] = float(owner < 0 and kind not in IMPASSABLE_KINDS)
        result[5][tile] = float(kind in CITY_KINDS or kind in GENERAL_KINDS)
        result[6][tile] = float(kind in IMPASSABLE_KINDS)
        result[7][tile] = 1.0
    return result


def mask(at: Board, player: int) -> list[bool]:
    """Which actions are legal."""
    moves = []
    for tile in range(len(at.kinds)):
        for target in at.neighbours(tile):
            legal = at.owners[tile] == player and at.armies[tile] > 1
            moves.append(legal and target is not None and at.kinds[target] not in IMPASSABLE_KINDS)
    return [*moves, *moves, True]


def remembered(chunk: Any, player: int) -> tuple[list[set[int]], list[set[int]]]:
    """For each board: the tiles ever seen, and those that were another team's general when last seen."""
    last: dict[int, int] = {}
    if chunk.memory is not None:
        last = {i: int(tile) for i, tile in enumerate(chunk.memory.tiles[player]) if int(tile) != 255}
    seen, generals = [], []
    for index in range(len(chunk.tiles)):
        for tile in visible_tiles(board(chunk, index), chunk.teams, player):
            last[tile] = int(chunk.tiles[index][tile])
        seen.append(set(last))
        generals.append(
            {
                i
                for i, tile in last.items()
                if tile // 16 in GENERAL_KINDS and tile % 16 and chunk.teams[tile % 16 - 1] != chunk.teams[player]
            }
        )
    return seen, generals


def is_alive(chunk: Any, index: int, player: int) -> bool:
    """Whether the player lives on board `index`."""
    return bool(int(chunk.alive[index]) >> player & 1)


def wins(chunk: Any, step: int, player: int) -> bool:
    """Whether the player, alive after tick `step`, wins with it."""
    last = step == len(chunk.actions) - 1
    ended = last and chunk.outcome is not None and chunk.outcome.reason in ("won", "stalemate")
    if not ended or not is_alive(chunk, step + 1, player):
        return False
    return any(chunk.teams[winner] == chunk.teams[player] for winner in chunk.outcome.winners)


DEFAULTS = {"win": 1.0, "loss": -1.0, "city_captured": 0.1, "city_lost": -0.1, "army_advantage": 0.05}


def reward(
    chunk: Any, step: int, player: int, before: Board, after: Board, weights: Mapping[str, float] = DEFAULTS
) -> float:
    """The reward of a living player for tick `step`."""
    if not is_alive(chunk, step + 1, player):
        return weights["loss"]
    if wins(chunk, step, player):
        return weights["win"]
    total = 0.0
    for tile, kind in enumerate(after.kinds):
        if kind in CITY_KINDS and after.owners[tile] == player != before.owners[tile]:
            total += weights["city_captured"]
        if kind in CITY_KINDS and before.owners[tile] == player != after.owners[tile]:
            total += weights["city_lost"]
    ours = theirs = 0
    for owner, army in zip(after.owners, after.armies, strict=True):
        if owner >= 0 and chunk.teams[owner] == chunk.teams[player]:
            ours += army
        elif owner >= 0:
            theirs += army
    if ours + theirs:
        total += weights["army_advantage"] * (ours - theirs) / (ours + theirs)
    return total


def experiences(chunk: Any, scale: float = 1000.0) -> list[ReferenceExperience]:
    """All experiences of a chunk, by player, then tick."""
    boards = [board(chunk, index) for index in range(len(chunk.tiles))]
    found = []
    for player in range(len(chunk.teams)):
        views = [planes(at, chunk.teams, player, scale) for at in boards]
        masks = [mask(at, player) for at in boards]
        for step in range(len(chunk.actions)):
            if not is_alive(chunk, step, player):
                break
            dies = not is_alive(chunk, step + 1, player)
            terminated = dies or wins(chunk, step, player)
            last = step == len(chunk.actions) - 1 and chunk.outcome is not None
            found.append(
                ReferenceExperience(
                    player=player,
                    tick=chunk.first_tick + step,
                    planes=views[step],
                    mask=masks[step],
                    action=int(chunk.actions[step][player]),
                    reward=reward(chunk, step, player, boards[step], boards[step + 1]),
                    next_planes=views[step + 1],
                    next_mask=masks[step + 1],
                    terminated=terminated,
                    truncated=last and not terminated and chunk.outcome.reason in ("tick_limit", "aborted"),
                )
            )
    return found
