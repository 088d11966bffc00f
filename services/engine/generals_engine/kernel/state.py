"""The state of many games side by side: one row of words and one row of bit-masks a game.

A game is passed to kernels as these two rows and nothing else. A struct of twenty arrays read better and was tried:
numba passes each as seven words, which cost five sixths of the speed and a minute of compiling.
Section offsets are constants, so an access is one instruction; they are sized for the largest board, and what a
smaller board leaves unused is never touched (nor, thus, allocated by the system).

A tick touches few tiles, so what it needs is kept up to date move by move instead of scanned: for each player the list
of tiles it may move from, and a bit for each owned tile.

Axes: G games, P players, T ticks, HW tiles. Tile index = y * W + x at the board's own width W.
Recording goes to slots (R of them): when many ticks of one game run in one call, its slot is a few hundred kB that stay
in cache until they are encoded; when all games advance tick by tick, each has a slot of its own.

The constants here are frozen into compiled kernels (see `generals_schemas.jit`).
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from generals_schemas.actions import MAX_PLAYERS, MAX_SIDE
from generals_schemas.zstd_rows import most_packed

Game: TypeAlias = NDArray[np.int32]
"""`[WORDS]`: one game. Scalars first, then sections; index a section as `game[ARMIES + tile]`."""

Bits: TypeAlias = NDArray[np.uint64]
"""`[BIT_WORDS]`: one game's masks and random streams."""

# Scalars.
WIDTH = 0
HEIGHT = 1
AREA = 2  # WIDTH * HEIGHT
PLAYERS = 3
VERSION = 4  # of the rules
TICK = 5  # the clock: ticks played
IDLE = 6  # ticks in a row in which no move was executed
ALIVE = 7  # bit p: player p lives
STRUCTURE_COUNT = 8  # cities and generals on the map, owned or not
OVER = 9  # one of PLAYING, WON, STALEMATE, TIMED_OUT
EXECUTED = 10  # moves carried out so far
CAPTURE_COUNT = 11  # generals taken so far
TRADES = 12
SPLIT_PERCENT = 13  # of random moves
CHUNK_TICKS = 14  # T of this game's chunks
FILLED = 15  # ticks recorded in the current chunk
WIDE = 16  # 1: the current chunk is recorded in u4
TICK_LIMIT = 17  # 0: none
SURRENDERS = 18  # 1: some player has surrendered
BROKEN = 19  # the invariant that does not hold, see `check`
WINNING_TEAM = 20  # set by the death that leaves one team alive; else -1
HARSH = 21  # 1: the map has swamps or deserts
ALLIES = 22  # 1: some team has two players

PLAYING, WON, STALEMATE, TIMED_OUT = 0, 1, 2, 3

# Sections of a few words a player.
MOVE_WORDS = 8
NOTE_WORDS = 16
NEVER = -1
TEAM = 32  # [P]
GENERAL = TEAM + MAX_PLAYERS  # [P] its general's tile, -1 if lost
SURRENDER = GENERAL + MAX_PLAYERS  # [P] when the land of a surrendered player is given away, or NEVER
POLICY = SURRENDER + MAX_PLAYERS  # [P] policy number
MOVABLE_COUNT = POLICY + MAX_PLAYERS  # [P]
CAPTURES = MOVABLE_COUNT + MAX_PLAYERS  # [P, 3] tick, captor, victim
MOVES = CAPTURES + 3 * MAX_PLAYERS  # [P, MOVE_WORDS] this tick's moves
NOTES = MOVES + MOVE_WORDS * MAX_PLAYERS  # [P, NOTE_WORDS] memory of a policy

# Sections of a word a tile. The odd bit of padding keeps equal tiles of two sections out of the same cache set.
_TILE_SECTION = MAX_SIDE * MAX_SIDE + 80
TILES = NOTES + NOTE_WORDS * MAX_PLAYERS  # the tile's byte, see `generals_schemas.tiles`
ARMIES = TILES + _TILE_SECTION
EXITS = ARMIES + _TILE_SECTION  # bit d: the tile in direction d is on the board and no mountain or obstacle
PLACE = EXITS + _TILE_SECTION  # where the tile stands in its owner's `MOVABLE` list, or -1
STRUCTURES = PLACE + _TILE_SECTION  # the first STRUCTURE_COUNT: tiles of cities and generals
MOVABLE = STRUCTURES + _TILE_SECTION  # [P] lists: player p's tiles with army > 1, in no order, begin at p * LIST
LIST = _TILE_SECTION
WORDS = MOVABLE + MAX_PLAYERS * LIST

# Sections of `Bits`. Row masks: bit x of word y.
OPEN = 0  # [64] tiles that can be entered
STREAM = OPEN + MAX_SIDE  # [P] random streams
OWNED = STREAM + 16  # [P, 64] tiles of a player
EXPLORED = OWNED + MAX_PLAYERS * MAX_SIDE  # [P, 64] tiles that a player has seen, kept by the policies that look
SCRATCH = EXPLORED + MAX_PLAYERS * MAX_SIDE  # [6, 64]
BIT_WORDS = SCRATCH + 6 * MAX_SIDE


class State(NamedTuple):
    """All games, and the slots their boards are recorded in.

    words: `[G, WORDS]` i4.  bits: `[G, BIT_WORDS]` u8.
    record_tiles: `[R, most (T + 1) * HW]` u1, rows packed at the board's own size; so armies in u2 and in u4 (wide).
    record_alive: `[R, T + 1]` u2.  record_actions: `[R, T * P]` i4, packed at the game's own number of players.
    record_packed: `[R, bytes]` u1, the arrays as a record carries them, and packed_bytes `[R]` i8: see `pack`.
    """

    words: NDArray[np.int32]
    bits: NDArray[np.uint64]
    record_tiles: NDArray[np.uint8]
    record_armies: NDArray[np.uint16]
    record_wide: NDArray[np.uint32]
    record_alive: NDArray[np.uint16]
    record_actions: NDArray[np.int32]
    record_packed: NDArray[np.uint8]
    packed_bytes: NDArray[np.int64]


def allocate(
    *, games: int, slots: int, record_tiles: int, chunk_ticks: int, players: int = MAX_PLAYERS, pack: bool = False
) -> State:
    """Arrays for `games` games and `slots` places to record `record_tiles` tiles of boards, `chunk_ticks` ticks.

    pack: with room for the chunks in packed form.
    """
    narrow = 3 * record_tiles + 4 * chunk_ticks * players + 2 * (chunk_ticks + 1)
    return State(
        words=np.zeros((games, WORDS), np.int32),
        bits=np.zeros((games, BIT_WORDS), np.uint64),
        record_tiles=np.zeros((slots, record_tiles), np.uint8),
        record_armies=np.zeros((slots, record_tiles), np.uint16),
        record_wide=np.zeros((slots, record_tiles), np.uint32),
        record_alive=np.zeros((slots, chunk_ticks + 1), np.uint16),
        record_actions=np.zeros((slots, chunk_ticks * players), np.int32),
        record_packed=np.zeros((slots, most_packed(narrow, arrays=4) if pack else 0), np.uint8),
        packed_bytes=np.zeros(slots, np.int64),
    )
