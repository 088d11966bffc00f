"""The replay buffer against a plain one: a dict of games, each a list of steps."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generals_engine.play_settings import CHUNK_TICKS
from generals_runtime.errors import OperatorError
from generals_schemas.records import ExperienceBatch, PolicyRef
from generals_trainer.replay import ReplayBuffer
from generals_trainer.samples import BatchTooLarge, Layout, LayoutMismatch, NotEnough
from generals_trainer.settings import LEAST_CAPACITY, ReplaySettings


@dataclass
class Step:
    state: tuple[Any, Any, Any]
    following: tuple[Any, Any, Any]
    action: int
    reward: float
    terminated: bool
    version: int


@dataclass
class Plain:
    """What the buffer must do, said as simply as possible. Keeps everything; `recent` says what should be left."""

    n_step: int
    gamma: float
    games: dict[tuple[str, int], list[Step]] = field(default_factory=dict)
    ended: set[tuple[str, int]] = field(default_factory=set)

    def insert(self, batch: ExperienceBatch) -> None:
        steps = self.games.setdefault((batch.game_id, batch.player), [])
        for i in range(batch.steps):
            state = (batch.armies[i], batch.bits[i], batch.scalars[i])
            following = (batch.armies[i + 1], batch.bits[i + 1], batch.scalars[i + 1])
            last = i == batch.steps - 1
            terminated = last and batch.end == "terminated"
            steps.append(Step(state, following, batch.actions[i], batch.rewards[i], terminated, batch.policy.version))
        if batch.end != "none":
            self.ended.add((batch.game_id, batch.player))

    def window(self, key: tuple[str, int], tick: int) -> tuple[float, float, Step] | None:
        """Return, discount and last step of the window at `tick`, None while it is incomplete."""
        steps = self.games[key][tick : tick + self.n_step]
        if len(steps) < self.n_step and key not in self.ended:
            return None
        total = sum(self.gamma**k * float(step.reward) for k, step in enumerate(steps))
        discount = 0.0 if steps[-1].terminated else self.gamma ** len(steps)
        return total, discount, steps[-1]


def play(rng: np.random.Generator, make: Any, games: int, largest: int = 3000) -> list[ExperienceBatch]:
    """Batches of several games and players, interleaved, chunks of one player in order and adjoining states equal."""
    streams = []
    for game in range(games):
        for player in range(2):
            stream: list[ExperienceBatch] = []
            tick = 0
            chunks = int(rng.integers(1, 5))
            for chunk in range(chunks):
                steps = int(rng.integers(1, 9))
                final = chunk == chunks - 1
                end = rng.choice(["none", "terminated", "truncated"]) if final else "none"
                batch = make(
                    seed=int(rng.integers(1 << 30)),
                    game=f"g{game}",
                    player=player,
                    chunk=chunk,
                    first_tick=tick,
                    steps=steps,
                    end=str(end),
                    largest=largest,
                    policy=PolicyRef("me", int(rng.integers(5))),
                )
                if stream:
                    batch = _continued(stream[-1], batch)
                stream.append(batch)
                tick += steps
            streams.append(stream)
    merged = []
    while streams:
        chosen = int(rng.integers(len(streams)))
        merged.append(streams[chosen].pop(0))
        streams = [stream for stream in streams if stream]
    return merged


def _continued(previous: ExperienceBatch, batch: ExperienceBatch) -> ExperienceBatch:
    arrays = {}
    for name in ("armies", "bits", "scalars"):
        array = getattr(batch, name).copy()
        array[0] = getattr(previous, name)[-1]
        arrays[name] = array
    return replace(batch, **arrays)


def buffer_for(batch: ExperienceBatch, **settings: Any) -> ReplayBuffer:
    return ReplayBuffer(Layout.of(batch), **{"capacity": 1000, **settings})


def state_of(states: Any, i: int) -> tuple[bytes, bytes, bytes]:
    return (states.armies[i].astype(np.uint32).tobytes(), states.bits[i].tobytes(), states.scalars[i].tobytes())


def key_of(state: tuple[Any, Any, Any]) -> tuple[bytes, bytes, bytes]:
    return (state[0].astype(np.uint32).tobytes(), state[1].tobytes(), state[2].tobytes())


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_step=st.sampled_from([1, 2, 3, 7, 20]),
    capacity=st.sampled_from([30, 61, 1000]),
    largest=st.sampled_from([200, 3000, 1 << 20]),
)
def test_every_sample_is_what_the_plain_buffer_says(
    make_batch: Any, seed: int, n_step: int, capacity: int, largest: int
) -> None:
    rng = np.random.default_rng(seed)
    batches = play(rng, make_batch, games=4, largest=largest)
    buffer = buffer_for(batches[0], capacity=capacity, n_step=n_step, gamma=0.9, alpha=0.0, seed=seed)
    plain = Plain(n_step, 0.9)
    for batch in batches:
        buffer.insert(batch)
        plain.insert(batch)
    kept = len(buffer.blocks)
    expected = {}
    for batch in batches[-kept:]:
        key = (batch.game_id, batch.player)
        for i in range(batch.steps):
            window = plain.window(key, batch.first_tick + i)
            if window is not None:
                step = plain.games[key][batch.first_tick + i]
                expected[key_of(step.state)] = (step, window)
    assert buffer.eligible == len(expected)
    if not expected:
        with pytest.raises(NotEnough):
            buffer.sample(1)
        return
    sample = buffer.sample(20 * len(expected))
    seen = set()
    for i in range(len(sample)):
        state = state_of(sample.states, i)
        step, (total, discount, last) = expected[state]
        seen.add(state)
        assert sample.actions[i] == step.action
        assert sample.policy_versions[i] == step.version
        assert sample.returns[i] == pytest.approx(total, rel=1e-5, abs=1e-5)
        assert sample.discounts[i] == pytest.approx(discount, rel=1e-6)
        assert state_of(sample.next_states, i) == key_of(last.following)
    assert len(seen) == len(expected), "stratified uniform sampling must reach every eligible step"
    assert np.all(sample.weights == 1.0)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), fill=st.integers(1, 30))
def test_a_buffer_refilled_from_the_log_samples_as_the_old_one(make_batch: Any, seed: int, fill: int) -> None:
    rng = np.random.default_rng(seed)
    batches = play(rng, make_batch, games=8)
    fill = min(fill, len(batches))
    arguments = {"capacity": 61, "n_step": 3, "seed": seed}
    old = buffer_for(batches[0], **arguments)
    for i, batch in enumerate(batches[:fill]):
        old.insert(batch, sequence=i, partition=0, offset=i)
        if old.eligible:
            sample = old.sample(8, beta=0.5)
            old.update_priorities(sample.serials, rng.normal(size=8).astype(np.float32))
    snapshot = old.snapshot()
    new = buffer_for(batches[0], **{**arguments, "seed": seed + 1})
    new.begin_refill(snapshot)
    for _, _, sequence, partition, offset in snapshot.blocks.tolist():
        new.insert(batches[offset], sequence=sequence, partition=partition, offset=offset)
    new.end_refill(replace(snapshot, counters={**snapshot.counters, "of_an_earlier_program": 1}))
    assert new.counters == old.counters
    assert new.eligible == old.eligible
    for i, batch in enumerate(batches[fill:], fill):
        for buffer in (old, new):
            buffer.insert(batch, sequence=i, partition=0, offset=i)
        if old.eligible:
            first, second = old.sample(16, beta=0.5), new.sample(16, beta=0.5)
            for name in ("serials", "actions", "returns", "discounts", "weights", "ages", "policy_versions"):
                np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)
            np.testing.assert_array_equal(first.next_states.armies, second.next_states.armies)
            errors = rng.normal(size=16).astype(np.float32)
            old.update_priorities(first.serials, errors)
            new.update_priorities(second.serials, errors)
    np.testing.assert_array_equal(old.snapshot().leaves, new.snapshot().leaves)


def test_who_goes_on_without_priorities_forgets_those_of_before(make_batch: Any) -> None:
    first, second = make_batch(game="a", end="terminated"), make_batch(game="b", end="terminated")
    old = buffer_for(first, alpha=0.6)
    old.insert(first)
    old.update_priorities(np.arange(4), np.array([0.01, 0.02, 5.0, 9.0], np.float32))
    new = buffer_for(first, alpha=0.0)
    new.begin_refill(old.snapshot())
    new.insert(first)
    new.end_refill(old.snapshot())
    new.insert(second)
    np.testing.assert_array_equal(new.snapshot().leaves, [1, 1, 1, 1, 0, 1, 1, 1, 1, 0])


def test_steps_are_sampled_in_proportion_to_their_priorities(make_batch: Any) -> None:
    batch = make_batch(steps=4, end="terminated")
    buffer = buffer_for(batch, alpha=0.5, seed=5)
    buffer.insert(batch)
    errors = np.array([0.0, 1.0, 4.0, 9.0], np.float32)
    buffer.update_priorities(np.arange(4), errors)
    sample = buffer.sample(6000, beta=1.0)
    counts = np.bincount(sample.serials, minlength=4)
    chances = np.sqrt(errors + 1e-3) / np.sqrt(errors + 1e-3).sum()
    np.testing.assert_allclose(counts / 6000, chances, atol=0.002)
    # Importance weights undo the preference: each step's share of the weighted sum is the same.
    weighted = np.bincount(sample.serials, sample.weights, minlength=4)
    np.testing.assert_allclose(weighted / weighted.sum(), 0.25, atol=0.02)
    assert sample.weights.max() == 1.0


def test_new_steps_get_the_highest_priority_seen(make_batch: Any) -> None:
    first, second = make_batch(game="a", end="terminated"), make_batch(game="b", end="terminated")
    buffer = buffer_for(first, alpha=1.0)
    buffer.insert(first)
    buffer.update_priorities(np.array([1]), np.array([7.0], np.float32))
    buffer.insert(second)
    np.testing.assert_allclose(buffer.snapshot().leaves, [1, 7.001, 1, 1, 0, 7.001, 7.001, 7.001, 7.001, 0], rtol=1e-6)


def test_a_step_waits_until_the_next_chunk_completes_its_window(make_batch: Any) -> None:
    buffer = buffer_for(make_batch(), n_step=3, alpha=0.0)
    buffer.insert(make_batch(chunk=0, steps=4))
    assert buffer.eligible == 2
    buffer.insert(make_batch(chunk=1, first_tick=4, steps=1))
    assert buffer.eligible == 3
    buffer.insert(make_batch(chunk=2, first_tick=5, steps=1, end="truncated"))
    assert buffer.eligible == 6


def test_a_missed_chunk_ends_the_windows_before_it_at_its_last_state(make_batch: Any) -> None:
    before = make_batch(chunk=0, steps=4)
    buffer = buffer_for(before, n_step=3, gamma=0.5, alpha=0.0)
    buffer.insert(before)
    buffer.insert(make_batch(chunk=2, first_tick=8, steps=4))
    assert buffer.eligible == 4 + 2
    sample = buffer.sample(60)
    last = int(np.flatnonzero(sample.serials == 3)[0])
    assert (sample.lengths[last], sample.discounts[last]) == (1, 0.5)
    np.testing.assert_array_equal(sample.next_states.armies[last], before.armies[4])


def test_what_leaves_unused_is_counted(make_batch: Any) -> None:
    buffer = buffer_for(make_batch(), capacity=10, alpha=0.0)
    for i in range(3):
        buffer.insert(make_batch(game=f"g{i}", steps=4, end="terminated"))
    assert (buffer.counters.inserted, buffer.counters.evicted, buffer.counters.evicted_unused) == (12, 4, 4)
    sample = buffer.sample(8)
    buffer.insert(make_batch(game="g3", steps=4, end="terminated"))
    assert (buffer.counters.evicted, buffer.counters.evicted_unused) == (8, 4)
    assert sample.ages.max() == 9


def test_priorities_of_steps_that_have_left_are_passed_over(make_batch: Any) -> None:
    buffer = buffer_for(make_batch(), capacity=10)
    buffer.insert(make_batch(game="a", steps=4, end="terminated"))
    old = buffer.sample(4)
    for i in range(2):
        buffer.insert(make_batch(game=f"b{i}", steps=4, end="terminated"))
    before = buffer.snapshot().leaves
    buffer.update_priorities(old.serials, np.full(4, 50, np.float32))
    np.testing.assert_array_equal(buffer.snapshot().leaves, before)


def test_many_large_armies_make_the_oldest_leave_earlier(make_batch: Any) -> None:
    batches = []
    for i in range(4):
        batch = make_batch(game=f"g{i}", steps=4, end="terminated")
        batches.append(replace(batch, armies=np.full_like(batch.armies, 60_000 + i)))
    buffer = buffer_for(batches[0], capacity=100, large_armies_per_row=1.3, alpha=0.0)
    for batch in batches:
        buffer.insert(batch)
    assert len(buffer.blocks) == 2
    assert set(np.unique(buffer.sample(50).states.armies).tolist()) == {60_002, 60_003}


def test_a_batch_of_another_layout_is_refused_by_name(make_batch: Any) -> None:
    buffer = buffer_for(make_batch())
    with pytest.raises(LayoutMismatch, match="5x3 nine_planes for a buffer of 4x3 nine_planes"):
        buffer.insert(make_batch(width=5))


def test_what_cannot_fit_is_refused_with_what_an_operator_can_do(make_batch: Any) -> None:
    buffer = buffer_for(make_batch(), capacity=4)
    with pytest.raises(BatchTooLarge, match=r"5 rows .* exceeds a buffer of 4 rows .*raise trainer\.replay\.capacity"):
        buffer.insert(make_batch(steps=4))
    assert issubclass(BatchTooLarge, OperatorError)


def test_the_least_capacity_holds_a_chunk_of_the_usual_length(make_batch: Any) -> None:
    buffer = buffer_for(make_batch(), capacity=LEAST_CAPACITY)
    assert buffer.insert(make_batch(steps=CHUNK_TICKS)) == CHUNK_TICKS
    with pytest.raises(ValueError, match="capacity"):
        ReplaySettings(capacity=LEAST_CAPACITY - 1)


@pytest.mark.parametrize("alpha", [0.0, 0.6])
@pytest.mark.parametrize("error", [np.nan, np.inf, -np.inf])
def test_a_diverged_learner_is_noticed_whether_or_not_there_are_priorities(
    alpha: float, error: float, make_batch: Any
) -> None:
    buffer = buffer_for(make_batch(), alpha=alpha)
    buffer.insert(make_batch(end="terminated"))
    with pytest.raises(ValueError, match="diverged"):
        buffer.update_priorities(np.array([0]), np.array([error], np.float32))


def test_states_can_lie_in_a_mapped_file(make_batch: Any, tmp_path: Path) -> None:
    batch = make_batch(end="terminated", largest=1 << 20)
    on_disk, in_memory = (buffer_for(batch, directory=place, seed=1) for place in (tmp_path, None))
    for buffer in (on_disk, in_memory):
        buffer.insert(batch)
    beside = buffer_for(batch, directory=tmp_path, seed=1)  # another rank's, or of players with team mates
    beside.insert(make_batch(end="terminated", largest=7, seed=5))
    assert list(tmp_path.iterdir()) == [], "no name, nothing to share or to leave behind"
    np.testing.assert_array_equal(on_disk.sample(9).states.armies, in_memory.sample(9).states.armies)


def test_an_experience_of_twenty_by_twenty_takes_less_than_eleven_hundred_bytes(make_batch: Any) -> None:
    batch = make_batch(width=20, height=20, scalars=0, steps=64, end="terminated")
    buffer = buffer_for(batch, capacity=65_000)
    for i in range(1000):
        buffer.insert(replace(batch, game_id=str(i), armies=np.minimum(batch.armies, 255)))
    assert buffer.counters.evicted == 0
    assert buffer.nbytes / buffer.counters.inserted < 1100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"n_step": 0}, "n_step"), ({"gamma": 1.5}, "gamma"), ({"alpha": -1.0}, "alpha"), ({"capacity": 1}, "capacity")],
)
def test_arguments_out_of_range_are_named(make_batch: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        buffer_for(make_batch(), **arguments)


def test_a_truncated_game_is_worth_what_would_have_followed_or_nothing(make_batch: Any) -> None:
    batch = make_batch(steps=4, end="truncated")
    for bootstrap, last in ((True, 0.5), (False, 0.0)):
        buffer = buffer_for(batch, n_step=2, gamma=0.5, alpha=0.0, bootstrap_truncated=bootstrap)
        buffer.insert(batch)
        sample = buffer.sample(60)
        of = dict(zip(sample.serials.tolist(), sample.discounts.tolist(), strict=True))
        assert of == {0: 0.25, 1: 0.25, 2: 0.25 if bootstrap else 0.0, 3: last}
