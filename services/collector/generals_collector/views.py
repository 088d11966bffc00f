"""The packed view of one player: what its team sees of every board of a chunk.

A team sees 3 x 3 around each tile of each of its players, the dead ones included: who surrendered still owns land
until it falls to a mate or to nobody, and a team loses sight of it only then. A player who has died sees with the team
too, in the last state of its batch.

Visibility is dilated anew only when the team lost a tile; around tiles it gained it is added to. Armies are copied
under a mask in which only the tiles that came into or fell out of sight are changed.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from generals_collector.survey import Survey, read_only
from generals_schemas.bitboards import GUARD, Words, column_masks, dilate, neighbourhoods
from generals_schemas.encodings import BASE_PLANES
from generals_schemas.jit import jit_inline, jit_kernel
from generals_schemas.records import Armies, TransitionChunk
from generals_schemas.unaligned import store64, trailing_zeros

MINE = "mine"
"""A fifth plane, the player's own tiles, stored when it has a team mate: only these can be moved."""


class PlayerView(NamedTuple):
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


class _Seating(NamedTuple):
    """What is the same for all chunks with these teams and players.

    seats: `[A, P + 1]`, a row a player: who is in its team, and last the player itself if it has a mate, else -1.
    planes: names of the stored planes, a row a player.
    """

    seats: NDArray[np.int64]
    planes: tuple[tuple[str, ...], ...]


@lru_cache(maxsize=4096)
def _seating(teams: tuple[int, ...], lives: tuple[tuple[int, int], ...]) -> _Seating:
    players = [player for player, _ in lives]
    planes = tuple(stored_planes(teams, player) for player in players)
    rows = [
        [*team_of(teams, player), player if MINE in names else -1]
        for player, names in zip(players, planes, strict=True)
    ]
    return _Seating(np.array(rows, np.int64), planes)


def player_views(
    chunk: TransitionChunk, found: Survey, lives: Sequence[tuple[int, int]], extra: int = 0
) -> list[PlayerView]:
    """The views of players: of each (player, N) what it sees of boards 0 … N. `extra` zero planes are left behind,
    to be written; without them the arrays are read-only.

    All are parts of two blocks, so that a chunk costs one call of the kernel and not one a player.
    """
    seats, planes = _seating(chunk.teams, tuple(lives))
    count = chunk.width * chunk.height
    boards, row_bytes, stored = chunk.ticks + 1, (count + 7) // 8, max(map(len, planes)) + extra
    size = len(planes) * boards * stored * row_bytes
    bits = np.zeros(size + 8, np.uint8) if extra else np.empty(size + 8, np.uint8)
    armies = np.empty((len(planes), boards, count), chunk.armies.dtype)
    _views(
        read_only(chunk.armies),
        found.boards,
        seats,
        column_masks(chunk.width, chunk.height),
        neighbourhoods(chunk.width, chunk.height),
        chunk.width,
        armies,
        bits,
        row_bytes,
        stored * row_bytes,
        np.empty(count, armies.dtype),
        np.empty((8, found.boards.shape[2] + 2 * GUARD), np.uint64),
    )
    armies.flags.writeable = False
    bits.flags.writeable = extra > 0
    blocks = bits[:size].reshape(len(planes), boards, stored, row_bytes)
    if all(steps == chunk.ticks for _, steps in lives) and len(set(planes)) == 1:
        return list(map(PlayerView, planes, armies, blocks))
    return [
        PlayerView(names, armies[index, : steps + 1], blocks[index, : steps + 1, : len(names) + extra])
        for index, ((_, steps), names) in enumerate(zip(lives, planes, strict=True))
    ]


@jit_kernel
def _views(
    armies: Armies,
    boards: Words,
    seats: NDArray[np.int64],
    masks: Words,
    around: NDArray[np.int16],
    width: int,
    seen: Armies,
    bits: NDArray[np.uint8],
    row_bytes: int,
    board_bytes: int,
    sight: Armies,
    scratch: Words,
) -> None:
    """Fill `seen` `[A, T + 1, HW]` and `bits`, flat, with eight bytes to spare. Scratch: `[HW]`, `[8, L + 2 GUARD]`."""
    for a in range(seats.shape[0]):
        place = a * seen.shape[1] * board_bytes
        scratch[:] = 0
        sight[:] = 0
        _view(
            armies, boards, seats[a], masks, around, width, seen[a], bits, place, row_bytes, board_bytes, sight, scratch
        )


@jit_kernel
def _view(
    armies: Armies,
    boards: Words,
    seat: NDArray[np.int64],
    masks: Words,
    around: NDArray[np.int16],
    width: int,
    seen: Armies,
    bits: NDArray[np.uint8],
    place: int,
    row_bytes: int,
    board_bytes: int,
    sight: Armies,
    scratch: Words,
) -> None:
    """One player. `sight` is all ones where the team sees."""
    length, players = boards.shape[2], seat.shape[0] - 1
    mine = seat[players]
    own, other, gained, visible = scratch[0, :length], scratch[1, :length], scratch[2, :length], scratch[3, :length]
    structures, impassable, spread = scratch[4, :length], scratch[5, :length], scratch[6, :length]
    for t in range(seen.shape[0]):
        if _sides(boards[t], seat, own, other, gained):
            dilate(own, masks, width, spread, scratch[7])
            _look(spread, visible, sight)
        else:
            _look_around(gained, visible, sight, around)
        for i in range(seen.shape[1]):
            seen[t, i] = armies[t, i] & sight[i]
        for k in range(length):
            see = visible[k]
            other[k] &= see
            structures[k] = boards[t, players, k] & see
            impassable[k] = boards[t, players + 1, k] & see
        # Each plane's last word reaches into the next plane, which is written after it: ascending order matters.
        _store(bits, place, own)
        _store(bits, place + row_bytes, other)
        _store(bits, place + 2 * row_bytes, structures)
        _store(bits, place + 3 * row_bytes, impassable)
        if mine >= 0:
            _store(bits, place + 4 * row_bytes, boards[t, mine])
        place += board_bytes


@jit_inline
def _store(bits: NDArray[np.uint8], place: int, plane: Words) -> None:
    for k in range(plane.shape[0]):
        store64(bits, place + 8 * k, plane[k])


@jit_kernel
def _sides(board: Words, seat: NDArray[np.int64], own: Words, other: Words, gained: Words) -> bool:
    """Part the owners of a board, `[P + 2, L]`, into the team and others. True if the team lost a tile."""
    length = own.shape[0]
    for k in range(length):
        gained[k] = own[k]
        own[k] = other[k] = 0
    for p in range(seat.shape[0] - 1):
        side = own if seat[p] else other
        for k in range(length):
            side[k] |= board[p, k]
    lost = np.uint64(0)
    for k in range(length):
        before = gained[k]
        lost |= before & ~own[k]
        gained[k] = own[k] & ~before
    return bool(lost != 0)


@jit_kernel
def _look(spread: Words, visible: Words, sight: Armies) -> None:
    """Take over what is seen now, `spread`, and turn the army mask over where that differs from before."""
    for k in range(spread.shape[0]):
        word = spread[k] ^ visible[k]
        visible[k] = spread[k]
        while word != 0:
            i = k * 64 + trailing_zeros(word)
            word &= word - np.uint64(1)
            sight[i] = ~sight[i]


@jit_kernel
def _look_around(gained: Words, visible: Words, sight: Armies, around: NDArray[np.int16]) -> None:
    """Add the 3 x 3 around each of the tiles just gained to what is seen."""
    for k in range(gained.shape[0]):
        word = gained[k]
        while word != 0:
            i = k * 64 + trailing_zeros(word)
            word &= word - np.uint64(1)
            for n in range(9):
                j = around[i, n]
                visible[j >> 6] |= np.uint64(1) << np.uint64(j & 63)
                sight[j] = ~np.int64(0)
