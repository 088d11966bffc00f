"""Games that were really played, by people and by policies, against the plain reference, value by value."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from experience_agreement import assert_agree
from experience_reference import experiences as reference_experiences
from numpy.random import Generator, default_rng

from generals_collector.tensorise import experiences, recipe
from generals_engine import recorded, rules
from generals_engine.games import GamePool
from generals_engine.play_settings import PlaySettings
from generals_engine.policies import find_policy
from generals_schemas.actions import DEAD
from generals_schemas.codec import decode_chunk, encode_chunk
from generals_schemas.records import Outcome, PolicyRef, Source, TransitionChunk

SOURCE = Source("t", "id", 0, 0, 0, 1)
RECORDINGS = sorted((Path(__file__).parents[2] / "data" / "replays").glob("*.json"))


def chunk_of(states: list[rules.GameState]) -> TransitionChunk:
    """A recorded game's states as a chunk; nobody knows which actions its players took, so the living pass."""
    first, last = states[0], states[-1]
    alive = np.array([state.alive_bits for state in states], np.uint16)
    living = (alive[:-1, None] >> np.arange(first.players)) & 1
    outcome = Outcome(last.winners or (), last.reason) if last.reason is not None else None
    return TransitionChunk(
        game_id="recorded",
        chunk=0,
        first_tick=first.tick,
        rules_version=first.rules_version,
        width=first.width,
        height=first.height,
        teams=first.teams,
        policies=(PolicyRef("person"),) * first.players,
        map_seed=0,
        policy_seed=0,
        tiles=np.stack([state.tiles for state in states]),
        armies=np.stack([state.armies for state in states]).astype(np.uint16),
        alive=alive,
        actions=np.where(living, 8 * first.width * first.height, DEAD).astype(np.int32),
        outcome=outcome,
    )


def windows(states: list[rules.GameState], rng: Generator, count: int) -> Iterator[list[rules.GameState]]:
    """The end, where most happens, a death if there is one, and some others."""
    deaths = [i for i, (a, b) in enumerate(itertools.pairwise(states)) if a.alive_bits != b.alive_bits]
    starts = [max(0, len(states) - 4), *(max(0, i - 1) for i in deaths[:1])]
    starts += rng.integers(0, max(1, len(states) - 4), count).tolist()
    for start in starts:
        yield states[start : start + 4]


@pytest.mark.parametrize("file", RECORDINGS, ids=lambda file: file.stem)
def test_recorded_games_agree_with_the_reference(file: Path, seed: int) -> None:
    states = [state for state, _ in recorded.run(recorded.load(file))]
    for some in windows(states, default_rng(seed), 1):
        chunk = chunk_of(some)
        assert_agree(experiences(chunk, SOURCE, recipe()), reference_experiences(chunk))


def played(settings: PlaySettings, chunks: int) -> Iterator[TransitionChunk]:
    pool = GamePool(settings, now_ms=lambda: 0)
    some = (one.chunk for _ in itertools.count() for one in pool.advance() if one.chunk is not None)
    for chunk in itertools.islice(some, chunks):
        yield decode_chunk(encode_chunk(chunk))


def settings(rng: Generator, games: int) -> PlaySettings:
    """Random play of a random number of players, on small boards where much happens."""
    players = int(rng.integers(2, 6))
    names = ("random", "expander")
    return PlaySettings(
        run="test",
        policies=tuple(find_policy(names[int(rng.integers(2))]) for _ in range(players)),
        players=players,
        teams=(0, 0, 1, 1)[:players] if players in (3, 4) and rng.random() < 0.5 else None,
        width=int(rng.integers(7, 13)) + players,
        height=int(rng.integers(7, 13)) + players,
        games=games,
        tick_limit=int(rng.integers(40, 200)),
        chunk_ticks=int(rng.integers(8, 33)),
        seed=int(rng.integers(1 << 32)),
        memory=bool(rng.random() < 0.5),
    )


def assert_games_agree(rng: Generator, kinds: int, games: int, share: float) -> None:
    """Play; judge each chunk with a chance of `share`, and each last chunk of a game."""
    for _ in range(kinds):
        for chunk in played(settings(rng, games), games * 12):
            if chunk.outcome is not None or rng.random() < share:
                few = slice(-5, None)
                cut = replace(
                    chunk, tiles=chunk.tiles[few], armies=chunk.armies[few], alive=chunk.alive[few],
                    actions=chunk.actions[-4:], first_tick=chunk.first_tick + max(0, chunk.ticks - 4), memory=None,
                )  # fmt: skip
                assert_agree(experiences(cut, SOURCE, recipe()), reference_experiences(cut))
            assert experiences(chunk, SOURCE, recipe())


def test_games_of_policies_agree_with_the_reference(seed: int) -> None:
    assert_games_agree(default_rng(seed), kinds=4, games=8, share=0.3)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_hundred_games_of_policies_agree_with_the_reference(seed: int) -> None:
    assert_games_agree(default_rng(seed), kinds=20, games=10, share=0.3)
