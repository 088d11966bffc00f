"""Invariants of a game, checked at every chunk's end: a game that breaks one is dropped, and the others go on."""

# mypy: disable-error-code="no-any-return"

from generals_engine.kernel.land import NOBODY, is_general, kind_of, owner_of
from generals_engine.kernel.state import AREA, ARMIES, GENERAL, LIST, MOVABLE, MOVABLE_COUNT, PLACE, PLAYERS, Game
from generals_schemas.jit import jit_kernel

SOUND = 0
NEGATIVE_ARMY = 1
UNKNOWN_OWNER = 2
OWNED_ROCK = 3
LISTS_DIFFER = 4
GENERAL_LOST = 5

BROKEN_NAMES = ("sound", "negative army", "unknown owner", "owned mountain", "lists differ", "general lost")


@jit_kernel
def broken(game: Game) -> int:
    """Which invariant does not hold: one of the constants above."""
    listed = 0
    for tile in range(game[AREA]):
        fault = _broken_tile(game, tile)
        if fault:
            return fault
        if owner_of(game, tile) != NOBODY and game[ARMIES + tile] > 1:
            listed += 1
    for player in range(game[PLAYERS]):
        listed -= game[MOVABLE_COUNT + player]
        general = game[GENERAL + player]
        if general >= 0 and not (is_general(game, general) and owner_of(game, general) == player):
            return GENERAL_LOST
    return LISTS_DIFFER if listed else SOUND


@jit_kernel
def _broken_tile(game: Game, tile: int) -> int:
    owner = owner_of(game, tile)
    if game[ARMIES + tile] < 0:
        return NEGATIVE_ARMY
    if owner >= game[PLAYERS]:
        return UNKNOWN_OWNER
    if owner != NOBODY:
        if kind_of(game, tile) in (3, 4):
            return OWNED_ROCK
        place = game[PLACE + tile]
        if game[ARMIES + tile] > 1 and (place < 0 or game[MOVABLE + owner * LIST + place] != tile):
            return LISTS_DIFFER
    return SOUND
