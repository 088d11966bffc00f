"""Fixed maps from JSON files: the start of a recorded game, or a map drawn by hand.

Fields: `width`, `height`, `generals` (tile indices, `y * width + x`, one a player), and optionally `mountains`,
`obstacles`, `swamps`, `deserts` (tile indices), `cities` and `neutral_armies` (`[tile, army]` pairs). Others are
ignored, so a recorded game serves as a map.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generals_engine.maps import GameMap, MapError
from generals_schemas import tiles as codes
from generals_schemas.actions import MAX_PLAYERS, MAX_SIDE

_GROUNDS = (("swamps", codes.SWAMP), ("deserts", codes.DESERT))
_ROCKS = (("mountains", codes.MOUNTAIN), ("obstacles", codes.OBSTACLE))


def load_map(path: Path) -> GameMap:
    """Read a map.

    Raises:
        MapError: the file is no map; the message names the field.
    """
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MapError(f"map {path}: cannot be read as JSON: {error}") from error
    if not isinstance(fields, dict):
        raise MapError(f"map {path}: must be a JSON object with width, height and generals")
    try:
        return map_from_fields(fields)
    except MapError as error:
        raise MapError(f"map {path}: {error}") from error


def map_from_fields(fields: dict[str, Any]) -> GameMap:
    """A map from the fields of a file.

    Raises:
        MapError: a field is missing, out of range or contradicts another.
    """
    width, height = (_side(fields, name) for name in ("width", "height"))
    area = width * height
    tiles = np.zeros(area, np.uint8)
    armies = np.zeros(area, np.int32)
    for name, kind in (*_GROUNDS, *_ROCKS):
        for tile in _tiles(fields, name, area):
            if tiles[tile]:
                raise MapError(
                    f"{name} holds tile {tile}, which is already {codes.KIND_NAMES[tiles[tile] >> codes.KIND_SHIFT]}"
                )
            tiles[tile] = codes.tile(kind)
    for tile, army in _pairs(fields, "neutral_armies", area):
        _require_open(tiles, tile, "neutral_armies")
        armies[tile] = army
    for tile, army in _pairs(fields, "cities", area):
        _require_open(tiles, tile, "cities")
        tiles[tile] = codes.tile(codes.on_ground(int(tiles[tile]) >> codes.KIND_SHIFT, codes.CITY))
        armies[tile] = army
    generals = _tiles(fields, "generals", area)
    if not 2 <= len(generals) <= MAX_PLAYERS:
        raise MapError(f"generals holds {len(generals)} tiles: one a player, 2 … {MAX_PLAYERS}")
    for player, tile in enumerate(generals):
        _require_open(tiles, tile, "generals")
        tiles[tile] = codes.tile(codes.on_ground(int(tiles[tile]) >> codes.KIND_SHIFT, codes.GENERAL), player)
        armies[tile] = 1
    return GameMap(width, height, tiles, armies, np.array(generals, np.int32))


def _require_open(tiles: NDArray[np.uint8], tile: int, name: str) -> None:
    kind = int(tiles[tile]) >> codes.KIND_SHIFT
    if kind not in (codes.PLAIN, codes.SWAMP, codes.DESERT):
        raise MapError(f"{name} holds tile {tile}, which is already {codes.KIND_NAMES[kind]}")


def _side(fields: dict[str, Any], name: str) -> int:
    side = fields.get(name)
    if not isinstance(side, int) or not 1 <= side <= MAX_SIDE:
        raise MapError(f"{name} is {side!r}, must be a whole number, 1 … {MAX_SIDE}")
    return side


def _tiles(fields: dict[str, Any], name: str, area: int) -> list[int]:
    values = fields.get(name) or []
    if not isinstance(values, list):
        raise MapError(f"{name} must be a list of tile indices")
    for tile in values:
        if not isinstance(tile, int) or not 0 <= tile < area:
            raise MapError(f"{name} holds {tile!r}, must be a tile index, 0 … {area - 1}")
    return values


def _pairs(fields: dict[str, Any], name: str, area: int) -> list[tuple[int, int]]:
    values = fields.get(name) or []
    if not isinstance(values, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in values):
        raise MapError(f"{name} must be a list of [tile, army] pairs")
    _tiles({name: [pair[0] for pair in values]}, name, area)
    for tile, army in values:
        if not isinstance(army, int) or not 0 <= army < 1 << 30:
            raise MapError(f"{name} gives tile {tile} the army {army!r}, must be a whole number, 0 … 2^30 - 1")
    return [(tile, army) for tile, army in values]
