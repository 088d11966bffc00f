"""Growth after the clock went on: structures on even ticks, all land on every fiftieth; swamps and deserts take."""

# mypy: disable-error-code="no-any-return"

from generals_engine.kernel.land import NOBODY, kind_of, list_movable, make_city, owner_of, set_army, set_owner
from generals_engine.kernel.state import (
    AREA,
    ARMIES,
    GENERAL,
    HARSH,
    STRUCTURE_COUNT,
    STRUCTURES,
    TICK,
    VERSION,
    Bits,
    Game,
)
from generals_schemas.jit import jit_kernel

FIRST_WITH_BARREN_CITIES = 6
CITY_REGROWS_BELOW = 40
LAND_GROWS_EVERY = 50
SWAMPS, DESERTS = 5, 8
"""The first of a ground's three kinds: bare, city, general."""


@jit_kernel
def grow(game: Game, bits: Bits) -> None:
    """Growth of the tick that has just ended."""
    if game[TICK] & 1:
        return
    _grow_structures(game)
    if game[HARSH]:
        _wither(game, bits, SWAMPS)
    if game[TICK] % LAND_GROWS_EVERY == 0:
        _grow_land(game)
        if game[HARSH]:
            _wither(game, bits, DESERTS)


@jit_kernel
def _grow_structures(game: Game) -> None:
    regrow = game[VERSION] < FIRST_WITH_BARREN_CITIES
    for i in range(game[STRUCTURE_COUNT]):
        tile = game[STRUCTURES + i]
        owner = owner_of(game, tile)
        if owner != NOBODY:
            _add_one(game, owner, tile)
        elif regrow and game[ARMIES + tile] < CITY_REGROWS_BELOW and kind_of(game, tile) in (1, 6, 9):
            game[ARMIES + tile] += 1


@jit_kernel
def _grow_land(game: Game) -> None:
    for tile in range(game[AREA]):
        owner = owner_of(game, tile)
        if owner != NOBODY:
            _add_one(game, owner, tile)


@jit_kernel
def _add_one(game: Game, owner: int, tile: int) -> None:
    army = game[ARMIES + tile] + 1
    game[ARMIES + tile] = army
    if army == 2:
        list_movable(game, owner, tile)


@jit_kernel
def _wither(game: Game, bits: Bits, ground: int) -> None:
    """Owned tiles of a ground, and what is built there, lose a unit; empty ones are nobody's."""
    for tile in range(game[AREA]):
        owner = owner_of(game, tile)
        if owner == NOBODY or not ground <= kind_of(game, tile) <= ground + 2:
            continue
        if game[ARMIES + tile] > 1:
            set_army(game, tile, owner, game[ARMIES + tile] - 1)
            continue
        if game[GENERAL + owner] == tile:
            game[GENERAL + owner] = -1
        set_owner(game, bits, tile, NOBODY, 0)
        make_city(game, tile)
