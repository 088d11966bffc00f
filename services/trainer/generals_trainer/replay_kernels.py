"""The replay buffer's inner loops. Rows form a ring; `following` links a step's row to the next state's.

What copies whole rows is left to numpy, whose gathers are memcpy: three times as fast as a loop here.
"""

import numpy as np
from numpy.typing import NDArray

from generals_schemas.jit import jit
from generals_schemas.records import Armies

TAIL = 1
"""No step: the state after a batch's last one. Left behind when the next chunk continues the chain."""
TERMINATED = 2
"""The step ended the player's game: nothing is bootstrapped behind it."""


STEP = np.dtype(
    [
        ("action", np.int32),
        ("reward", np.float32),
        ("log_prob", np.float32),
        ("following", np.int32),
        ("version", np.int32),
        ("policy", np.uint16),
        ("flags", np.uint8),
    ],
    align=True,
)
"""All of a step but its state, in one place: a sampled step is one cache line's wait, not seven."""


@jit
def walk(
    rows: NDArray[np.int64],
    steps: int,
    gamma: float,
    taken: NDArray[np.void],
    returns: NDArray[np.float32],
    discounts: NDArray[np.float32],
    lengths: NDArray[np.int32],
    ends: NDArray[np.int64],
) -> None:
    """Follow each row for up to `steps` steps: discounted return, discount of what follows, and the row it is in.

    A window stops early behind a terminated step (discount 0) and at a tail (truncated: bootstrap from there).
    rows, returns, discounts, lengths, ends: `[N]`.  taken: all steps, a ring of STEP.
    """
    for i in range(len(rows)):
        row = rows[i]
        total = 0.0
        discount = 1.0
        length = 0
        while length < steps and taken[row].flags & TAIL == 0:
            total += discount * taken[row].reward
            length += 1
            ended = taken[row].flags & TERMINATED
            row = taken[row].following
            if ended:
                discount = 0.0
                break
            discount *= gamma
        returns[i] = total
        discounts[i] = discount
        lengths[i] = length
        ends[i] = row


@jit
def add_extras(
    armies: Armies,
    rows: NDArray[np.int64],
    extra_start: NDArray[np.int64],
    extra_count: NDArray[np.uint16],
    extra_tile: NDArray[np.uint16],
    extra_high: NDArray[np.uint32],
) -> bool:
    """Add to armies modulo 256 what is above. armies: `[N, HW]`, in place. Returns whether all fit its type."""
    most = (1 << 8 * (armies.itemsize - 1)) - 1
    fits = True
    for i in range(len(rows)):
        start = extra_start[rows[i]]
        for extra in range(start, start + extra_count[rows[i]]):
            slot = extra % len(extra_tile)
            fits &= extra_high[slot] <= most
            armies[i, extra_tile[slot]] += extra_high[slot] << np.uint32(8)
    return fits


@jit
def count_use(rows: NDArray[np.int64], uses: NDArray[np.uint16]) -> None:
    """Count a use of each row, up to 65,535."""
    for row in rows:
        if uses[row] < 65535:
            uses[row] += 1


@jit
def leave(first: int, rows: int, uses: NDArray[np.uint16], leaves: NDArray[np.float32]) -> tuple[int, int]:
    """What leaves with rows `first …`: how many were eligible, and how many of these never sampled."""
    capacity = len(uses)
    eligible = 0
    unused = 0
    for i in range(rows):
        row = (first + i) % capacity
        if leaves[row] > 0.0:
            eligible += 1
            unused += uses[row] == 0
    return eligible, unused


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
    """`(|error| + floor) ** alpha` for the rows still there. Returns how many.

    errors, serials: `[N]`.  rows, leaves: `[N]` out.
    """
    count = 0
    for i in range(len(errors)):
        if serials[i] >= oldest:
            rows[count] = serials[i] % capacity
            leaves[count] = (abs(errors[i]) + floor) ** alpha
            count += 1
    return count
