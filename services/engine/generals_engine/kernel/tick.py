"""One tick of one game: surrenders due, moves, the clock, growth, and whether the game is over."""

# mypy: disable-error-code="no-any-return"

import numpy as np
from numpy.typing import NDArray

from generals_engine.kernel.deaths import give_away_due, kill_all_but_strongest, surrender
from generals_engine.kernel.growth import grow
from generals_engine.kernel.moves import play_moves, take
from generals_engine.kernel.state import (
    IDLE,
    OVER,
    PLAYERS,
    STALEMATE,
    SURRENDERS,
    TICK,
    TICK_LIMIT,
    TIMED_OUT,
    WINNING_TEAM,
    WON,
    Bits,
    Game,
)
from generals_schemas.jit import jit_kernel

IDLE_TICKS = 2_000
LAST_TICK = 50_000


@jit_kernel
def tick(game: Game, bits: Bits, actions: NDArray[np.int32], first: int, surrendering: int) -> None:
    """Play one tick of a game that is not over.

    actions: player p's flat action is `actions[first + p]`; what is not valid is a pass.
    surrendering: bit p: player p surrenders now.
    """
    if game[SURRENDERS]:
        give_away_due(game, bits)
    if surrendering:
        _surrender_all(game, surrendering)
    count = take(game, actions, first)
    executed = play_moves(game, bits, count) if count else 0
    clock = game[TICK]
    game[IDLE] = 0 if executed and clock <= LAST_TICK else game[IDLE] + 1
    stale = game[IDLE] > IDLE_TICKS or clock > LAST_TICK
    undecided = game[WINNING_TEAM] < 0
    if stale:
        kill_all_but_strongest(game)
    game[TICK] = clock + 1
    grow(game, bits)
    if game[WINNING_TEAM] >= 0:
        game[OVER] = STALEMATE if stale and undecided else WON
    elif game[TICK] == game[TICK_LIMIT]:
        game[OVER] = TIMED_OUT


@jit_kernel
def _surrender_all(game: Game, surrendering: int) -> None:
    for player in range(game[PLAYERS]):
        if surrendering >> player & 1:
            surrender(game, player)
