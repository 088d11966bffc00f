"""The replay buffer's inner loops. Rows form a ring; `following` links a step's row to the next state's.

What gathers whole rows is left to numpy, whose gathers are memcpy: three times as fast as a loop here.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from generals_schemas.jit import jit, jit_kernel
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


@jit_kernel
def bits_of_all(armies: Armies, found: Armies) -> int:
    """All armies or-ed together: above 255 if one of them is.

    armies: `[N, HW]`.  found: `[1]`, scratch of their type: a plain variable would be 64 bits wide, and so the lanes.
    """
    found[0] = 0
    for t in range(armies.shape[0]):
        for i in range(armies.shape[1]):
            found[0] |= armies[t, i]
    return int(found[0])


@jit_kernel
def write_states(
    armies: Armies,
    bits: NDArray[np.uint8],
    actions: NDArray[np.int32],
    rewards: NDArray[np.float32],
    log_probs: NDArray[np.float32],
    first: int,
    policy: int,
    version: int,
    last_flags: int,
    extras: int,
    states: NDArray[np.uint8],
    steps: NDArray[Any],
    uses: NDArray[np.uint16],
    extra_start: NDArray[np.int64],
    extra_count: NDArray[np.uint16],
) -> None:
    """Write N states and the N - 1 steps between them to the ring, from row `first` on; none has an extra yet.

    armies: `[N, HW]`, of which the low byte is stored.  bits: `[N, planes * ceil(HW / 8)]`.  actions, rewards:
    `[N - 1]`.  log_probs: the same, or `[0]` for none.  last_flags: of the last step.  extras: where the next extra
    will lie.  states: `[capacity, bytes]`.  steps: `[capacity]` of STEP.  uses and the rest: `[capacity]`.
    """
    tiles, capacity, row = armies.shape[1], states.shape[0], first
    for t in range(armies.shape[0]):
        for i in range(tiles):
            states[row, i] = armies[t, i]
        for i in range(bits.shape[1]):
            states[row, tiles + i] = bits[t, i]
        uses[row] = 0
        extra_start[row] = extras
        extra_count[row] = 0
        step = steps[row]
        row = row + 1 if row + 1 < capacity else 0
        step.following = row
        step.version = version
        step.policy = policy
        if t < actions.shape[0]:
            step.action = actions[t]
            step.reward = rewards[t]
            step.log_prob = log_probs[t] if log_probs.shape[0] > 0 else np.nan
            step.flags = last_flags if t == actions.shape[0] - 1 else 0
        else:
            step.flags = TAIL


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
