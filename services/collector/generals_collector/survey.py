"""One pass over a chunk that finds what all players share: who owns what, totals, and cities that changed hands.

Consecutive boards are nearly equal, so bit boards are carried from one board to the next and only tiles whose byte
changed are looked at: two or three a tick instead of H * W. Army totals are sums under a mask a player, which the
compiler vectorises.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generals_collector.bitboards import Words, flip, lowest_bit, mask_above, mask_equal, word_count
from generals_schemas.jit import jit, jit_inline
from generals_schemas.records import Armies, TransitionChunk
from generals_schemas.tiles import IS_CITY, IS_IMPASSABLE, IS_STRUCTURE

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """What all players' views and rewards are made of. L words a bit board.

    boards: `[T + 1, P + 2, L]` the tiles of each player, cities and generals, mountains and obstacles.
    army, land: `[T + 1, P]` totals of each player.
    cities_won, cities_lost: `[T + 1, P]` tiles that are cities on a board and became, stopped being the player's in the
        tick before it; 0 for board 0.
    """

    boards: Words
    army: Counts
    land: Counts
    cities_won: Counts
    cities_lost: Counts


def survey(chunk: TransitionChunk) -> Survey:
    """Survey a chunk whose tile bytes are valid (owners below P): `validation` comes first."""
    count, tiles = chunk.tiles.shape
    boards = np.zeros((count, chunk.players + 2, word_count(tiles)), np.uint64)
    counts = np.zeros((4, count, chunk.players), np.int64)
    _survey(read_only(chunk.tiles), read_only(chunk.armies), boards, counts, _ACCUMULATORS[chunk.armies.itemsize])
    return Survey(boards, *counts)


_ACCUMULATORS: dict[int, NDArray[Any]] = {2: np.zeros(1, np.uint32), 4: np.zeros(1, np.uint64)}
"""Only their dtype counts, never what they hold: 4,096 armies of 16 bits fit 32, and narrow lanes sum twice as fast."""


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """The array as a C-contiguous view that cannot be written: kernels are then compiled once, not once a kind."""
    flags = array.flags
    if flags.c_contiguous and not flags.writeable:
        return array
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


@jit
def _survey(tiles: NDArray[np.uint8], armies: Armies, boards: Words, counts: Counts, accumulator: NDArray[Any]) -> None:
    count, players = tiles.shape[1], boards.shape[1] - 2
    army, land, won, lost = counts[0], counts[1], counts[2], counts[3]
    holding = np.zeros((players, count), armies.dtype)  # all ones on the player's tiles, else 0
    total = np.zeros(1, accumulator.dtype)
    changes = np.zeros((count + 7) // 8 * 8, np.uint8)
    change_words = changes.view(np.uint64)
    _begin(tiles[0], holding, boards[0], land[0])
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
                byte = lowest_bit(word) >> 3
                word &= ~(np.uint64(255) << np.uint64(byte * 8))
                i = k * 8 + byte
                _change(tiles[t - 1, i], tiles[t, i], i, holding, boards[t], land[t], won[t], lost[t])
        _total(armies[t], holding, total, army[t])


@jit
def _begin(tiles: NDArray[np.uint8], holding: Armies, board: Words, land: Counts) -> None:
    players, count, length = holding.shape[0], tiles.shape[0], board.shape[1]
    owners, special = np.zeros(length * 64, np.uint8), np.zeros(length * 64, np.uint8)
    for i in range(count):
        owners[i] = tiles[i] & 15
        special[i] = tiles[i] >> 4
    for p in range(players):
        for i in range(count):
            holding[p, i] = -np.int64(owners[i] == p + 1)
        for i in range(count):
            land[p] += holding[p, i] & 1
        for k in range(length):
            board[p, k] = mask_equal(owners, k * 64, p + 1)
    for k in range(length):
        word = mask_above(special, k * 64, 0)
        while word != 0:
            i = k * 64 + lowest_bit(word)
            word &= word - np.uint64(1)
            if IS_STRUCTURE[special[i]]:
                flip(board[players], i)
            if IS_IMPASSABLE[special[i]]:
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


@jit
def _total(armies: Armies, holding: Armies, total: NDArray[Any], army: Counts) -> None:
    for p in range(holding.shape[0]):
        total[0] = 0
        for i in range(armies.shape[0]):
            total[0] += armies[i] & holding[p, i]
        army[p] = total[0]
