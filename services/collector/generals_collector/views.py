"""The packed view of one player: what its team sees of every board of a chunk.

A team sees 3 x 3 around each tile of each of its players, the dead ones included: who surrendered still owns land
until it falls to a mate or to nobody, and a team loses sight of it only then. A player who has died sees with the team
too, in the last state of its batch.

Visibility is dilated anew only when the team lost a tile; around tiles it gained it is added to. Armies are copied
under a mask in which only the tiles that came into or fell out of sight are changed.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from generals_collector.bitboards import GUARD, Words, column_masks, dilate, lowest_bit, store_word
from generals_collector.survey import Survey, read_only
from generals_schemas.encodings import BASE_PLANES
from generals_schemas.jit import jit, jit_inline
from generals_schemas.records import Armies, TransitionChunk

MINE = "mine"
"""A sixth plane, the player's own tiles, stored when it has a team mate: only these can be moved."""


@dataclass(frozen=True, slots=True, eq=False)
class PlayerView:
    """The states of one player, packed.

    armies: `[N + 1, HW]`, 0 where the team cannot see.
    bits: `[N + 1, len(planes), ceil(HW / 8)]` u1, little bit order.
    """

    planes: tuple[str, ...]
    armies: Armies
    bits: NDArray[np.uint8]


@lru_cache(maxsize=256)
def team_of(teams: tuple[int, ...], player: int) -> NDArray[np.bool_]:
    """`[P]`: who is in the player's team, itself included."""
    return np.array([team == teams[player] for team in teams])


@lru_cache(maxsize=256)
def stored_planes(teams: tuple[int, ...], player: int) -> tuple[str, ...]:
    """The planes of every encoding for this player: with a team mate, MINE too."""
    return (*BASE_PLANES, MINE) if teams.count(teams[player]) > 1 else BASE_PLANES


def player_view(chunk: TransitionChunk, found: Survey, player: int, steps: int, extra: int = 0) -> PlayerView:
    """What `player` sees of boards 0 … `steps`; `extra` zero planes are left behind the others."""
    planes = stored_planes(chunk.teams, player)
    tiles = chunk.width * chunk.height
    row_bytes = (tiles + 7) // 8
    stored = len(planes) + extra
    size = (steps + 1) * stored * row_bytes
    bits = np.zeros(size + 8, np.uint8) if extra else np.empty(size + 8, np.uint8)
    armies = np.empty((steps + 1, tiles), chunk.armies.dtype)
    _view(
        read_only(chunk.armies),
        found.boards,
        team_of(chunk.teams, player),
        player if len(planes) > len(BASE_PLANES) else -1,
        column_masks(chunk.width, chunk.height),
        chunk.width,
        armies,
        bits,
        row_bytes,
        stored * row_bytes,
    )
    return PlayerView(planes, armies, bits[:size].reshape(steps + 1, stored, row_bytes))


@jit
def _view(
    armies: Armies,
    boards: Words,
    team: NDArray[np.bool_],
    mine: int,
    masks: Words,
    width: int,
    seen: Armies,
    bits: NDArray[np.uint8],
    row_bytes: int,
    board_bytes: int,
) -> None:
    """Fill `seen` `[N + 1, HW]` and `bits`, flat, with eight bytes to spare."""
    length, players = boards.shape[2], team.shape[0]
    sight = np.zeros(seen.shape[1], seen.dtype)  # all ones where the team sees
    own, other = np.zeros(length, np.uint64), np.zeros(length, np.uint64)
    gained, visible = np.zeros(length, np.uint64), np.zeros(length, np.uint64)
    structures, impassable = np.zeros(length, np.uint64), np.zeros(length, np.uint64)
    spread, guarded = np.zeros(length, np.uint64), np.zeros(length + 2 * GUARD, np.uint64)
    for t in range(seen.shape[0]):
        if _sides(boards[t], team, own, other, gained):
            dilate(own, masks, width, spread, guarded)
            _look(spread, visible, sight)
        else:
            _look_around(gained, visible, sight, width)
        for i in range(seen.shape[1]):
            seen[t, i] = armies[t, i] & sight[i]
        # Each plane's last word reaches into the next plane, which is written after it: ascending order matters.
        place = t * board_bytes
        _store(bits, place, own)
        for k in range(length):
            see = visible[k]
            other[k] &= see
            structures[k] = boards[t, players, k] & see
            impassable[k] = boards[t, players + 1, k] & see
        _store(bits, place + row_bytes, other)
        _store(bits, place + 2 * row_bytes, structures)
        _store(bits, place + 3 * row_bytes, impassable)
        _store(bits, place + 4 * row_bytes, visible)
        if mine >= 0:
            _store(bits, place + 5 * row_bytes, boards[t, mine])


@jit_inline
def _store(bits: NDArray[np.uint8], place: int, plane: Words) -> None:
    for k in range(plane.shape[0]):
        store_word(bits, place + 8 * k, plane[k])


@jit
def _sides(board: Words, team: NDArray[np.bool_], own: Words, other: Words, gained: Words) -> bool:
    """Part the owners of a board, `[P + 2, L]`, into the team and others. True if the team lost a tile."""
    lost = np.uint64(0)
    for k in range(own.shape[0]):
        ours, theirs = np.uint64(0), np.uint64(0)
        for p in range(team.shape[0]):
            if team[p]:
                ours |= board[p, k]
            else:
                theirs |= board[p, k]
        lost |= own[k] & ~ours
        gained[k] = ours & ~own[k]
        own[k] = ours
        other[k] = theirs
    return bool(lost != 0)


@jit
def _look(spread: Words, visible: Words, sight: Armies) -> None:
    """Take over what is seen now, `spread`, and turn the army mask over where that differs from before."""
    for k in range(spread.shape[0]):
        word = spread[k] ^ visible[k]
        visible[k] = spread[k]
        while word != 0:
            i = k * 64 + lowest_bit(word)
            word &= word - np.uint64(1)
            sight[i] = ~sight[i]


@jit
def _look_around(gained: Words, visible: Words, sight: Armies, width: int) -> None:
    """Add the 3 x 3 around each of the tiles just gained to what is seen."""
    count = sight.shape[0]
    for k in range(gained.shape[0]):
        word = gained[k]
        while word != 0:
            i = k * 64 + lowest_bit(word)
            word &= word - np.uint64(1)
            column = i % width
            left = 0 if column == 0 else -1
            right = 1 if column == width - 1 else 2
            for row in range(i - width, i + width + 1, width):
                if 0 <= row < count:
                    for j in range(row + left, row + right):
                        visible[j >> 6] |= np.uint64(1) << np.uint64(j & 63)
                        sight[j] |= ~np.int64(0)
