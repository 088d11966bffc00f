"""A player's armies as pieces: which one is largest, which one threatens home, and steps that bring them together."""

# mypy: disable-error-code="no-any-return"

from generals_engine.kernel.land import NOBODY, is_structure, owner_of
from generals_engine.kernel.moves import neighbour, same_team
from generals_engine.kernel.state import (
    ARMIES,
    EXITS,
    HEIGHT,
    LIST,
    MOVABLE,
    MOVABLE_COUNT,
    STRUCTURE_COUNT,
    STRUCTURES,
    WIDTH,
    Bits,
    Game,
)
from generals_engine.kernel.view import is_seen
from generals_engine.policies.rows import GOAL_ROWS, TEAM_ROWS, aim_at_tile, ways_towards
from generals_schemas.jit import jit_kernel

NOWHERE = -1


@jit_kernel
def largest_army(game: Game, player: int, but: int) -> int:
    """The player's tile with the largest army above one, `but` left out; or NOWHERE."""
    most, found = 1, NOWHERE
    for i in range(game[MOVABLE_COUNT + player]):
        tile = game[MOVABLE + player * LIST + i]
        if game[ARMIES + tile] > most and tile != but:
            most, found = game[ARMIES + tile], tile
    return found


@jit_kernel
def steps_between(game: Game, one: int, other: int) -> int:
    """The Manhattan distance of two tiles."""
    width = game[WIDTH]
    return abs(one // width - other // width) + abs(one % width - other % width)


@jit_kernel
def strongest_way(game: Game, player: int, source: int, ways: int) -> int:
    """Of the directions in the bit set `ways`, the one after which the army is largest; NOWHERE if it can go none."""
    most, found = 0, NOWHERE
    for direction in range(4):
        if ways >> direction & 1:
            tile = neighbour(game, source, direction)
            army = game[ARMIES + tile]
            left = game[ARMIES + source] - 1 + (army if same_team(game, player, owner_of(game, tile)) else -army)
            if left > most:
                most, found = left, direction
    return found


@jit_kernel
def step_of(game: Game, bits: Bits, player: int, source: int, within: int) -> int:
    """The action of the army at `source` towards GOAL_ROWS by tiles of the rows `within`; NOWHERE if it cannot."""
    direction = strongest_way(game, player, source, ways_towards(game, bits, source, GOAL_ROWS, within))
    return source * 4 + direction if direction >= 0 else NOWHERE


@jit_kernel
def send_home(game: Game, bits: Bits, player: int, source: int, tile: int) -> int:
    """A step of the army at `source` to a tile of the own land; NOWHERE if there is no way, or no army."""
    if source < 0:
        return NOWHERE
    aim_at_tile(game, bits, tile)
    return step_of(game, bits, player, source, TEAM_ROWS)


@jit_kernel
def gather(game: Game, bits: Bits, player: int, stack: int) -> int:
    """The largest army but the stack's takes a step to it."""
    return send_home(game, bits, player, largest_army(game, player, stack), stack)


@jit_kernel
def threat_to(game: Game, bits: Bits, player: int, general: int, reach: int) -> int:
    """The seen enemy tile with the largest army within `reach` steps of the general; or NOWHERE."""
    width = game[WIDTH]
    most, found = 1, NOWHERE
    y, x = general // width, general % width
    for row in range(max(0, y - reach), min(game[HEIGHT], y + reach + 1)):
        for column in range(max(0, x - reach), min(width, x + reach + 1)):
            tile = row * width + column
            owner = owner_of(game, tile)
            if owner == NOBODY or abs(row - y) + abs(column - x) > reach or same_team(game, player, owner):
                continue
            if game[ARMIES + tile] > most and is_seen(game, bits, tile):
                most, found = game[ARMIES + tile], tile
    return found


@jit_kernel
def defend(game: Game, bits: Bits, player: int, general: int, reach: int) -> int:
    """A move against an enemy near the general that could take it; NOWHERE if there is none, or nothing to be done."""
    if general < 0:
        return NOWHERE
    threat = threat_to(game, bits, player, general, reach)
    if threat < 0 or game[ARMIES + threat] <= game[ARMIES + general]:
        return NOWHERE
    most, action = game[ARMIES + threat] + 1, NOWHERE
    for direction in range(4):
        if game[EXITS + threat] >> direction & 1:
            beside = neighbour(game, threat, direction)
            if owner_of(game, beside) == player and game[ARMIES + beside] > most:
                most, action = game[ARMIES + beside], beside * 4 + (direction ^ 1)
    if action >= 0:
        return action
    return send_home(game, bits, player, largest_army(game, player, general), general)


@jit_kernel
def cheapest_city(game: Game, bits: Bits, general: int, reach: int) -> int:
    """The seen neutral city with the least army plus distance, within `reach` steps of the general; or NOWHERE."""
    least, found = 1 << 30, NOWHERE
    for i in range(game[STRUCTURE_COUNT]):
        tile = game[STRUCTURES + i]
        if owner_of(game, tile) != NOBODY or not is_structure(game, tile) or not is_seen(game, bits, tile):
            continue
        apart = steps_between(game, tile, general)
        if apart <= reach and game[ARMIES + tile] + apart < least:
            least, found = game[ARMIES + tile] + apart, tile
    return found
