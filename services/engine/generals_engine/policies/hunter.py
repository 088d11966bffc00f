"""`hunter`, `harvester` and `strategist`: grow like the expander, then send stack after stack to the enemy's general.

Each tick the first of these that can be done:
1. take an enemy's general beside one's own land;
2. meet an enemy near the own general that could take it;
3. lead the stack that is on its way: to the enemy's general if it was ever seen, else to land never seen where one may
   stand, near enemy land first, else to enemy land;
4. (harvester) before the first contact, gather for a neutral city near home and take it;
5. once an enemy was met, in every round of 50 ticks but its beginning, gather the largest armies into one stack; from
   the middle of the round on, that stack is sent;
6. capture, or walk to the border, as the expander does.

The strategist opens as the site's strong players do: it lets the general's army grow first, then spreads where there is
most room, and it sets out for the unknown without having met anybody.

Numbers were chosen by games against each other on 20 x 20; see docs/guides/policies.md for what they gave.
"""

# mypy: disable-error-code="no-any-return"

import numpy as np

from generals_engine.kernel.land import owner_of
from generals_engine.kernel.moves import neighbour
from generals_engine.kernel.state import AREA, ARMIES, GENERAL, HEIGHT, NOTE_WORDS, NOTES, STREAM, TICK, Bits, Game
from generals_engine.policies.expander import best_capture, march
from generals_engine.policies.rows import WALK_ROWS, aim_at_tile, mark_front, mark_team
from generals_engine.policies.scouting import aim_at_enemies, aim_at_the_unknown, look_around, mark_walk
from generals_engine.policies.stacks import NOWHERE, cheapest_city, defend, gather, largest_army, step_of
from generals_engine.rng import draw, scaled
from generals_schemas.jit import jit_kernel

# Words of a policy's notes; the first is `scouting.ENEMY_GENERAL`.
_STACK = 1  # the tile of the stack that is on its way + 1; 0: there is none
_CONTACT = 2  # whether an enemy was ever seen

_ROUND = 50
_GATHER_FROM, _SEND_FROM = 5, 25
"""Ticks of a round: all land grows as it begins."""

_NEAR_HOME = 3
_LEAST_TO_GO_ON = 6
_GENERALS_APART = 9
"""Steps that generals stand apart at least, nearly: the site's maps keep 15, small ones less."""

_HUNT_FROM, _LEAST_STACK = 100, 25
_BUY_FROM, _BUY_WITHIN, _SAVE_FROM = 60, 8, 20
_HOLD_UNTIL, _SET_OUT_AT, _LEAST_SORTIE = 26, 60, 18


@jit_kernel
def hunter(game: Game, bits: Bits, player: int) -> int:
    """The action of a player who hunts."""
    return _hunt(game, bits, player, False, False)


@jit_kernel
def harvester(game: Game, bits: Bits, player: int) -> int:
    """The action of a hunter who buys cities."""
    return _hunt(game, bits, player, True, False)


@jit_kernel
def strategist(game: Game, bits: Bits, player: int) -> int:
    """The action of a hunter with an opening, who looks for the enemy early."""
    if game[TICK] < _HOLD_UNTIL:
        return 8 * game[AREA]
    return _hunt(game, bits, player, False, True)


@jit_kernel
def _hunt(game: Game, bits: Bits, player: int, buys: bool, opens: bool) -> int:
    word = draw(bits, STREAM + player)
    turn = int(np.int64(word & np.uint64(3)))
    mark_team(game, bits, player)
    bordered = mark_front(game, bits, player)
    target = look_around(game, bits, player)
    mark_walk(game, bits, player)
    capture = best_capture(game, bits, player, turn, scaled(word, game[HEIGHT]), opens) if bordered else NOWHERE
    if capture >= 0 and target >= 0 and neighbour(game, (capture >> 2) % game[AREA], capture & 3) == target:
        return capture
    action = defend(game, bits, player, game[GENERAL + player], _NEAR_HOME)
    if action < 0:
        action = _lead(game, bits, player, target)
    if action < 0 and buys:
        action = _buy(game, bits, player, target)
    if action < 0:
        action = _muster(game, bits, player, target, opens)
    if action < 0:
        action = capture
    if action < 0 and bordered:
        return march(game, bits, player, turn)
    return action if action >= 0 else 8 * game[AREA]


@jit_kernel
def _has_met(game: Game, bits: Bits, player: int, target: int) -> bool:
    """Whether the player has ever seen an enemy. Marks GOAL_ROWS until it has."""
    note = NOTES + player * NOTE_WORDS + _CONTACT
    if not game[note] and (target >= 0 or aim_at_enemies(game, bits)):
        game[note] = 1
    return game[note] != 0


@jit_kernel
def _lead(game: Game, bits: Bits, player: int, target: int) -> int:
    """The next step of the stack that is on its way; NOWHERE if there is none, or it was lost or spent."""
    note = NOTES + player * NOTE_WORDS + _STACK
    stack = game[note] - 1
    game[note] = 0
    if stack < 0 or owner_of(game, stack) != player or game[ARMIES + stack] < _LEAST_TO_GO_ON:
        return NOWHERE
    if target >= 0:
        aim_at_tile(game, bits, target)
    else:
        found = aim_at_the_unknown(game, bits, player, game[GENERAL + player], _GENERALS_APART)
        if not found and not aim_at_enemies(game, bits):
            return NOWHERE
    action = step_of(game, bits, player, stack, WALK_ROWS)
    if action >= 0:
        game[note] = neighbour(game, stack, action & 3) + 1
    return action


@jit_kernel
def _muster(game: Game, bits: Bits, player: int, target: int, opens: bool) -> int:
    """Send the largest army, or bring the next largest to it; NOWHERE if it is not the time."""
    begins = _SET_OUT_AT if opens else _HUNT_FROM
    met = _has_met(game, bits, player, target)
    phase = game[TICK] % _ROUND
    if game[TICK] < begins or phase < _GATHER_FROM or not (met or opens):
        return NOWHERE
    stack = largest_army(game, player, NOWHERE)
    if stack < 0:
        return NOWHERE
    if phase >= _SEND_FROM and game[ARMIES + stack] >= (_LEAST_SORTIE if opens else _LEAST_STACK):
        game[NOTES + player * NOTE_WORDS + _STACK] = stack + 1
        action = _lead(game, bits, player, target)
        if action >= 0:
            return action
    return gather(game, bits, player, stack)


@jit_kernel
def _buy(game: Game, bits: Bits, player: int, target: int) -> int:
    """A step towards a neutral city near home, or of the armies that shall pay for it; NOWHERE after first contact."""
    general = game[GENERAL + player]
    if game[TICK] < _BUY_FROM or general < 0 or _has_met(game, bits, player, target):
        return NOWHERE
    city = cheapest_city(game, bits, general, _BUY_WITHIN)
    stack = largest_army(game, player, NOWHERE)
    if city < 0 or stack < 0:
        return NOWHERE
    if game[ARMIES + stack] > game[ARMIES + city] + 1:
        aim_at_tile(game, bits, city)
        return step_of(game, bits, player, stack, WALK_ROWS)
    if game[TICK] % _ROUND < _SAVE_FROM:
        return NOWHERE
    return gather(game, bits, player, stack)
