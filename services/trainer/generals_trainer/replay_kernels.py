"""The replay buffer's inner loops. A row is one state and the step taken from it; rows form a ring.

A row's state is `low` bytes of the armies, then the bit planes: `[HW + planes * ceil(HW / 8)]` u1. What an army has
above 255 is an extra: its tile and `army >> 8`, in a ring of its own, in the rows' order. Real boards have one or two
such tiles in a hundred, so armies cost one byte a tile instead of two or four, and none is cut.
"""

import numpy as np
from numpy.typing import NDArray

from generals_schemas.jit import jit
from generals_schemas.records import Armies

TAIL = 1
"""No step: the state after a batch's last one. Left behind when the next chunk continues the chain."""
TERMINATED = 2
"""The step ended the player's game: nothing is bootstrapped behind it."""


@jit
def count_extras(armies: Armies) -> int:
    """How many armies exceed 255. armies: `[N + 1, HW]`."""
    count = 0
    for row in range(armies.shape[0]):
        for tile in range(armies.shape[1]):
            count += armies[row, tile] > 255
    return count


@jit
def write_states(
    states: NDArray[np.uint8],
    extra_start: NDArray[np.int64],
    extra_count: NDArray[np.uint16],
    extra_tile: NDArray[np.uint16],
    extra_high: NDArray[np.uint32],
    first: int,
    extras: int,
    armies: Armies,
    bits: NDArray[np.uint8],
) -> int:
    """Write states to rows `first …` of the ring; `extras` is how many extras were ever written. Returns it anew.

    armies: `[N + 1, HW]`.  bits: `[N + 1, planes * ceil(HW / 8)]`.
    """
    capacity = states.shape[0]
    tiles = armies.shape[1]
    for i in range(armies.shape[0]):
        row = (first + i) % capacity
        extra_start[row] = extras
        for tile in range(tiles):
            army = np.uint32(armies[i, tile])
            states[row, tile] = army & np.uint32(255)
            if army > 255:
                slot = extras % len(extra_tile)
                extra_tile[slot] = tile
                extra_high[slot] = army >> np.uint32(8)
                extras += 1
        extra_count[row] = extras - extra_start[row]
        states[row, tiles : tiles + bits.shape[1]] = bits[i]
    return extras


@jit
def walk(
    rows: NDArray[np.int64],
    steps: int,
    gamma: float,
    rewards: NDArray[np.float32],
    flags: NDArray[np.uint8],
    following: NDArray[np.int32],
    returns: NDArray[np.float32],
    discounts: NDArray[np.float32],
    lengths: NDArray[np.int32],
    ends: NDArray[np.int64],
) -> None:
    """Follow each row for up to `steps` steps: discounted return, discount of what follows, and the row it is in.

    A window stops early behind a terminated step (discount 0) and at a tail (truncated: bootstrap from there).
    rows, returns, discounts, lengths, ends: `[N]`.
    """
    for i in range(len(rows)):
        row = rows[i]
        total = 0.0
        discount = 1.0
        length = 0
        while length < steps and flags[row] & TAIL == 0:
            total += discount * rewards[row]
            length += 1
            ended = flags[row] & TERMINATED
            row = following[row]
            if ended:
                discount = 0.0
                break
            discount *= gamma
        returns[i] = total
        discounts[i] = discount
        lengths[i] = length
        ends[i] = row


@jit
def read_states(
    states: NDArray[np.uint8],
    extra_start: NDArray[np.int64],
    extra_count: NDArray[np.uint16],
    extra_tile: NDArray[np.uint16],
    extra_high: NDArray[np.uint32],
    rows: NDArray[np.int64],
    armies: NDArray[np.uint32],
    bits: NDArray[np.uint8],
) -> None:
    """Unpack rows. armies: `[N, HW]` out.  bits: `[N, planes * ceil(HW / 8)]` out."""
    tiles = armies.shape[1]
    width = bits.shape[1]
    for i in range(len(rows)):
        row = rows[i]
        for tile in range(tiles):
            armies[i, tile] = states[row, tile]
        for j in range(width):
            bits[i, j] = states[row, tiles + j]
        start = extra_start[row]
        for extra in range(start, start + extra_count[row]):
            slot = extra % len(extra_tile)
            armies[i, extra_tile[slot]] += extra_high[slot] << np.uint32(8)


@jit
def count_use(rows: NDArray[np.int64], uses: NDArray[np.uint16]) -> None:
    """Count a use of each row, up to 65,535."""
    for row in rows:
        if uses[row] < 65535:
            uses[row] += 1


@jit
def leave(first: int, rows: int, uses: NDArray[np.uint16], leaves: NDArray[np.float32]) -> tuple[int, int, int]:
    """What leaves with rows `first …`: how many were eligible, how many of these never sampled, how many samples."""
    capacity = len(uses)
    eligible = 0
    unused = 0
    sampled = 0
    for i in range(rows):
        row = (first + i) % capacity
        if leaves[row] > 0.0:
            eligible += 1
            unused += uses[row] == 0
            sampled += uses[row]
    return eligible, unused, sampled


@jit
def to_leaves(
    errors: NDArray[np.float32],
    serials: NDArray[np.int64],
    oldest: int,
    capacity: int,
    alpha: float,
    floor: float,
    rows: NDArray[np.int64],
    leaves: NDArray[np.float32],
) -> int:
    """`(|error| + floor) ** alpha` for the rows still there. Returns how many, or -1 if an error is not finite.

    errors, serials: `[N]`.  rows, leaves: `[N]` out.
    """
    count = 0
    for i in range(len(errors)):
        if not np.isfinite(errors[i]):
            return -1
        if serials[i] >= oldest:
            rows[count] = serials[i] % capacity
            leaves[count] = (abs(errors[i]) + floor) ** alpha
            count += 1
    return count
