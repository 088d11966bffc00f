"""One pass over a chunk that finds what all players share: who owns what, totals, and cities that changed hands.

Consecutive boards are nearly equal, so bit boards are carried from one board to the next and only tiles whose byte
changed are looked at: two or three a tick instead of H * W. Army totals are sums under a mask a player, which the
compiler vectorises.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from generals_schemas.bitboards import Words, flip, mask_above, mask_equal, word_count
from generals_schemas.jit import jit_inline, jit_kernel
from generals_schemas.records import Armies, TransitionChunk
from generals_schemas.tiles import IS_CITY, IS_IMPASSABLE, IS_STRUCTURE
from generals_schemas.unaligned import trailing_zeros

Counts = NDArray[np.int64]


class Survey(NamedTuple):
    """What all players' views and rewards are made of. L words a bit board.

    boards: `[T + 1, P + 2, L]` the tiles of each player, cities and generals, mountains and obstacles.
    counts: `[4, T + 1, P]` of each player: army; land; tiles that are cities on a board and became the player's in the
        tick before it; the same that stopped being the player's. The latter two are 0 for board 0.
    """

    boards: Words
    counts: Counts


def survey(chunk: TransitionChunk) -> Survey:
    """Survey a chunk whose tile bytes are valid (owners below P): `validation` comes first."""
    count, tiles = chunk.tiles.shape
    words = word_count(tiles)
    boards = np.zeros((count, chunk.players + 2, words), np.uint64)
    counts = np.zeros((4, count, chunk.players), np.int64)
    _survey(
        read_only(chunk.tiles),
        read_only(chunk.armies),
        boards,
        counts,
        np.empty((chunk.players, tiles), chunk.armies.dtype),
        np.zeros(words * 64, np.uint8),
        np.empty(1, _SUMS[chunk.armies.itemsize]),
    )
    return Survey(boards, counts)


_SUMS = {2: np.uint32, 4: np.uint64}
"""4,096 armies of 16 bits fit 32, and narrow lanes sum twice as fast."""


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """The array as a C-contiguous view that cannot be written: kernels are then compiled once, not once a kind."""
    flags = array.flags
    if flags.c_contiguous and not flags.writeable:
        return array
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


@jit_kernel
def _survey(
    tiles: NDArray[np.uint8],
    armies: Armies,
    boards: Words,
    counts: Counts,
    holding: Armies,
    changes: NDArray[np.uint8],
    total: NDArray[Any],
) -> None:
    """Scratch: `holding` `[P, HW]`, all ones on the player's tiles, else 0; `changes` `[64 L]`; `total` `[1]`.

    A sum is kept in memory: a plain variable would be 64 bits wide, and so would the lanes.
    """
    count, players = tiles.shape[1], boards.shape[1] - 2
    army, land, won, lost = counts[0], counts[1], counts[2], counts[3]
    change_words = changes.view(np.uint64)
    _begin(tiles[0], holding, boards[0], land[0], changes)
    _total(armies[0], holding, total, army[0])
    for t in range(1, tiles.shape[0]):
        for p in range(players + 2):
            for k in range(boards.shape[2]):
                boards[t, p, k] = boards[t - 1, p, k]
        for p in range(players):
            land[t, p] = land[t - 1, p]
        for i in range(count):
            changes[i] = tiles[t, i] ^ tiles[t - 1, i]
        for k in range(change_words.shape[0]):
            word = change_words[k]
            while word != 0:
                byte = trailing_zeros(word) >> 3
                word &= ~(np.uint64(255) << np.uint64(byte * 8))
                i = k * 8 + byte
                _change(tiles[t - 1, i], tiles[t, i], i, holding, boards[t], land[t], won[t], lost[t])
        _total(armies[t], holding, total, army[t])


@jit_kernel
def _begin(tiles: NDArray[np.uint8], holding: Armies, board: Words, land: Counts, scratch: NDArray[np.uint8]) -> None:
    players, count, length = holding.shape[0], tiles.shape[0], board.shape[1]
    for i in range(count):
        scratch[i] = tiles[i] & 15
    for p in range(players):
        for i in range(count):
            holding[p, i] = -np.int64(scratch[i] == p + 1)
        for i in range(count):
            land[p] += holding[p, i] & 1
        for k in range(length):
            board[p, k] = mask_equal(scratch, k * 64, p + 1)
    _begin_terrain(tiles, board, scratch)


@jit_kernel
def _begin_terrain(tiles: NDArray[np.uint8], board: Words, scratch: NDArray[np.uint8]) -> None:
    players, count, length = board.shape[0] - 2, tiles.shape[0], board.shape[1]
    for i in range(count):
        scratch[i] = tiles[i] >> 4
    for k in range(length):
        word = mask_above(scratch, k * 64, 0)
        while word != 0:
            i = k * 64 + trailing_zeros(word)
            word &= word - np.uint64(1)
            if IS_STRUCTURE[scratch[i]]:
                flip(board[players], i)
            if IS_IMPASSABLE[scratch[i]]:
                flip(board[players + 1], i)


@jit_inline
def _change(
    before: int, after: int, i: int, holding: Armies, board: Words, land: Counts, won: Counts, lost: Counts
) -> None:
    players = holding.shape[0]
    old, new = np.int64(before & 15) - 1, np.int64(after & 15) - 1
    kind = after >> 4
    if old != new:
        if old >= 0:
            flip(board[old], i)
            holding[old, i] = 0
            land[old] -= 1
            lost[old] += IS_CITY[kind]
        if new >= 0:
            flip(board[new], i)
            holding[new, i] = ~holding[new, i]
            land[new] += 1
            won[new] += IS_CITY[kind]
    if kind != before >> 4:
        if IS_STRUCTURE[kind] != IS_STRUCTURE[before >> 4]:
            flip(board[players], i)
        if IS_IMPASSABLE[kind] != IS_IMPASSABLE[before >> 4]:
            flip(board[players + 1], i)


@jit_kernel
def _total(armies: Armies, holding: Armies, total: NDArray[Any], army: Counts) -> None:
    for p in range(holding.shape[0]):
        total[0] = 0
        for i in range(armies.shape[0]):
            total[0] += armies[i] & holding[p, i]
        army[p] = total[0]
