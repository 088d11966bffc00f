"""Moves of one tick: taken, ordered, executed. The rules are those of `generals_engine.moves`, in the same words.

A move is named by where its words begin in the game: `move = MOVES + i * MOVE_WORDS`, then `game[move + SOURCE]`.
"""

# mypy: disable-error-code="no-any-return"

import numpy as np
from numpy.typing import NDArray

from generals_engine.kernel.deaths import kill
from generals_engine.kernel.land import NOBODY, is_general, make_city, owner_of, set_army, set_owner
from generals_engine.kernel.state import (
    ALIVE,
    ALLIES,
    AREA,
    ARMIES,
    CAPTURE_COUNT,
    CAPTURES,
    EXECUTED,
    EXITS,
    GENERAL,
    MOVE_WORDS,
    MOVES,
    PLAYERS,
    TEAM,
    TICK,
    TRADES,
    VERSION,
    WIDTH,
    Bits,
    Game,
)
from generals_schemas.jit import jit_kernel

# Words of a move.
PLAYER, SOURCE, TARGET, SPLIT, RANK, ARMY, DONE = 0, 1, 2, 3, 4, 5, 6

FIRST_WITH_CHAINS = 15
FIRST_WITH_TRADES = 16

ORDERED_BY_INDEX = 0
OTHERS_TILE, GENERAL_TILE = 2, 1
"""Ranks, added: own team's tiles first, and within that generals last."""


@jit_kernel
def same_team(game: Game, player: int, owner: int) -> bool:
    """Whether the owner of a tile (NOBODY: none) is the player or a team mate."""
    if owner == player:
        return True
    return game[ALLIES] != 0 and owner != NOBODY and game[TEAM + owner] == game[TEAM + player]


@jit_kernel
def neighbour(game: Game, tile: int, direction: int) -> int:
    """The tile in a direction; the caller knows that it is on the board."""
    step = game[WIDTH] if direction < 2 else 1
    return tile + step if direction & 1 else tile - step


@jit_kernel
def take(game: Game, actions: NDArray[np.int32], first: int) -> int:
    """The valid moves among the actions, of which player p's is `actions[first + p]`; how many there are."""
    four = 4 * game[AREA]
    count = 0
    for player in range(game[PLAYERS]):
        action = actions[first + player]
        if action < 0 or action >= 2 * four or not game[ALIVE] >> player & 1:
            continue
        split = 0
        if action >= four:
            split = 1
            action -= four
        source = action >> 2
        if owner_of(game, source) != player or not game[EXITS + source] >> (action & 3) & 1:
            continue
        target = neighbour(game, source, action & 3)
        army = game[ARMIES + source]
        if army < 1 or (army == 1 and not _is_team_mates(game, player, target)):
            continue
        move = MOVES + count * MOVE_WORDS
        game[move + PLAYER] = player
        game[move + SOURCE] = source
        game[move + TARGET] = target
        game[move + SPLIT] = split
        count += 1
    return count


@jit_kernel
def _is_team_mates(game: Game, player: int, tile: int) -> bool:
    owner = owner_of(game, tile)
    return owner != player and same_team(game, player, owner)


@jit_kernel
def sent_by(game: Game, move: int) -> int:
    """How many units leave the source as the board stands."""
    army = game[ARMIES + game[move + SOURCE]]
    return army >> 1 if game[move + SPLIT] else army - 1


@jit_kernel
def can_execute(game: Game, move: int) -> bool:
    army = game[ARMIES + game[move + SOURCE]]
    if army == 0 or owner_of(game, game[move + SOURCE]) != game[move + PLAYER]:
        return False
    return army > 1 or same_team(game, game[move + PLAYER], owner_of(game, game[move + TARGET]))


@jit_kernel
def play_moves(game: Game, bits: Bits, count: int) -> int:
    """Execute the taken moves in order; how many were carried out."""
    executed = 0
    if count == 1:
        game[MOVES + DONE] = 1
        executed = _carry_out(game, bits, MOVES, 1)
    else:
        chained = game[VERSION] >= FIRST_WITH_CHAINS
        for i in range(count):
            _rank(game, MOVES + i * MOVE_WORDS, chained)
        for _ in range(count):
            move = _next(game, count, chained)
            if move < 0:  # a trade has carried out two at once
                break
            game[move + DONE] = 1
            executed += _carry_out(game, bits, move, count)
    game[EXECUTED] += executed
    return executed


@jit_kernel
def _rank(game: Game, move: int, chained: bool) -> None:
    game[move + DONE] = 0
    game[move + RANK] = ORDERED_BY_INDEX
    game[move + ARMY] = 0
    if chained:
        owner = owner_of(game, game[move + TARGET])
        rank = 0 if same_team(game, game[move + PLAYER], owner) else OTHERS_TILE
        if owner != NOBODY and is_general(game, game[move + TARGET]):
            rank += GENERAL_TILE
        game[move + RANK] = rank
        game[move + ARMY] = game[ARMIES + game[move + SOURCE]]


@jit_kernel
def _before(game: Game, one: int, other: int) -> bool:
    """Whether a move goes before another by rank, then the larger army, then the index, reversed on odd ticks."""
    if game[one + RANK] != game[other + RANK]:
        return game[one + RANK] < game[other + RANK]
    if game[one + ARMY] != game[other + ARMY]:
        return game[one + ARMY] > game[other + ARMY]
    return (game[one + PLAYER] < game[other + PLAYER]) != (game[TICK] & 1 != 0)


@jit_kernel
def _next(game: Game, count: int, chained: bool) -> int:
    """The first pending move that waits for no other; if all wait (a ring), the first of all; -1 if none is pending."""
    best, first = -1, -1
    for i in range(count):
        move = MOVES + i * MOVE_WORDS
        if game[move + DONE]:
            continue
        if first < 0 or _before(game, move, first):
            first = move
        if (best < 0 or _before(game, move, best)) and not (chained and _is_awaited(game, move, count)):
            best = move
    return best if best >= 0 else first


@jit_kernel
def _is_awaited(game: Game, move: int, count: int) -> bool:
    """Whether another pending move enters this one's source, head-on swaps aside."""
    for j in range(count):
        other = MOVES + j * MOVE_WORDS
        if (
            game[other + TARGET] == game[move + SOURCE]
            and game[other + SOURCE] != game[move + TARGET]
            and not game[other + DONE]
        ):
            return True
    return False


@jit_kernel
def _carry_out(game: Game, bits: Bits, move: int, count: int) -> int:
    """Execute one move, or it and its partner in a trade; how many were carried out."""
    if not can_execute(game, move):
        return 0
    owner = owner_of(game, game[move + TARGET])
    if same_team(game, game[move + PLAYER], owner):
        _reinforce(game, bits, move, owner)
        return 1
    if owner != NOBODY and count > 1 and is_general(game, game[move + TARGET]) and game[VERSION] >= FIRST_WITH_TRADES:
        partner = _trade_partner(game, move, owner, count)
        if partner >= 0:
            game[partner + DONE] = 1
            _trade(game, bits, move, partner)
            return 2
    _attack(game, bits, move, owner)
    return 1


@jit_kernel
def _reinforce(game: Game, bits: Bits, move: int, owner: int) -> None:
    """An ally's tile changes hands, unless it is the ally's general."""
    player, source, target = game[move + PLAYER], game[move + SOURCE], game[move + TARGET]
    sent = sent_by(game, move)
    set_army(game, source, player, game[ARMIES + source] - sent)
    army = game[ARMIES + target] + sent
    if owner == player or is_general(game, target):
        set_army(game, target, owner, army)
    else:
        set_owner(game, bits, target, player, army)


@jit_kernel
def _attack(game: Game, bits: Bits, move: int, victim: int) -> None:
    """The tile falls only to more units than defend it."""
    player, source, target = game[move + PLAYER], game[move + SOURCE], game[move + TARGET]
    sent = sent_by(game, move)
    defenders = game[ARMIES + target]
    set_army(game, source, player, game[ARMIES + source] - sent)
    if sent > defenders:
        set_owner(game, bits, target, player, sent - defenders)
        if victim != NOBODY and is_general(game, target):
            capture(game, bits, player, victim, target)
    elif victim == NOBODY:
        game[ARMIES + target] = defenders - sent
    else:
        set_army(game, target, victim, defenders - sent)


@jit_kernel
def capture(game: Game, bits: Bits, captor: int, victim: int, general: int) -> None:
    """The victim's other tiles pass to the captor at half strength; the general, already the captor's, is a city."""
    for tile in range(game[AREA]):
        if owner_of(game, tile) == victim:
            set_owner(game, bits, tile, captor, (game[ARMIES + tile] + 1) >> 1)
    make_city(game, general)
    game[GENERAL + victim] = -1
    event = CAPTURES + 3 * game[CAPTURE_COUNT]
    game[event] = game[TICK]
    game[event + 1] = captor
    game[event + 2] = victim
    game[CAPTURE_COUNT] += 1
    kill(game, victim)


@jit_kernel
def _trade_partner(game: Game, move: int, defender: int, count: int) -> int:
    """The move, still to come and valid, that takes the mover's general while this one takes `defender`'s; or -1."""
    for j in range(count):
        other = MOVES + j * MOVE_WORDS
        if game[other + PLAYER] != defender or game[other + DONE] or not can_execute(game, other):
            continue
        if game[other + TARGET] != game[GENERAL + game[move + PLAYER]]:
            return -1
        if _surplus(game, move, other) > 0 and _surplus(game, other, move) > 0:
            return other
    return -1


@jit_kernel
def _surplus(game: Game, attack: int, defence: int) -> int:
    """What is left of the attack after a defender whose own move may have left the general first."""
    defenders = game[ARMIES + game[attack + TARGET]]
    if game[defence + SOURCE] == game[attack + TARGET]:
        defenders -= sent_by(game, defence)
    return sent_by(game, attack) - defenders


@jit_kernel
def _trade(game: Game, bits: Bits, move: int, other: int) -> None:
    """Two players take each other's general: they swap everything, the generals whole, the rest at half strength."""
    left, other_left = _surplus(game, move, other), _surplus(game, other, move)
    sent, other_sent = sent_by(game, move), sent_by(game, other)
    one, two = game[move + PLAYER], game[other + PLAYER]
    set_army(game, game[move + SOURCE], one, game[ARMIES + game[move + SOURCE]] - sent)
    set_army(game, game[other + SOURCE], two, game[ARMIES + game[other + SOURCE]] - other_sent)
    for tile in range(game[AREA]):
        owner = owner_of(game, tile)
        if owner in (one, two):
            set_owner(game, bits, tile, two if owner == one else one, (game[ARMIES + tile] + 1) >> 1)
    set_army(game, game[move + TARGET], one, left)
    set_army(game, game[other + TARGET], two, other_left)
    game[GENERAL + one], game[GENERAL + two] = game[move + TARGET], game[other + TARGET]
    game[TRADES] += 1
