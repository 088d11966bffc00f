"""Moves: which are valid, in which order they are executed, and what one does to the board.

A move is judged twice. When a player's move is taken it must be valid then; the order of all moves taken in a tick is
fixed before the first is executed; and each is checked again when its turn comes, against the board as it then is. A
move refused there is gone: it is not put back, and no other is taken in its place.
"""

from collections.abc import Sequence
from typing import NamedTuple

from generals_engine.board import NOBODY, Board, half_up

FIRST_WITH_CHAINS = 15
"""From this rules version on, moves are ordered by what they do and wait for each other; before, by index alone."""
FIRST_WITH_TRADES = 16


class Move(NamedTuple):
    """Player sends all but one unit (or half, for a split) from one tile to a neighbour. Tiles are flat indices."""

    player: int
    source: int
    target: int
    split: bool


def sent_by(board: Board, move: Move) -> int:
    """How many units leave the source as the board stands."""
    army = int(board.armies[move.source])
    return army // 2 if move.split else army - 1


def can_take(board: Board, move: Move) -> bool:
    """Whether the move is valid when a player's queue is looked at.

    With one unit nothing is sent, but a team mate's tile still changes hands: that alone is valid with an army of 1.
    """
    if not (board.alive[move.player] and board.are_neighbours(move.source, move.target)):
        return False
    if board.owners[move.source] != move.player or not board.is_passable(move.target):
        return False
    army = board.armies[move.source]
    return bool(army > 1 or (army == 1 and _is_team_mates(board, move.player, move.target)))


def _is_team_mates(board: Board, player: int, tile: int) -> bool:
    return board.owners[tile] != player and board.is_own_team(player, tile)


def can_execute(board: Board, move: Move) -> bool:
    """Whether a taken move still holds when its turn comes."""
    army = board.armies[move.source]
    if board.owners[move.source] != move.player or army == 0:
        return False
    return bool(army > 1 or board.is_own_team(move.player, move.target))


def in_order(board: Board, moves: Sequence[Move]) -> list[Move]:
    """The moves of one tick, at most one a player, in the order in which they are executed."""
    odd = board.tick % 2 == 1
    by_index = sorted(moves, key=lambda move: move.player, reverse=odd)
    if board.rules_version < FIRST_WITH_CHAINS:
        return by_index
    return _chained(sorted(by_index, key=lambda move: _priority(board, move)))


def _priority(board: Board, move: Move) -> tuple[bool, bool, int]:
    """Onto the own team's tiles first, onto a general last, larger source armies before smaller."""
    onto_general = board.owners[move.target] != NOBODY and board.is_general(move.target)
    own = board.is_own_team(move.player, move.target)
    return not own, onto_general, -int(board.armies[move.source])


def _chained(ranked: list[Move]) -> list[Move]:
    """Repeatedly the first move whose source no other pending move enters; in a ring, the first of all."""
    pending, done = list(ranked), []
    while pending:
        free = next((move for move in pending if not _waits(move, pending)), pending[0])
        pending.remove(free)
        done.append(free)
    return done


def _waits(move: Move, pending: Sequence[Move]) -> bool:
    """Whether another pending move enters this one's source. Two that swap head on do not wait for each other."""
    return any(other.target == move.source and other.source != move.target for other in pending if other is not move)


def execute_all(board: Board, moves: Sequence[Move]) -> list[Move]:
    """Execute the taken moves in order. Returns those that were carried out, both of a trade."""
    pending, executed = in_order(board, moves), []
    while pending:
        move = pending.pop(0)
        if not can_execute(board, move):
            continue
        executed.append(move)
        partner = _trade_partner(board, move, pending)
        if partner is None:
            _execute(board, move)
        else:
            pending.remove(partner)
            executed.append(partner)
            _trade(board, move, partner)
    return executed


def _execute(board: Board, move: Move) -> None:
    sent = sent_by(board, move)
    board.armies[move.source] -= sent
    if board.is_own_team(move.player, move.target):
        _reinforce(board, move, sent)
    else:
        _attack(board, move, sent)


def _reinforce(board: Board, move: Move, sent: int) -> None:
    """An ally's tile changes hands, unless it is the ally's general."""
    board.armies[move.target] += sent
    if not board.is_general(move.target):
        board.owners[move.target] = move.player


def _attack(board: Board, move: Move, sent: int) -> None:
    """The tile falls only to more units than defend it; on a tie the defender keeps it with none."""
    defenders = int(board.armies[move.target])
    if sent <= defenders:
        board.armies[move.target] = defenders - sent
        return
    victim = int(board.owners[move.target])
    board.owners[move.target] = move.player
    board.armies[move.target] = sent - defenders
    if victim != NOBODY and board.is_general(move.target):
        _capture(board, move.player, victim, move.target)


def _capture(board: Board, captor: int, victim: int, general: int) -> None:
    """The victim's other tiles pass to the captor at half strength; the general, already the captor's, is a city."""
    land = board.owners == victim
    board.owners[land] = captor
    board.armies[land] = half_up(board.armies[land])
    board.make_city(general)
    board.captures.append((captor, victim))
    if board.alive[victim]:
        board.kill(victim)


def _trade_partner(board: Board, move: Move, pending: Sequence[Move]) -> Move | None:
    """The move, still to come and valid, that takes the mover's general while this one takes its owner's."""
    if board.rules_version < FIRST_WITH_TRADES or not _threatens_general(board, move):
        return None
    other = next((other for other in pending if other.player == board.owners[move.target]), None)
    if other is None or not can_execute(board, other) or not _threatens_general(board, other):
        return None
    if board.owners[other.target] != move.player:
        return None
    both = _surplus(board, move, other) > 0 and _surplus(board, other, move) > 0
    return other if both else None


def _threatens_general(board: Board, move: Move) -> bool:
    enemy = board.owners[move.target] != NOBODY and not board.is_own_team(move.player, move.target)
    return enemy and board.is_general(move.target)


def _surplus(board: Board, attack: Move, defence: Move) -> int:
    """What is left of the attack after a defender whose own move may have left the general first."""
    defenders = int(board.armies[attack.target])
    if defence.source == attack.target:
        defenders -= sent_by(board, defence)
    return sent_by(board, attack) - defenders


def _trade(board: Board, move: Move, other: Move) -> None:
    """Two players take each other's general: they swap everything, the generals whole, the rest at half strength."""
    left, other_left = _surplus(board, move, other), _surplus(board, other, move)
    sent, other_sent = sent_by(board, move), sent_by(board, other)
    board.armies[move.source] -= sent
    board.armies[other.source] -= other_sent
    mine, theirs = board.owners == move.player, board.owners == other.player
    board.owners[mine], board.owners[theirs] = other.player, move.player
    land = mine | theirs
    board.armies[land] = half_up(board.armies[land])
    board.armies[move.target], board.armies[other.target] = left, other_left
    board.trades.append((move.player, other.player))
