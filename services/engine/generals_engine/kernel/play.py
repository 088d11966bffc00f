"""Many ticks in one call: chunks of whole games when all policies are kernels, single ticks of all games when not."""

# mypy: disable-error-code="no-any-return"

import numpy as np
from numpy.typing import NDArray

from generals_engine.kernel.check import broken
from generals_engine.kernel.deaths import lives
from generals_engine.kernel.record import begin_chunk, record_board
from generals_engine.kernel.state import BROKEN, CHUNK_TICKS, FILLED, OVER, PLAYERS, POLICY, Bits, Game, State
from generals_engine.kernel.tick import tick
from generals_engine.policies.dispatch import choose
from generals_schemas.actions import DEAD
from generals_schemas.jit import jit_kernel


@jit_kernel
def play_chunks(state: State, playing: NDArray[np.bool_], first: int, count: int) -> None:
    """One chunk of each of the games `first … first + count - 1` with `playing[g]`, in slots `0 … count - 1`."""
    for slot in range(count):
        if playing[first + slot]:
            _play_chunk(state, state.words[first + slot], state.bits[first + slot], slot)


@jit_kernel
def _play_chunk(state: State, game: Game, bits: Bits, slot: int) -> None:
    begin_chunk(state, game, slot)
    actions = state.record_actions[slot]
    players = game[PLAYERS]
    for row in range(game[CHUNK_TICKS]):
        for player in range(players):
            actions[row * players + player] = choose(game, bits, player) if lives(game, player) else DEAD
        tick(game, bits, actions, row * players, 0)
        record_board(state, game, slot, row + 1)
        game[FILLED] = row + 1
        if game[OVER]:
            break
    game[BROKEN] = broken(game)


@jit_kernel
def step_games(
    state: State, playing: NDArray[np.bool_], actions: NDArray[np.int32], surrendering: NDArray[np.int32]
) -> None:
    """One tick of each game g with `playing[g]`, recorded in slot g; `begin_chunk` has been called for it.

    actions: `[G, P]`, for the players whose policies are external.  surrendering: `[G]`, bit p: player p surrenders.
    """
    for g in range(playing.size):
        if playing[g]:
            _step(state, state.words[g], state.bits[g], g, actions[g], surrendering[g])


@jit_kernel
def _step(state: State, game: Game, bits: Bits, slot: int, actions: NDArray[np.int32], surrendering: int) -> None:
    row, players = game[FILLED], game[PLAYERS]
    taken = state.record_actions[slot]
    for player in range(players):
        action = DEAD
        if lives(game, player):
            action = actions[player] if game[POLICY + player] < 0 else choose(game, bits, player)
        taken[row * players + player] = action
    tick(game, bits, taken, row * players, surrendering)
    record_board(state, game, slot, row + 1)
    game[FILLED] = row + 1
    if game[OVER] or row + 1 == game[CHUNK_TICKS]:
        game[BROKEN] = broken(game)


@jit_kernel
def begin_chunks(state: State, starting: NDArray[np.bool_]) -> None:
    """Begin a chunk of each game g with `starting[g]`, in slot g."""
    for g in range(starting.size):
        if starting[g]:
            begin_chunk(state, state.words[g], g)
