"""What players saw and did is enough to have the whole game again."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from generals_collector.tensorise import recipe, tensorise
from generals_engine.export import export_game
from generals_engine.from_experiences import CannotRebuild, rebuild_game
from generals_engine.games import GamePool
from generals_engine.play_settings import PlaySettings
from generals_engine.policies import find_policy
from generals_engine.recorded import parse, run
from generals_schemas.codec import decode_batch, decode_chunk, encode_batch, encode_chunk
from generals_schemas.records import ExperienceBatch, Source, TransitionChunk
from generals_schemas.tiles import KIND_SHIFT, OWNER_MASK

SOURCE = Source("t", "id", 0, 0, 0, 2)


def played(*policies: str, games: int = 3, **changes: object) -> Iterator[list[TransitionChunk]]:
    """The chunks of whole games."""
    said: dict[str, Any] = {
        "width": 9,
        "height": 8,
        "games": 3,
        "max_games": games,
        "tick_limit": 300,
        "chunk_ticks": 32,
        "seed": 4,
    }
    settings = {**said, "players": len(policies), **changes}
    pool = GamePool(PlaySettings(run="g", policies=tuple(map(find_policy, policies)), **settings), lambda: 0)
    found = defaultdict(list)
    while pool.running:
        for one in pool.advance():
            assert one.chunk is not None
            found[one.chunk.game_id].append(decode_chunk(encode_chunk(one.chunk)))
    yield from found.values()


def experiences(chunks: Iterable[TransitionChunk], encoding: str = "nine_planes") -> list[ExperienceBatch]:
    """As a reader gets them."""
    how = recipe(encoding=encoding)
    return [decode_batch(encode_batch(batch)) for chunk in chunks for batch in tensorise(chunk, SOURCE, how)]


def assert_is(game: TransitionChunk, chunks: list[TransitionChunk]) -> None:
    """The same game, but for tiles that nobody ever saw and team numbers."""
    tiles = np.concatenate([chunks[0].tiles, *(chunk.tiles[1:] for chunk in chunks[1:])])
    armies = np.concatenate([chunks[0].armies, *(chunk.armies[1:] for chunk in chunks[1:])])
    known = (game.tiles == tiles).all(axis=0)
    assert not (tiles[:, ~known] & OWNER_MASK).any(), "all land that was ever taken is right"
    assert not (game.tiles[:, ~known] >> KIND_SHIFT).any(), "and what nobody saw is empty"
    assert known.mean() > 0.5
    assert np.array_equal(game.armies[:, known], armies[:, known])
    assert np.array_equal(game.actions, np.concatenate([chunk.actions for chunk in chunks]))
    assert game.alive.tolist() == [*chunks[0].alive, *(row for chunk in chunks[1:] for row in chunk.alive[1:])]
    pairs = [(one, other) for one in range(game.players) for other in range(game.players)]
    same_teams = [[teams[one] == teams[other] for one, other in pairs] for teams in (game.teams, chunks[0].teams)]
    assert same_teams[0] == same_teams[1]
    assert game.policies == chunks[0].policies


@pytest.mark.parametrize("encoding", ["nine_planes", "memory"])
def test_a_duel_comes_out_as_it_was_played(encoding: str) -> None:
    memory = encoding == "memory"
    for chunks in played("strategist", "hunter", width=12, height=12, tick_limit=500, memory=memory):
        game = rebuild_game(reversed(experiences(chunks, encoding)))
        assert_is(game, chunks)
        ended = chunks[-1].outcome
        assert ended is not None
        assert game.outcome == (ended if ended.reason == "won" else None), "who cut a game short, the rules do not know"


def test_games_of_many_players_whose_land_goes_from_hand_to_hand() -> None:
    deaths = 0
    for chunks in played("hunter", "expander", "strategist", "hunter", width=14, height=14, tick_limit=600):
        game = rebuild_game(experiences(chunks))
        assert_is(game, chunks)
        deaths += int(game.alive[0]).bit_count() - int(game.alive[-1]).bit_count()
    assert deaths > 0


def test_games_in_teams() -> None:
    for chunks in played("hunter", "expander", "hunter", "expander", teams=(7, 2, 7, 2), width=14, height=14):
        assert_is(rebuild_game(experiences(chunks)), chunks)


def test_what_is_rebuilt_can_be_exported_and_is_played_the_same() -> None:
    for chunks in played("hunter", "random"):
        game = rebuild_game(experiences(chunks))
        states = [state for state, _ in run(parse(export_game([game])))]
        assert np.array_equal(np.stack([state.tiles for state in states]), game.tiles)
        assert np.array_equal(np.stack([state.armies for state in states]), game.armies)


@pytest.fixture(scope="module")
def duel() -> list[ExperienceBatch]:
    return experiences(next(played("expander", "random", games=1)))


def test_a_game_of_which_something_is_gone_is_refused_and_what_is_gone_named(duel: list[ExperienceBatch]) -> None:
    later = [batch for batch in duel if batch.first_tick != 32 or batch.player != 1]
    with pytest.raises(CannotRebuild, match="player 1 of game g-0-0 has no experience of tick 32"):
        rebuild_game(later)
    for lacking in (lambda b: b.first_tick > 0, lambda b: b.player == 1):
        with pytest.raises(CannotRebuild, match="not each of its players has experiences from tick 0 on"):
            rebuild_game(filter(lacking, duel))
    with pytest.raises(CannotRebuild, match="no experiences"):
        rebuild_game([])
    with pytest.raises(CannotRebuild, match="two games, g-0-0 and other"):
        rebuild_game([*duel, replace(duel[-1], game_id="other")])


def test_what_does_not_follow_from_what_was_done_is_refused(duel: list[ExperienceBatch]) -> None:
    first = duel[0]
    moved = int(np.flatnonzero(first.actions != 8 * first.width * first.height)[-1])
    actions = first.actions.copy()
    actions[moved] = 8 * first.width * first.height
    with pytest.raises(CannotRebuild, match=rf"game g-0-0: what player \d saw at tick {moved + 1} does not follow"):
        rebuild_game([replace(first, actions=actions), *duel[1:]])
