"""What a decoded chunk must satisfy before any kernel reads it. Everything else wrong with a record the codec finds.

A chunk that passes has tile bytes of kinds there are and owners who play, terrain that stays where it is, bits of life
that are only ever cleared, actions that are on the board for the living and -1 for the dead, and an outcome that its
last board allows. Kernels rely on this and check nothing again.

Unusual: whether a kernel found anything wrong is one flag a chunk; only then is it looked for again,
slowly, to say where.
"""

import numpy as np
from numpy.typing import NDArray

from generals_collector.survey import read_only
from generals_schemas.actions import DEAD
from generals_schemas.errors import BadRecord
from generals_schemas.jit import jit_inline, jit_kernel
from generals_schemas.records import Armies, ExperienceBatch, Memory, TransitionChunk
from generals_schemas.tiles import (
    DESERT,
    DESERT_CITY,
    DESERT_GENERAL,
    IS_CITY,
    IS_GENERAL,
    IS_IMPASSABLE,
    IS_VALID,
    SWAMP,
    SWAMP_CITY,
    SWAMP_GENERAL,
    UNSEEN,
    kinds_where,
)
from generals_schemas.unaligned import trailing_zeros

MAX_TICK = 2**31 - 1
LOG_PROB_SLACK = 1e-3
"""Log-probabilities may exceed 0 by what float32 rounds."""

_GROUND = np.int8(1) * kinds_where(SWAMP, SWAMP_CITY, SWAMP_GENERAL) + np.int8(2) * kinds_where(
    DESERT, DESERT_CITY, DESERT_GENERAL
)
"""`[16]`: what a kind stands on."""


def validate(chunk: TransitionChunk) -> None:
    """Raises:
    BadRecord: with a short stable `reason`: identity, teams, alive, tiles, terrain, armies, actions, log_probs,
        memory or outcome.
    """
    _check_identity(chunk)
    _check_alive(chunk)
    _check_boards(chunk)
    _check_actions(chunk)
    if chunk.log_probs is not None:
        _check_log_probs(chunk, chunk.log_probs)
    if chunk.memory is not None:
        _check_memory(chunk, chunk.memory)
    _check_outcome(chunk)


def validate_rewards(batch: ExperienceBatch) -> None:
    """Raises:
    BadRecord: `reward`, when one is NaN or infinite.
    """
    if not _are_finite(batch.rewards):
        step = int(np.flatnonzero(~np.isfinite(batch.rewards))[0])
        where = f"of player {batch.player} at tick {batch.first_tick + step}"
        raise BadRecord("reward", f"the reward {where} is {batch.rewards[step]}")


def _require(condition: bool, reason: str, detail: str) -> None:
    if not condition:
        raise BadRecord(reason, detail)


def _check_identity(chunk: TransitionChunk) -> None:
    _require(bool(chunk.game_id), "identity", "the game id is empty")
    if chunk.chunk < 0:
        raise BadRecord("identity", f"chunk number {chunk.chunk} is negative")
    if not 0 <= chunk.first_tick <= MAX_TICK - chunk.ticks:
        found = f"first tick {chunk.first_tick} with {chunk.ticks} ticks"
        raise BadRecord("identity", f"{found} is outside 0 … {MAX_TICK}")
    if len(set(chunk.teams)) < 2:
        raise BadRecord("teams", f"all {chunk.players} players are in one team")
    _require(min([policy.version for policy in chunk.policies]) >= 0, "identity", "a policy's version is negative")


def _check_alive(chunk: TransitionChunk) -> None:
    first = int(chunk.alive[0])
    _require(first != 0, "alive", "nobody is alive before the first tick")
    if first >> chunk.players:
        raise BadRecord("alive", f"{first:#x} has bits beyond {chunk.players} players")
    risen = _risen(read_only(chunk.alive))
    if risen:
        raise BadRecord("alive", f"a dead player lives again at tick {chunk.first_tick + risen}")


def _check_boards(chunk: TransitionChunk) -> None:
    tiles, armies = read_only(chunk.tiles), read_only(chunk.armies)
    wrong = _bad_tile(tiles, chunk.players, np.zeros((tiles.shape[1] + 7) // 8 * 8, np.uint8))
    if wrong >= 0:
        board, tile = divmod(wrong, tiles.shape[1])
        value = int(tiles[board, tile])
        what = f"tile {tile} of board {board} is {value:#04x}: kind {value >> 4}, owner {value & 15}"
        if _is_bad_tile(tiles[board], chunk.players)[tile]:
            raise BadRecord("tiles", what)
        raise BadRecord("terrain", f"{what}, and was of kind {int(tiles[board - 1, tile]) >> 4}")
    if _army_on_mountain(tiles[0], armies, np.empty(tiles.shape[1], armies.dtype), np.zeros(1, armies.dtype)):
        board, tile = _first((chunk.armies != 0) & IS_IMPASSABLE[chunk.tiles >> 4])
        army = chunk.armies[board, tile]
        raise BadRecord("armies", f"an army of {army} stands on a mountain: tile {tile}, board {board}")


def _check_actions(chunk: TransitionChunk) -> None:
    wrong = _bad_action(read_only(chunk.actions), read_only(chunk.alive), chunk.num_actions)
    if wrong >= 0:
        step, player = divmod(wrong, chunk.players)
        lives = (int(chunk.alive[step]) >> player) & 1
        allowed = f"0 … {chunk.num_actions - 1}" if lives else f"{DEAD}, for it is dead"
        found = f"action {chunk.actions[step, player]} of player {player} at tick {chunk.first_tick + step}"
        raise BadRecord("actions", f"{found} must be {allowed}")


def _check_log_probs(chunk: TransitionChunk, log_probs: NDArray[np.float32]) -> None:
    lives = (chunk.alive[:-1, None] >> np.arange(chunk.players, dtype=np.uint16)) & 1
    bad = (lives == 1) & ~(np.isfinite(log_probs) & (log_probs <= LOG_PROB_SLACK))
    if bad.any():
        step, player = _first(bad)
        found = f"the log-probability {log_probs[step, player]} of player {player} at tick {chunk.first_tick + step}"
        raise BadRecord("log_probs", f"{found} is not finite or above 0")


def _check_memory(chunk: TransitionChunk, memory: Memory) -> None:
    bad = _is_bad_tile(memory.tiles, chunk.players) & (memory.tiles != UNSEEN)
    if bad.any():
        player, tile = _first(bad)
        found = f"tile {tile} in the memory of player {player}"
        raise BadRecord("memory", f"{found} is {int(memory.tiles[player, tile]):#04x}, which no tile is")


def _check_outcome(chunk: TransitionChunk) -> None:
    if chunk.outcome is None:
        return
    winners, reason = chunk.outcome.winners, chunk.outcome.reason
    if chunk.outcome.truncated:
        _require(not winners, "outcome", f"a game that ends by {reason} has winners {winners}")
        return
    known = len(winners) == len(set(winners)) and all(0 <= player < chunk.players for player in winners)
    _require(known, "outcome", f"winners {winners} are not {chunk.players} players' numbers, each once")
    winning = {chunk.teams[player] for player in winners}
    _require(len(winning) <= 1, "outcome", f"winners {winners} are of several teams")
    alive = [player for player in range(chunk.players) if (int(chunk.alive[-1]) >> player) & 1]
    lost = [player for player in alive if chunk.teams[player] not in winning]
    _require(not lost, "outcome", f"winners {winners}, but {lost} live at the end ({reason})")


def _is_bad_tile(tiles: NDArray[np.uint8], players: int) -> NDArray[np.bool_]:
    kind, owner = tiles >> 4, tiles & 15
    bad: NDArray[np.bool_] = ~IS_VALID[kind] | (owner > players) | (IS_IMPASSABLE[kind] & (owner != 0))
    return bad


def _first(bad: NDArray[np.bool_]) -> tuple[int, int]:
    row, column = divmod(int(np.flatnonzero(bad)[0]), bad.shape[1])
    return row, column


@jit_kernel
def _risen(alive: NDArray[np.uint16]) -> int:
    """The first tick after which a player lives who did not before it; 0 if there is none."""
    for t in range(1, alive.shape[0]):
        if alive[t] & ~alive[t - 1]:
            return t
    return 0


@jit_kernel
def _are_finite(rewards: NDArray[np.float32]) -> bool:
    finite = True
    for reward in rewards:
        finite &= np.isfinite(reward)
    return finite


@jit_kernel
def _bad_tile(tiles: NDArray[np.uint8], players: int, changes: NDArray[np.uint8]) -> int:
    """The flat index of the first tile that cannot be, or became what it cannot become; or -1.

    Board 0 is read in full, of the others only what changed.  changes: scratch, a multiple of 8, zero behind HW.
    """
    count = tiles.shape[1]
    change_words = changes.view(np.uint64)
    for i in range(count):
        if not _may_be(tiles[0, i], players):
            return i
    for t in range(1, tiles.shape[0]):
        for i in range(count):
            changes[i] = tiles[t, i] ^ tiles[t - 1, i]
        for k in range(change_words.shape[0]):
            word = change_words[k]
            while word != 0:
                byte = trailing_zeros(word) >> 3
                word &= ~(np.uint64(255) << np.uint64(byte * 8))
                i = k * 8 + byte
                before, after = tiles[t - 1, i], tiles[t, i]
                if not _may_be(after, players) or not _may_become(before >> 4, after >> 4):
                    return int(t * count + i)
    return -1


@jit_inline
def _may_be(tile: int, players: int) -> bool:
    kind, owner = tile >> 4, tile & 15
    may: bool = IS_VALID[kind] and owner <= players and (owner == 0 or not IS_IMPASSABLE[kind])
    return may


@jit_inline
def _may_become(before: int, after: int) -> bool:
    """Of kinds, only a general changes: into a city on the same ground."""
    may: bool = before == after or (IS_GENERAL[before] and IS_CITY[after] and _GROUND[before] == _GROUND[after])
    return may


@jit_kernel
def _army_on_mountain(tiles: NDArray[np.uint8], armies: Armies, mountains: Armies, found: Armies) -> bool:
    """Mountains do not move (`_may_become`), so those of board 0, `tiles` `[HW]`, are those of all.

    Scratch: `mountains` `[HW]`; `found` `[1]`, zero: a plain variable would be 64 bits wide, and so would the lanes.
    """
    for i in range(tiles.shape[0]):
        mountains[i] = -np.int64(IS_IMPASSABLE[tiles[i] >> 4])
    for t in range(armies.shape[0]):
        for i in range(tiles.shape[0]):
            found[0] |= armies[t, i] & mountains[i]
    return bool(found[0] != 0)


@jit_kernel
def _bad_action(actions: NDArray[np.int32], alive: NDArray[np.uint16], num_actions: int) -> int:
    """The flat index of the first action that cannot be, or -1."""
    for t in range(actions.shape[0]):
        for p in range(actions.shape[1]):
            action = actions[t, p]
            if (alive[t] >> p) & 1:
                if action < 0 or action >= num_actions:
                    return int(t * actions.shape[1] + p)
            elif action != -1:
                return int(t * actions.shape[1] + p)
    return -1
