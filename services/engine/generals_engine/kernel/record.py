"""Boards into records, as the ticks go by.

Rows of a record are packed at the board's own size, so that a chunk is one contiguous view. Armies are recorded in u2
unless they might outgrow it within the chunk, which is known before the chunk begins: what the board holds, plus all
that can grow in its ticks.
"""

# mypy: disable-error-code="no-any-return"

from generals_engine.kernel.state import (
    ALIVE,
    AREA,
    ARMIES,
    CHUNK_TICKS,
    FILLED,
    STRUCTURE_COUNT,
    TILES,
    WIDE,
    Game,
    State,
)
from generals_schemas.jit import jit_kernel

U2_MAX = 65_535


@jit_kernel
def begin_chunk(state: State, game: Game, slot: int) -> None:
    """Start recording with the board as it stands."""
    total = 0
    for army in game[ARMIES : ARMIES + game[AREA]]:
        total += army
    ticks = game[CHUNK_TICKS]
    growth = (ticks // 2 + 1) * game[STRUCTURE_COUNT] + (ticks // 50 + 1) * game[AREA]
    game[WIDE] = total + growth > U2_MAX
    game[FILLED] = 0
    record_board(state, game, slot, 0)


@jit_kernel
def record_board(state: State, game: Game, slot: int, row: int) -> None:
    """Copy the board to row `row` of a slot."""
    area = int(game[AREA])
    start = row * area
    tiles = state.record_tiles[slot, start : start + area]
    board = game[TILES : TILES + area]
    for tile in range(area):
        tiles[tile] = board[tile]
    armies = game[ARMIES : ARMIES + area]
    if game[WIDE]:
        wide = state.record_wide[slot, start : start + area]
        for tile in range(area):
            wide[tile] = armies[tile]
    else:
        narrow = state.record_armies[slot, start : start + area]
        for tile in range(area):
            narrow[tile] = armies[tile]
    state.record_alive[slot, row] = game[ALIVE]
