"""Packed batches against the plain reference, every value."""

import numpy as np
import pytest
from experience_reference import ReferenceExperience
from numpy.typing import NDArray

from generals_collector.legal import legal_moves
from generals_schemas.records import ExperienceBatch


def unpack(batch: ExperienceBatch) -> dict[str, NDArray[np.bool_]]:
    """`[N + 1, HW]` of each stored plane, and of what can be seen: the team's tiles and what is around them."""
    bits = np.unpackbits(batch.bits, axis=-1, count=batch.width * batch.height, bitorder="little")
    planes = {name: bits[:, k].astype(bool) for k, name in enumerate(batch.planes)}
    own = np.pad(planes["own"].reshape(-1, batch.height, batch.width), ((0, 0), (1, 1), (1, 1)))
    shifted = [own[:, y : y + batch.height, x : x + batch.width] for y in range(3) for x in range(3)]
    return {**planes, "visible": np.any(shifted, axis=0).reshape(len(bits), -1)}


def nine_planes(batch: ExperienceBatch) -> NDArray[np.float64]:
    """`[N + 1, 9, HW]`, made here from the stored planes as the declaration says."""
    p = unpack(batch)
    strength = np.minimum(1.0, batch.armies / 1000.0)
    neutral = p["visible"] & ~p["own"] & ~p["enemy"] & ~p["mountain"]
    channels = [strength * p["own"], strength * p["enemy"], p["own"], p["enemy"], neutral]
    channels += [p["city"], p["mountain"], p["visible"], ~p["visible"]]
    return np.stack([np.asarray(channel, np.float64) for channel in channels], axis=1)


def masks(batch: ExperienceBatch) -> NDArray[np.bool_]:
    """`[N + 1, 8 HW + 1]`."""
    mine = batch.planes.index("mine" if "mine" in batch.planes else "own")
    moves = legal_moves(
        batch.armies,
        batch.bits,
        mine=mine,
        mountain=batch.planes.index("mountain"),
        width=batch.width,
        height=batch.height,
    )
    bits = np.unpackbits(moves, axis=-1, count=batch.width * batch.height, bitorder="little").astype(bool)
    flat = bits.transpose(0, 2, 1).reshape(len(bits), -1)
    return np.concatenate([flat, flat, np.ones((len(bits), 1), bool)], axis=1)


def assert_agree(batches: list[ExperienceBatch], expected: list[ReferenceExperience]) -> None:
    assert sum(batch.steps for batch in batches) == len(expected)
    todo = iter(expected)
    for batch in batches:
        planes, legal = nine_planes(batch), masks(batch)
        for n in range(batch.steps):
            want = next(todo)
            assert (batch.player, batch.first_tick + n) == (want.player, want.tick)
            np.testing.assert_allclose(planes[n], want.planes, atol=1e-12)
            np.testing.assert_allclose(planes[n + 1], want.next_planes, atol=1e-12)
            np.testing.assert_array_equal(legal[n], want.mask)
            np.testing.assert_array_equal(legal[n + 1], want.next_mask)
            assert batch.actions[n] == want.action
            assert batch.rewards[n] == pytest.approx(want.reward, abs=1e-6)
            last = n == batch.steps - 1
            assert (last and batch.end == "terminated", last and batch.end == "truncated") == (
                want.terminated,
                want.truncated,
            )
