# mypy: disable-error-code="no-any-return"

import numpy as np

from generals_engine.kernel.land import NOBODY, is_structure, owner_of
from generals_engine.kernel.moves import neighbour, same_team
from generals_engine.kernel.state import (
    AREA, ARMIES, EXITS, GENERAL, HEIGHT, NOTE_WORDS, NOTES, STREAM, TICK, WIDTH, Bits, Game, OPEN)
from generals_engine.policies.expander import best_capture, march
from generals_engine.policies.rows import GOAL_ROWS, NONE, ONE, FRONT_ROWS, TEAM_ROWS, WALK_ROWS, has, mark_front, mark_team, ways_towards, aim_at_tile
from generals_engine.policies.scouting import aim_at_enemies, aim_at_the_unknown, look_around, mark_walk
from generals_engine.policies.stacks import *
from generals_engine.policies.stacks import NOWHERE, defend, gather, largest_army, steps_between, step_of, cheapest_city
from generals_engine.rng import draw, scaled
from generals_schemas.jit import jit_kernel
from generals_schemas.unaligned import trailing_zeros

STACK = 1
CONTACT = 2

@jit_kernel
def P(game, player, k):
    return game[NOTES + player * NOTE_WORDS + 4 + k]

@jit_kernel
def hunter(game: Game, bits: Bits, player: int) -> int:
    return hunt(game, bits, player, False, False)


@jit_kernel
def harvester(game: Game, bits: Bits, player: int) -> int:
    return hunt(game, bits, player, True, False)

@jit_kernel
def strategist(game: Game, bits: Bits, player: int) -> int:
    return hunt(game, bits, player, True, True)

@jit_kernel
def hunt(game: Game, bits: Bits, player: int, buys: bool, opens: bool) -> int:
    word = draw(bits, STREAM + player)
    turn = int(np.int64(word & np.uint64(3)))
    general = game[GENERAL + player]
    note = NOTES + player * NOTE_WORDS
    mark_team(game, bits, player)
    bordered = mark_front(game, bits, player)
    target = look_around(game, bits, player)
    mark_walk(game, bits, player)
    clock = game[TICK]
    if opens:
        if clock < P(game, player, 0):
            return 8 * game[AREA]
        capture = open_capture(game, bits, player, turn, scaled(word, game[HEIGHT])) if bordered else -1
    else:
        capture = best_capture(game, bits, player, turn, scaled(word, game[HEIGHT])) if bordered else -1
    if capture >= 0 and target >= 0 and neighbour(game, (capture >> 2) % game[AREA], capture & 3) == target:
        return capture
    home = defend(game, bits, player, general, P(game, player, 1))
    if home >= 0:
        return home
    if not game[note + CONTACT]:
        if target >= 0 or aim_at_enemies(game, bits):
            game[note + CONTACT] = 1
    attack = attack_on(game, bits, player, general, target, note)
    if attack >= 0:
        return attack
    if buys and clock >= P(game, player, 6) and (not (P(game, player, 11) and game[note + CONTACT]) or clock >= P(game, player, 14)):
        bought = buy(game, bits, player, general)
        if bought >= 0:
            return bought
    phase = clock % P(game, player, 9)
    if (game[note + CONTACT] or clock >= P(game, player, 13)) and phase >= P(game, player, 2) and clock >= P(game, player, 10):
        stack = largest_army(game, player, general if game[ARMIES + max(0, general)] < P(game, player, 12) else -1, -1)
        if stack >= 0:
            if phase >= P(game, player, 3) and game[ARMIES + stack] >= P(game, player, 4):
                game[note + STACK] = stack + 1
                attack = attack_on(game, bits, player, general, target, note)
                if attack >= 0:
                    return attack
            joined = gather(game, bits, player, stack, general if game[ARMIES + max(0, general)] < P(game, player, 12) else -1)
            if joined >= 0:
                return joined
    if capture >= 0:
        return capture
    return march(game, bits, player, turn) if bordered else 8 * game[AREA]

@jit_kernel
def attack_on(game, bits, player, general, target, note):
    stack = game[note + STACK] - 1
    if stack < 0:
        return -1
    game[note + STACK] = 0
    if owner_of(game, stack) != player or game[ARMIES + stack] < P(game, player, 5):
        return -1
    if target >= 0:
        aim_at_tile(game, bits, target)
    elif not aim_at_the_unknown(game, bits, player, general, 9) and not aim_at_enemies(game, bits):
        return -1
    action = step_of(game, bits, player, stack, WALK_ROWS)
    if action >= 0:
        game[note + STACK] = neighbour(game, stack, action & 3) + 1
    return action

@jit_kernel
def buy(game, bits, player, general):
    if general < 0:
        return -1
    city = cheapest_city(game, bits, player, general, P(game, player, 7))
    stack = largest_army(game, player, -1, -1)
    if city < 0 or stack < 0:
        return -1
    if game[ARMIES + stack] <= game[ARMIES + city] + 1:
        if game[TICK] % 50 < P(game, player, 8):
            return -1
        return gather(game, bits, player, stack, -1)
    aim_at_tile(game, bits, city)
    return step_of(game, bits, player, stack, WALK_ROWS)

@jit_kernel
def open_capture(game: Game, bits: Bits, player: int, turn: int, first_row: int) -> int:
    best, action = 0, -1
    width, height = game[WIDTH], game[HEIGHT]
    for i in range(height):
        y = first_row + i if first_row + i < height else first_row + i - height
        row = bits[FRONT_ROWS + y]
        while row != NONE:
            tile = y * width + trailing_zeros(row)
            row &= row - ONE
            army = game[ARMIES + tile]
            if army <= 1:
                continue
            for step in range(4):
                direction = (step + turn) & 3
                if game[EXITS + tile] >> direction & 1:
                    worth = open_worth(game, bits, player, neighbour(game, tile, direction), army)
                    if worth > best:
                        best, action = worth, tile * 4 + direction
    return action

@jit_kernel
def open_worth(game: Game, bits, player: int, target: int, army: int) -> int:
    if army - 1 <= game[ARMIES + target]:
        return 0
    owner = owner_of(game, target)
    if same_team(game, player, owner):
        return 0
    if owner == NOBODY:
        if is_structure(game, target):
            return (2 << 32) + army
        y = target // game[WIDTH]
        x = target - y * game[WIDTH]
        room = 0
        for step in range(1, 4):
            if y - step >= 0: room += _free(bits, x, y - step)
            if y + step < game[HEIGHT]: room += _free(bits, x, y + step)
            if x - step >= 0: room += _free(bits, x - step, y)
            if x + step < game[WIDTH]: room += _free(bits, x + step, y)
        return (1 << 32) + army * 16 + room
    if is_structure(game, target):
        return (4 << 32) + army
    return (3 << 32) + army

@jit_kernel
def _free(bits, x, y):
    return 1 if has(bits, WALK_ROWS, x, y) and not has(bits, TEAM_ROWS, x, y) else 0
