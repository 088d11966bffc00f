"""Recorded chunks into the form in which a record carries their arrays, many in one call.

The bytes are those that `chunk_writer` would make of the same chunk, which the tests say. It asks for each array from
Python, which takes as long as the packing itself.
"""

# mypy: disable-error-code="no-any-return"

import numpy as np
from numpy.typing import NDArray

from generals_engine.kernel.state import AREA, FILLED, PLAYERS, WIDE, Game, State
from generals_schemas.jit import jit_inline, jit_kernel
from generals_schemas.unaligned import address_of
from generals_schemas.zstd_rows import write_frame
from generals_schemas.zstd_tables import GENERAL

NOT_PACKED = 0
ARRAYS = 4
"""Of a chunk: actions, armies, who lives, tiles."""


@jit_kernel
def pack_chunks(
    state: State,
    playing: NDArray[np.bool_],
    first: int,
    count: int,
    pieces: NDArray[np.int64],
    literals: NDArray[np.uint8],
    sequences: NDArray[np.int32],
    written: NDArray[np.int64],
) -> None:
    """The chunks that `play_chunks` recorded, to `record_packed` of their slots, their sizes to `packed_bytes`.

    NOT_PACKED where armies were recorded in u4: a record has them so only if one of them needs it.
    Scratch: pieces `[ARRAYS, 4]`; literals, sequences, written, see `zstd_rows`.
    """
    for slot in range(count):
        state.packed_bytes[slot] = NOT_PACKED
        game = state.words[first + slot]
        if playing[first + slot] and not game[WIDE]:
            state.packed_bytes[slot] = _pack(state, game, slot, pieces, literals, sequences, written)


@jit_kernel
def _pack(
    state: State,
    game: Game,
    slot: int,
    pieces: NDArray[np.int64],
    literals: NDArray[np.uint8],
    sequences: NDArray[np.int32],
    written: NDArray[np.int64],
) -> int:
    ticks, players, area = game[FILLED], game[PLAYERS], game[AREA]
    _describe(pieces[0], address_of(state.record_actions[slot]), ticks, 4 * players)
    _describe(pieces[1], address_of(state.record_armies[slot]), ticks + 1, 2 * area)
    _describe(pieces[2], address_of(state.record_alive[slot]), ticks + 1, 2)
    _describe(pieces[3], address_of(state.record_tiles[slot]), ticks + 1, area)
    size = pieces[0, 1] + pieces[1, 1] + pieces[2, 1] + pieces[3, 1]
    return write_frame(pieces, size, state.record_packed[slot], literals, sequences, written)


@jit_inline
def _describe(piece: NDArray[np.int64], address: int, rows: int, stride: int) -> None:
    piece[0], piece[1], piece[2], piece[3] = address, rows * stride, stride, GENERAL
