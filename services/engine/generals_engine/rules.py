"""Generals.io's rules, written to be read: a state, and pure functions from one state to the next.

One `step` is one tick, half a turn of the game: surrenders due, one move a player, `tick += 1`, growth. Versions 5 to
18 of the site's rules are known; 16 to 18 play alike. The batched kernel plays the same games faster and is tested
against this module; this module is tested against recorded games.

What the rules leave open is settled so:

- A live action that is not valid is refused, and the player passes. Valid is what the site accepts, which is one move
  more than the legal-action mask allows: with an army of 1 a player may step onto a team mate's tile, sending nobody.
- Surrendered land whose time is up is given away before the surrenders of the same tick, lowest index first.
- If all surrender in one tick, the last one has won, having been alone for a moment.
- A general whose army a swamp eats is lost: the tile becomes a neutral city, its player lives on without one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from generals_engine.board import NOBODY, Armies, Board, Kinds, Owners, last_team
from generals_engine.growth import grow
from generals_engine.moves import Move, can_take, execute_all
from generals_schemas import actions, tiles
from generals_schemas.records import Capture, EndReason

OLDEST_RULES, NEWEST_RULES = 5, 18

SURRENDER_TICKS = 50
"""How long a surrendered player's land stays theirs."""
IDLE_TICKS = 2_000
"""So many ticks in a row without an executed move are borne; one more is a stalemate."""
LAST_TICK = 50_000
"""A tick beyond this one is a stalemate."""

NEVER = -1

_Array = TypeVar("_Array", bound=NDArray[Any])


class GameOver(ValueError):
    """A step was asked of a game that has ended."""


@dataclass(frozen=True, slots=True, eq=False)
class GameState:
    """A game between two ticks.

    owners: `[HW]` i1, -1 nobody.  kinds: `[HW]` u1, see `generals_schemas.tiles`.  armies: `[HW]` i4. All read-only.
    teams: `[P]`, players with equal numbers are allies; all different in a free-for-all.
    alive: `[P]`.  A player who surrendered is dead and yet owns land for a while.
    neutralise_at: `[P]`, the tick in which a surrendered player's land is given away, or `NEVER`.
    idle: how many ticks in a row no move was executed.
    winners, reason: None while the game is on. Winners are the living players of the last team, or
    the whole team if none of it lives.
    """

    width: int
    height: int
    rules_version: int
    teams: tuple[int, ...]
    owners: Owners
    kinds: Kinds
    armies: Armies
    alive: tuple[bool, ...]
    neutralise_at: tuple[int, ...]
    tick: int = 0
    idle: int = 0
    winners: tuple[int, ...] | None = None
    reason: EndReason | None = None

    @property
    def players(self) -> int:
        return len(self.teams)

    @property
    def tiles(self) -> NDArray[np.uint8]:
        """`[HW]` u1: owner and kind in one byte, as records carry them."""
        return (self.kinds << np.uint8(tiles.KIND_SHIFT)) | (self.owners + 1).astype(np.uint8)

    @property
    def alive_bits(self) -> int:
        """Bit p set while player p lives."""
        return sum(1 << player for player, lives in enumerate(self.alive) if lives)


@dataclass(frozen=True, slots=True)
class StepEvents:
    """What happened in a tick, in the order in which it happened. Ticks are the clock before `tick += 1`.

    trades: (first mover, other).  neutralised: surrendered players whose land was given away.
    moves: those that were carried out, both moves of a trade.
    """

    tick: int
    captures: tuple[Capture, ...]
    deaths: tuple[int, ...]
    trades: tuple[tuple[int, int], ...]
    neutralised: tuple[int, ...]
    moves: tuple[Move, ...]


def start(
    board_tiles: NDArray[np.uint8],
    armies: NDArray[np.integer],
    *,
    width: int,
    height: int,
    teams: Sequence[int],
    rules_version: int = NEWEST_RULES,
) -> GameState:
    """The state before tick 0.

    Args:
        board_tiles: `[HW]` u1, owner and kind. A player who owns no general never joined and is dead.
        armies: `[HW]`.
        teams: `[P]`, a team number for each player.

    Raises:
        ValueError: what is wrong with the map, the teams or the version.
    """
    if not OLDEST_RULES <= rules_version <= NEWEST_RULES:
        raise ValueError(f"rules version {rules_version} is unknown: {OLDEST_RULES} to {NEWEST_RULES} are played")
    if board_tiles.shape != (width * height,) or armies.shape != (width * height,):
        raise ValueError(
            f"a board of {width} x {height} has {width * height} tiles, not {board_tiles.shape} and {armies.shape}"
        )
    owners = (board_tiles & np.uint8(tiles.OWNER_MASK)).astype(np.int8) - np.int8(1)
    if owners.max(initial=NOBODY) >= len(teams):
        raise ValueError(f"player {owners.max()} owns a tile, but only {len(teams)} play")
    kinds = board_tiles >> np.uint8(tiles.KIND_SHIFT)
    alive = [_generals(owners, kinds, player) == 1 for player in range(len(teams))]
    state = GameState(
        width=width,
        height=height,
        rules_version=rules_version,
        teams=tuple(teams),
        owners=_frozen(owners),
        kinds=_frozen(kinds),
        armies=_frozen(armies.astype(np.int32)),
        alive=tuple(alive),
        neutralise_at=(NEVER,) * len(teams),
    )
    return _with_result(state, last_team(state.teams, alive), stalemate=False)


def _generals(owners: Owners, kinds: Kinds, player: int) -> int:
    count = int(np.count_nonzero((owners == player) & tiles.IS_GENERAL[kinds]))
    if count > 1:
        raise ValueError(f"player {player} has {count} generals; one or none is possible")
    return count


def is_over(state: GameState) -> bool:
    """Whether the game has ended."""
    return state.reason is not None


def winners(state: GameState) -> tuple[int, ...]:
    """The living players of the winning team, or the whole team if none of it lives; nobody while the game is on."""
    return state.winners or ()


def step(
    state: GameState,
    moves: Sequence[Move],
    surrenders: Sequence[int] = (),
    *,
    scheduled: bool = True,
) -> tuple[GameState, StepEvents]:
    """Play one tick.

    Args:
        moves: at most one a player. Those that are not valid now are dropped.
        surrenders: players, in order. The first time kills the player; a dead player's second time gives the land away.
        scheduled: add the second time 50 ticks after the first. Recorded games list both, and so pass False.

    Raises:
        GameOver: the game has ended.
    """

    def valid(board: Board) -> list[Move]:
        return [move for move in moves if can_take(board, move)]

    return advance(state, valid, surrenders, scheduled=scheduled)


def advance(
    state: GameState,
    choose: Callable[[Board], Sequence[Move]],
    surrenders: Sequence[int] = (),
    *,
    scheduled: bool = True,
) -> tuple[GameState, StepEvents]:
    """Play one tick; `choose` names the valid moves, one a player, once the surrenders that are due have happened."""
    if is_over(state):
        raise GameOver(f"the game ended at tick {state.tick} ({state.reason}); start another")
    board = _thaw(state)
    due = [player for player, tick in enumerate(state.neutralise_at) if scheduled and tick == state.tick]
    for player in (*due, *surrenders):
        if board.alive[player]:
            board.kill(player)
        else:
            _give_land_away(board, player)
    executed = execute_all(board, choose(board))
    idle = 0 if executed and state.tick <= LAST_TICK else state.idle + 1
    stale = idle > IDLE_TICKS or state.tick > LAST_TICK
    undecided = board.winning_team is None
    if stale:
        _kill_all_but_strongest(board)
    board.tick += 1
    grow(board)
    after = _freeze(state, board, idle=idle, surrendered=surrenders)
    return _with_result(after, board.winning_team, stalemate=stale and undecided), _events(state.tick, board, executed)


def moves_of(state: GameState, actions_taken: Sequence[int]) -> list[Move]:
    """The moves that flat actions `[P]` stand for. Passes, the dead's -1 and moves off the board stand for none.

    Raises:
        ValueError: not one action a player, or an action is outside `-1 … 8 * H * W`.
    """
    if len(actions_taken) != state.players:
        raise ValueError(f"{len(actions_taken)} actions for {state.players} players; each needs one, -1 if dead")
    found = (move_of(int(action), player, state.width, state.height) for player, action in enumerate(actions_taken))
    return [move for move in found if move is not None]


def move_of(action: int, player: int, width: int, height: int) -> Move | None:
    """The move that a player's flat action stands for, None for a pass, for -1 and for a move off the board."""
    chosen = None if action == actions.DEAD else actions.decode(action, width, height)
    if chosen is None:
        return None
    x, y = chosen.x + actions.DX[chosen.direction], chosen.y + actions.DY[chosen.direction]
    if not (0 <= x < width and 0 <= y < height):
        return None
    return Move(player, chosen.y * width + chosen.x, y * width + x, chosen.split)


def scoreboard(state: GameState) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each player's army and land, `[P]` i8 both. Everybody always sees them."""
    return _scores(state.owners, state.armies, state.players)


def _scores(owners: Owners, armies: Armies, players: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    owned = owners != NOBODY
    army, land = np.zeros(players, np.int64), np.zeros(players, np.int64)
    np.add.at(army, owners[owned], armies[owned])
    np.add.at(land, owners[owned], 1)
    return army, land


def _give_land_away(board: Board, player: int) -> None:
    """A surrendered player's time is up. Who was captured meanwhile has nothing left to give."""
    general = board.general_of(player)
    if general is None:
        return
    board.hand_over(player, _heir(board, player))
    board.make_city(general)
    board.neutralised.append(player)


def _heir(board: Board, player: int) -> int:
    """The living team mate with the lowest index, else nobody."""
    team = board.teams[player]
    mates = (mate for mate, number in enumerate(board.teams) if number == team and board.alive[mate])
    return next(mates, NOBODY)


def _kill_all_but_strongest(board: Board) -> None:
    """Weakest first: by army, then land, then index."""
    army, land = _scores(board.owners, board.armies, len(board.teams))
    living = [player for player, lives in enumerate(board.alive) if lives]
    for player in sorted(living, key=lambda player: (army[player], land[player], player))[:-1]:
        board.kill(player)


def _thaw(state: GameState) -> Board:
    return Board(
        width=state.width,
        height=state.height,
        rules_version=state.rules_version,
        tick=state.tick,
        teams=state.teams,
        owners=state.owners.copy(),
        kinds=state.kinds.copy(),
        armies=state.armies.copy(),
        alive=list(state.alive),
    )


def _freeze(before: GameState, board: Board, *, idle: int, surrendered: Sequence[int]) -> GameState:
    due = list(before.neutralise_at)
    for player in surrendered:
        if before.alive[player] and due[player] == NEVER:
            due[player] = before.tick + SURRENDER_TICKS
    return replace(
        before,
        owners=_frozen(board.owners),
        kinds=_frozen(board.kinds),
        armies=_frozen(board.armies),
        alive=tuple(board.alive),
        neutralise_at=tuple(due),
        tick=board.tick,
        idle=idle,
    )


def _frozen(array: _Array) -> _Array:
    array.setflags(write=False)
    return array


def _with_result(state: GameState, team: int | None, *, stalemate: bool) -> GameState:
    if team is None:
        return state
    members = [player for player, number in enumerate(state.teams) if number == team]
    living = tuple(player for player in members if state.alive[player])
    return replace(state, winners=living or tuple(members), reason="stalemate" if stalemate else "won")


def _events(tick: int, board: Board, executed: list[Move]) -> StepEvents:
    return StepEvents(
        tick=tick,
        captures=tuple(Capture(tick, captor, victim) for captor, victim in board.captures),
        deaths=tuple(board.deaths),
        trades=tuple(board.trades),
        neutralised=tuple(board.neutralised),
        moves=tuple(executed),
    )
