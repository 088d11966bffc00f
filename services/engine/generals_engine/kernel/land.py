"""Changing a tile: owner, army, and the lists and bits that follow from them.

Every write to tiles or armies of a running game goes through these functions, or the lists of movable tiles and the
masks of owned ones no longer tell the truth.
"""

# mypy: disable-error-code="no-any-return"

import numpy as np

from generals_engine.kernel.state import (
    AREA,
    ARMIES,
    LIST,
    MOVABLE,
    MOVABLE_COUNT,
    OWNED,
    PLACE,
    PLAYERS,
    STRUCTURE_COUNT,
    STRUCTURES,
    TILES,
    WIDTH,
    Bits,
    Game,
)
from generals_schemas.actions import MAX_SIDE
from generals_schemas.jit import jit_kernel

NOBODY = -1
_ONE = np.uint64(1)
_NONE = np.uint64(0)


@jit_kernel
def owner_of(game: Game, tile: int) -> int:
    """The player who owns the tile, or NOBODY."""
    return (game[TILES + tile] & 15) - 1


@jit_kernel
def kind_of(game: Game, tile: int) -> int:
    return game[TILES + tile] >> 4


@jit_kernel
def is_general(game: Game, tile: int) -> bool:
    return (1 << kind_of(game, tile)) & 0b100_1000_0100 != 0


@jit_kernel
def is_structure(game: Game, tile: int) -> bool:
    return (1 << kind_of(game, tile)) & 0b110_1100_0110 != 0


@jit_kernel
def list_movable(game: Game, player: int, tile: int) -> None:
    """Add a tile to the player's list. It must not stand in it."""
    count = game[MOVABLE_COUNT + player]
    game[MOVABLE + player * LIST + count] = tile
    game[PLACE + tile] = count
    game[MOVABLE_COUNT + player] = count + 1


@jit_kernel
def unlist_movable(game: Game, player: int, tile: int) -> None:
    """Take a tile out of the player's list: the last one takes its place."""
    last = game[MOVABLE_COUNT + player] - 1
    place = game[PLACE + tile]
    moved = game[MOVABLE + player * LIST + last]
    game[MOVABLE + player * LIST + place] = moved
    game[PLACE + moved] = place
    game[PLACE + tile] = -1
    game[MOVABLE_COUNT + player] = last


@jit_kernel
def set_army(game: Game, tile: int, owner: int, army: int) -> None:
    """A new army on a tile that `owner` owns."""
    before = game[ARMIES + tile]
    game[ARMIES + tile] = army
    if before > 1:
        if army <= 1:
            unlist_movable(game, owner, tile)
    elif army > 1:
        list_movable(game, owner, tile)


@jit_kernel
def set_owner(game: Game, bits: Bits, tile: int, owner: int, army: int) -> None:
    """A new owner (NOBODY: none) and army."""
    before = owner_of(game, tile)
    y = tile // game[WIDTH]
    bit = _ONE << np.uint64(tile - y * game[WIDTH])
    if before != NOBODY:
        if game[ARMIES + tile] > 1:
            unlist_movable(game, before, tile)
        bits[OWNED + before * MAX_SIDE + y] &= ~bit
    game[TILES + tile] = (game[TILES + tile] & 0xF0) | (owner + 1)
    game[ARMIES + tile] = army
    if owner != NOBODY:
        bits[OWNED + owner * MAX_SIDE + y] |= bit
        if army > 1:
            list_movable(game, owner, tile)


@jit_kernel
def make_city(game: Game, tile: int) -> None:
    """A general's tile becomes a city on the same ground. Each ground's city stands one kind before its general."""
    if is_general(game, tile):
        game[TILES + tile] -= 16


@jit_kernel
def index_land(game: Game, bits: Bits) -> None:
    """Build lists, masks and structures anew from tiles and armies."""
    game[MOVABLE_COUNT : MOVABLE_COUNT + game[PLAYERS]] = 0
    bits[OWNED : OWNED + game[PLAYERS] * MAX_SIDE] = _NONE
    structures = 0
    for tile in range(game[AREA]):
        game[PLACE + tile] = -1
        if is_structure(game, tile):
            game[STRUCTURES + structures] = tile
            structures += 1
        owner = owner_of(game, tile)
        if owner != NOBODY:
            y = tile // game[WIDTH]
            bits[OWNED + owner * MAX_SIDE + y] |= _ONE << np.uint64(tile - y * game[WIDTH])
            if game[ARMIES + tile] > 1:
                list_movable(game, owner, tile)
    game[STRUCTURE_COUNT] = structures
