"""Maps: generated as the site generates them, or fixed ones from a file.

Everything random comes from the map's seed, so (seed, players, teams, size) is the map. Generals stand on one connected
region that needs neither mountains nor neutral cities crossed, and each has a city within six steps: the stricter
reading of both rules.

A size given by the user may be too small for the site's numbers. Then, and only then, they give way: cities
are thinned in proportion to the area, and the spacing of generals begins at half the sum of the sides (if that is less
than the rule) and falls by one each time a number of tries found no place. Maps of the site's own sizes keep its
numbers, with one exception: many players in few teams may not fit at the distance for few teams (eight in two teams
need 15 on a side of 25), and then it falls towards the rule's floor of 9.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from generals_engine.rng import below, streams, uniform
from generals_schemas import tiles as codes
from generals_schemas.actions import MAX_PLAYERS, MAX_SIDE
from generals_schemas.jit import jit

CITY_REACH = 6
"""Each general has a city within this many steps."""

LEAST_SPACING = 9
TRIES_PER_SPACING = 40
MAX_TRIES = 20_000

_PLAIN_BYTE = np.uint8(codes.tile(codes.PLAIN))
_CITY_BYTE = np.uint8(codes.tile(codes.CITY))
_MOUNTAIN_BYTE = np.uint8(codes.tile(codes.MOUNTAIN))
_GENERAL_BYTE = np.uint8(codes.tile(codes.GENERAL))


class MapError(ValueError):
    """A map that cannot be made or read; the message says what to change."""


@dataclass(frozen=True, slots=True, eq=False)
class GameMap:
    """A board before the first tick.

    tiles: `[HW]` u1, see `generals_schemas.tiles`; player p owns `generals[p]`.  armies: `[HW]` i4.
    generals: `[P]` i4, tile indices.  seed: 0 for a map from a file.
    """

    width: int
    height: int
    tiles: NDArray[np.uint8]
    armies: NDArray[np.int32]
    generals: NDArray[np.int32]
    seed: int = 0

    @property
    def players(self) -> int:
        return len(self.generals)


def rule_side(players: int, draw: float) -> int:
    """The site's side for `players`, given a uniform draw."""
    return round(16 + min(8, players) + max(0.0, (players - 6) / 2) + draw * draw * (4 + players / 2))


def rule_spacing(players: int, teams: int) -> int:
    """The least Manhattan distance between two generals."""
    least = max(float(LEAST_SPACING), 9.0 * (1.8 - 0.1 * teams))
    return max(15, int(np.ceil(least))) if players == 2 else int(np.ceil(least - 1e-9))


def generate_map(
    seed: int, *, players: int, teams: int | None = None, width: int | None = None, height: int | None = None
) -> GameMap:
    """The map of a seed. `teams`: how many teams (default: one a player). A side not given is the site's.

    Raises:
        MapError: the players do not fit the board.
    """
    _check(players, width, height)
    stream = streams(seed, 1)
    own_size = width is None and height is None
    drawn = [rule_side(players, uniform(stream, 0)) for _ in range(2)]
    wide, high = width or drawn[0], height or drawn[1]
    mountains = round(wide * high * (0.20 + 0.08 * uniform(stream, 0)))
    cities = _city_count(players, wide * high, uniform(stream, 0), thin=not own_size)
    spacing = rule_spacing(players, teams or players)
    least = LEAST_SPACING
    if not own_size:
        spacing, least = min(spacing, (wide + high) // 2), 1
    elif players == 2:
        least = spacing
    tiles = np.zeros(wide * high, np.uint8)
    armies = np.zeros(wide * high, np.int32)
    generals = np.full(players, -1, np.int32)
    if not _search(stream, wide, spacing, least, mountains, cities, tiles, armies, generals):
        raise MapError(
            f"{players} players and {cities} cities found no place on a board of {wide} x {high}: "
            "give a larger size, or none for the site's"
        )
    return GameMap(wide, high, tiles, armies, generals, seed)


def _check(players: int, width: int | None, height: int | None) -> None:
    if not 2 <= players <= MAX_PLAYERS:
        raise MapError(f"{players} players: there are 2 … {MAX_PLAYERS}")
    for name, side in (("width", width), ("height", height)):
        if side is not None and not 1 <= side <= MAX_SIDE:
            raise MapError(f"{name} {side} is outside 1 … {MAX_SIDE}")


def _city_count(players: int, area: int, draw: float, *, thin: bool) -> int:
    count = round(5 + players * (2 + draw))
    least_area = rule_side(players, 0.0) ** 2
    if thin and area < least_area:
        count = max(2, round(count * area / least_area))
    return count


@jit
def _search(
    stream: NDArray[np.uint64],
    width: int,
    spacing: int,
    least_spacing: int,
    mountains: int,
    cities: int,
    tiles: NDArray[np.uint8],
    armies: NDArray[np.int32],
    generals: NDArray[np.int32],
) -> bool:
    """Draw maps until one keeps all rules; False if there seems to be none."""
    queue = np.empty(tiles.size, np.int32)
    steps = np.empty(tiles.size, np.int32)
    for attempt in range(1, MAX_TRIES + 1):
        _scatter_mountains(stream, mountains, tiles, armies, queue)
        if (
            _place_generals(stream, width, spacing, tiles, armies, generals, queue, steps)
            and _place_cities(stream, width, cities, tiles, armies, generals, queue, steps)
            and _connected(width, tiles, generals, queue, steps)
        ):
            return True
        if attempt % TRIES_PER_SPACING == 0:
            if spacing <= least_spacing < LEAST_SPACING:
                return False
            spacing = max(spacing - 1, least_spacing)
    return False


@jit
def _scatter_mountains(
    stream: NDArray[np.uint64],
    mountains: int,
    tiles: NDArray[np.uint8],
    armies: NDArray[np.int32],
    order: NDArray[np.int32],
) -> None:
    """`mountains` tiles, drawn without repetition, on an otherwise empty board."""
    for tile in range(tiles.size):
        tiles[tile] = _PLAIN_BYTE
        armies[tile] = 0
        order[tile] = tile
    for i in range(mountains):
        j = i + below(stream, 0, tiles.size - i)
        order[i], order[j] = order[j], order[i]
        tiles[order[i]] = _MOUNTAIN_BYTE


@jit
def _walk(
    start: int,
    width: int,
    tiles: NDArray[np.uint8],
    through_cities: bool,
    queue: NDArray[np.int32],
    steps: NDArray[np.int32],
) -> int:
    """Breadth first from `start`: `steps` to each tile (-1: none); how many tiles are reached, in `queue`'s order."""
    steps[:] = -1
    steps[start] = 0
    queue[0] = start
    head, tail = 0, 1
    while head < tail:
        tile = queue[head]
        head += 1
        x = tile % width
        for direction in range(4):
            if direction == 0:
                other = tile - width
            elif direction == 1:
                other = tile + width
            elif direction == 2:
                other = tile - 1 if x > 0 else -1
            else:
                other = tile + 1 if x < width - 1 else -1
            if _open(other, tiles, through_cities) and steps[other] < 0:
                steps[other] = steps[tile] + 1
                queue[tail] = other
                tail += 1
    return tail


@jit
def _open(tile: int, tiles: NDArray[np.uint8], through_cities: bool) -> bool:
    if tile < 0 or tile >= tiles.size:
        return False
    return tiles[tile] != _MOUNTAIN_BYTE and (through_cities or tiles[tile] != _CITY_BYTE)


@jit
def _place_generals(
    stream: NDArray[np.uint64],
    width: int,
    spacing: int,
    tiles: NDArray[np.uint8],
    armies: NDArray[np.int32],
    generals: NDArray[np.int32],
    queue: NDArray[np.int32],
    steps: NDArray[np.int32],
) -> bool:
    """All generals on one region, each drawn from the tiles far enough from those before it."""
    first = below(stream, 0, tiles.size)
    if tiles[first] != _PLAIN_BYTE:
        return False
    left = _walk(first, width, tiles, True, queue, steps)
    for player in range(generals.size):
        if left == 0:
            return False
        # The region's first tile is as random as any, but only the first general's region is bound to it.
        general = queue[below(stream, 0, left)]
        generals[player] = general
        tiles[general] = _GENERAL_BYTE | np.uint8(player + 1)
        armies[general] = 1
        kept = 0
        for i in range(left):
            tile = queue[i]
            apart = abs(tile % width - general % width) + abs(tile // width - general // width)
            if apart >= spacing:
                queue[kept] = tile
                kept += 1
        left = kept
    return True


@jit
def _place_cities(
    stream: NDArray[np.uint64],
    width: int,
    cities: int,
    tiles: NDArray[np.uint8],
    armies: NDArray[np.int32],
    generals: NDArray[np.int32],
    queue: NDArray[np.int32],
    steps: NDArray[np.int32],
) -> bool:
    """First one for each general that has none near, then the rest anywhere."""
    placed = 0
    for player in range(generals.size):
        reached = _walk(generals[player], width, tiles, True, queue, steps)
        near, has_city = 0, False
        for i in range(reached):
            tile = queue[i]
            if steps[tile] <= CITY_REACH:
                has_city = has_city or tiles[tile] == _CITY_BYTE
                if tiles[tile] == _PLAIN_BYTE:
                    queue[near] = tile
                    near += 1
        if not has_city:
            if near == 0 or placed == cities:
                return False
            _build(stream, queue[below(stream, 0, near)], tiles, armies)
            placed += 1
    return _place_more(stream, cities - placed, tiles, armies, queue)


@jit
def _place_more(
    stream: NDArray[np.uint64],
    cities: int,
    tiles: NDArray[np.uint8],
    armies: NDArray[np.int32],
    queue: NDArray[np.int32],
) -> bool:
    free = 0
    for tile in range(tiles.size):
        if tiles[tile] == _PLAIN_BYTE:
            queue[free] = tile
            free += 1
    if free < cities:
        return False
    for _ in range(cities):
        i = below(stream, 0, free)
        _build(stream, queue[i], tiles, armies)
        free -= 1
        queue[i] = queue[free]
    return True


@jit
def _build(stream: NDArray[np.uint64], tile: int, tiles: NDArray[np.uint8], armies: NDArray[np.int32]) -> None:
    tiles[tile] = _CITY_BYTE
    armies[tile] = round(40 + 10 * uniform(stream, 0))


@jit
def _connected(
    width: int,
    tiles: NDArray[np.uint8],
    generals: NDArray[np.int32],
    queue: NDArray[np.int32],
    steps: NDArray[np.int32],
) -> bool:
    """Whether all generals reach each other without crossing a city."""
    _walk(generals[0], width, tiles, False, queue, steps)
    for player in range(1, generals.size):  # noqa: SIM110 - kernels know no generators
        if steps[generals[player]] < 0:
            return False
    return True
