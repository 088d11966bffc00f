"""One byte a tile: who owns it and what it is.

`owner = tile & 0x0F` is 0 for nobody, else the player's index + 1; `kind = tile >> 4` is one of the constants below.
A city or general may stand on swamp or desert, so these have kinds of their own.

Kernels freeze these constants when they are compiled (see `generals_schemas.jit`).
"""

import numpy as np
from numpy.typing import NDArray

OWNER_MASK = 0x0F
KIND_SHIFT = 4

PLAIN, CITY, GENERAL, MOUNTAIN, OBSTACLE = 0, 1, 2, 3, 4
SWAMP, SWAMP_CITY, SWAMP_GENERAL = 5, 6, 7
DESERT, DESERT_CITY, DESERT_GENERAL = 8, 9, 10
KINDS = 11

KIND_NAMES = (
    "plain", "city", "general", "mountain", "obstacle",
    "swamp", "swamp city", "swamp general", "desert", "desert city", "desert general",
)  # fmt: skip

UNSEEN = 0xFF
"""In a player's memory: a tile it has never seen."""


def kinds_where(*kinds: int) -> NDArray[np.bool_]:
    """A look-up table `[16]`: true for the given kinds. Index it with `tile >> KIND_SHIFT`."""
    table = np.zeros(16, dtype=np.bool_)
    table[list(kinds)] = True
    return table


IS_GENERAL = kinds_where(GENERAL, SWAMP_GENERAL, DESERT_GENERAL)
IS_CITY = kinds_where(CITY, SWAMP_CITY, DESERT_CITY)
IS_STRUCTURE = IS_GENERAL | IS_CITY
IS_IMPASSABLE = kinds_where(MOUNTAIN, OBSTACLE)
IS_VALID = kinds_where(*range(KINDS))


def tile(kind: int, owner: int = -1) -> int:
    """The byte of a tile of `kind` that player `owner` holds (-1: nobody)."""
    return (kind << KIND_SHIFT) | (owner + 1)


def on_ground(ground: int, structure: int) -> int:
    """The kind of a structure (`CITY` or `GENERAL`) that stands on a ground (`PLAIN`, `SWAMP` or `DESERT`)."""
    return ground + structure
