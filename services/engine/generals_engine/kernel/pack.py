"""Recorded chunks into the form in which a record carries their arrays, many in one call.

The bytes are those that `chunk_writer` would make of the same chunk, which the tests say. It asks for each array from
Python, which takes as long as the packing itself.
"""

# mypy: disable-error-code="no-any-return"

import numpy as np
from numpy.typing import NDArray

from generals_engine.kernel.state import AREA, FILLED, PLAYERS, WIDE, Game, State
from generals_schemas.jit import jit_kernel
from generals_schemas.zstd_rows import write_frame
from generals_schemas.zstd_tables import GENERAL

NOT_PACKED = 0


@jit_kernel
def pack_chunks(
    state: State,
    playing: NDArray[np.bool_],
    first: int,
    count: int,
    literals: NDArray[np.uint8],
    sequences: NDArray[np.int32],
    written: NDArray[np.int64],
) -> None:
    """The chunks that `play_chunks` recorded, to `record_packed` of their slots, their sizes to `packed_bytes`.

    NOT_PACKED where armies were recorded in u4: a record has them so only if one of them needs it.
    literals, sequences, written: scratch, see `zstd_rows`.
    """
    for slot in range(count):
        state.packed_bytes[slot] = NOT_PACKED
        game = state.words[first + slot]
        if playing[first + slot] and not game[WIDE]:
            state.packed_bytes[slot] = _pack(state, game, slot, literals, sequences, written)


@jit_kernel
def _pack(
    state: State,
    game: Game,
    slot: int,
    literals: NDArray[np.uint8],
    sequences: NDArray[np.int32],
    written: NDArray[np.int64],
) -> int:
    # Numba makes no tuple of 4-byte and 8-byte numbers.
    ticks, players, area = int(np.int64(game[FILLED])), int(np.int64(game[PLAYERS])), int(np.int64(game[AREA]))
    boards = ticks + 1
    arrays = (
        state.record_actions[slot, : ticks * players].view(np.uint8),
        state.record_armies[slot, : boards * area].view(np.uint8),
        state.record_alive[slot, :boards].view(np.uint8),
        state.record_tiles[slot, : boards * area],
    )
    rows = ((4 * players, GENERAL), (2 * area, GENERAL), (2, GENERAL), (area, GENERAL))
    size = 4 * ticks * players + 3 * boards * area + 2 * boards
    return write_frame(arrays, rows, size, state.record_packed[slot], literals, sequences, written)
