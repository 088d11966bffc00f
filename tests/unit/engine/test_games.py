"""The pool: games start, end and are replaced; chunks join without a gap; a bad game hurts no other."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.random import default_rng
from numpy.typing import NDArray

from generals_engine import rules
from generals_engine.fog import view
from generals_engine.games import GamePool, Played
from generals_engine.kernel.land import index_land
from generals_engine.kernel.state import ARMIES
from generals_engine.maps import GameMap, MapError, generate_map
from generals_engine.play_settings import MOST_RECORD_BYTES, PlaySettings
from generals_engine.policies import Observations, Policy, find_policy
from generals_engine.policies.codes import EXTERNAL
from generals_schemas import tiles as codes
from generals_schemas.codec import decode_chunk, encode_chunk
from generals_schemas.records import PolicyRef, TransitionChunk
from generals_schemas.tiles import UNSEEN

EXPANDER, RANDOM = find_policy("expander"), find_policy("random")


def play_settings(**changes: object) -> PlaySettings:
    base = PlaySettings(
        run="run", policies=(EXPANDER, RANDOM), width=8, height=8, games=6, tick_limit=150, chunk_ticks=64, seed=3
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def a_pool(**changes: object) -> GamePool:
    return GamePool(play_settings(**changes), lambda: 0)


def board_of(pool: GamePool, place: int) -> GameMap:
    seat = pool.seats[place]
    assert seat is not None
    return seat.board


def copied(chunk: TransitionChunk) -> TransitionChunk:
    """Through the wire and back: the pool's own arrays are overwritten by the next advance."""
    return decode_chunk(encode_chunk(chunk))


def play(pool: GamePool, games: int) -> list[Played]:
    """Everything played until so many games have ended."""
    found: list[Played] = []
    while sum(played.summary is not None for played in found) < games:
        found += [replace(played, chunk=played.chunk and copied(played.chunk)) for played in pool.advance()]
    return found


def by_game(everything: Iterable[Played]) -> dict[str, list[TransitionChunk]]:
    games = defaultdict(list)
    for played in everything:
        if played.chunk is not None:
            games[played.chunk.game_id].append(played.chunk)
    return games


@pytest.mark.parametrize("changes", [{}, {"width": 20, "height": 20, "players": 5}, {"memory": True}])
def test_chunks_packed_many_at_a_time_are_the_same_records(changes: dict[str, object]) -> None:
    pool = GamePool(play_settings(**changes), lambda: 0, pack=True)
    whole = 0

    for _ in range(30):
        for played in pool.advance():
            assert played.chunk is not None
            assert (played.packed is None) is ("memory" in changes)
            assert encode_chunk(played.chunk, played.packed) == encode_chunk(played.chunk)
            whole += played.chunk.ticks == 64

    assert whole


def test_a_games_chunks_join_without_a_gap_and_only_the_last_has_an_outcome() -> None:
    everything = play(a_pool(), 12)
    ended = {played.summary.game_id: played.summary for played in everything if played.summary is not None}
    for game_id, chunks in by_game(everything).items():
        assert [chunk.chunk for chunk in chunks] == list(range(len(chunks)))
        assert chunks[0].first_tick == 0
        for one, following in pairwise(chunks):
            assert following.first_tick == one.first_tick + one.ticks
            assert one.ticks == 64
            np.testing.assert_array_equal(one.tiles[-1], following.tiles[0])
            np.testing.assert_array_equal(one.armies[-1], following.armies[0])
            assert one.alive[-1] == following.alive[0]
            assert not one.final
        assert chunks[-1].final == (game_id in ended)
        if game_id in ended:
            summary = ended[game_id]
            assert chunks[-1].outcome is not None
            assert (summary.winners, summary.reason) == (chunks[-1].outcome.winners, chunks[-1].outcome.reason)
            assert summary.ticks == chunks[-1].first_tick + chunks[-1].ticks
            assert summary.map_seed == chunks[0].map_seed


def test_a_finished_game_is_replaced_at_once_and_ids_never_repeat() -> None:
    pool = a_pool()
    everything = play(pool, 20)
    assert pool.running == 6
    ids = [played.summary.game_id for played in everything if played.summary is not None]
    assert len(set(ids)) == len(ids) >= 20
    assert pool.started == len(ids) + 6
    assert all(game_id.startswith("run-0-") for game_id in ids)


def test_with_max_games_so_many_are_played_and_then_none_is_left() -> None:
    pool = a_pool(max_games=9)
    everything: list[Played] = []
    while pool.running:
        everything += [replace(played, chunk=None) for played in pool.advance()]
    assert sum(played.summary is not None for played in everything) == 9
    assert pool.advance() == []


def test_every_chunk_replays_by_the_readable_rules() -> None:
    for chunks in by_game(play(a_pool(players=3, policies=(EXPANDER, RANDOM, EXPANDER)), 8)).values():
        state = rules.start(chunks[0].tiles[0], chunks[0].armies[0], width=8, height=8, teams=chunks[0].teams)
        for chunk in chunks:
            for row, actions in enumerate(chunk.actions):
                np.testing.assert_array_equal(state.tiles, chunk.tiles[row])
                np.testing.assert_array_equal(state.armies, chunk.armies[row])
                assert state.alive_bits == chunk.alive[row]
                for player, action in enumerate(actions.tolist()):
                    assert (action == -1) == (not state.alive[player])
                state, _ = rules.step(state, rules.moves_of(state, actions.tolist()))
            np.testing.assert_array_equal(state.tiles, chunk.tiles[-1])
            if chunk.outcome is not None and chunk.outcome.reason == "won":
                assert state.winners == chunk.outcome.winners


def test_the_tick_limit_ends_a_game_with_nobody_as_the_winner() -> None:
    everything = play(a_pool(policies=(RANDOM,), tick_limit=70), 6)
    cut = [played for played in everything if played.summary is not None and played.summary.reason == "tick_limit"]
    assert cut
    for played in cut:
        assert played.chunk is not None
        assert played.chunk.outcome is not None
        assert played.chunk.outcome.truncated
        assert played.chunk.first_tick + played.chunk.ticks == 70


def encoded(pool: GamePool, advances: int) -> list[bytes]:
    return [encode_chunk(played.chunk) for _ in range(advances) for played in pool.advance() if played.chunk]


@pytest.mark.parametrize("assignment", ["seats", "pool"])
def test_the_same_settings_play_the_same_games_byte_for_byte(assignment: str) -> None:
    assert encoded(a_pool(assignment=assignment), 20) == encoded(a_pool(assignment=assignment), 20)


def test_another_seed_or_worker_plays_other_games() -> None:
    def boards(**changes: object) -> list[bytes]:
        return [played.chunk.tiles.tobytes() for played in a_pool(**changes).advance() if played.chunk]

    plain = boards()
    for other in (boards(seed=4), boards(worker=1, workers=2), boards(workers=2)):
        assert not set(plain) & set(other)


def test_policies_asked_tick_by_tick_and_policies_in_the_kernel_play_the_same_rules() -> None:
    """A batch policy that always passes is worth a game in which its player never moves."""
    pool = a_pool(policies=(EXPANDER, Policy("idle", EXTERNAL, Idle())))
    for chunks in by_game(play(pool, 6)).values():
        for chunk in chunks:
            assert set(chunk.actions[:, 1].tolist()) <= {8 * 64, -1}
            assert chunk.policies == (PolicyRef("expander"), PolicyRef("idle", 7))


class Idle:
    """Passes always."""

    ref = PolicyRef("idle", 7)

    def act(self, observations: Observations) -> NDArray[np.int32]:
        return np.full(len(observations), 8 * observations.width * observations.height, np.int32)


class Watcher(Idle):
    """Keeps what it was shown."""

    def __init__(self) -> None:
        self.shown: list[Observations] = []

    def act(self, observations: Observations) -> NDArray[np.int32]:
        self.shown.append(observations)
        return super().act(observations)


def test_a_batch_policy_is_shown_what_its_players_see_and_no_more() -> None:
    watcher = Watcher()
    pool = a_pool(policies=(EXPANDER, RANDOM, Policy("watcher", EXTERNAL, watcher)), players=3, games=4, max_games=4)
    chunks = by_game([replace(p, chunk=p.chunk and copied(p.chunk)) for _ in range(64) for p in pool.advance()])
    for observations in watcher.shown:
        for i, ordinal in enumerate(observations.games):
            tick, chunk = int(observations.ticks[i]), chunks[f"run-0-{ordinal}"][0]
            state = rules.start(chunk.tiles[tick], chunk.armies[tick], width=8, height=8, teams=(0, 1, 2))
            seen = view(state, int(observations.players[i]))
            np.testing.assert_array_equal(observations.tiles[i], seen.tiles)
            np.testing.assert_array_equal(observations.armies[i], seen.armies)
            np.testing.assert_array_equal(observations.obstacles[i], seen.obstacles)
            np.testing.assert_array_equal(observations.army[i], seen.army)
            np.testing.assert_array_equal(observations.land[i], seen.land)
            assert observations.players[i] == 2


class Raises(Idle):
    """Raises when it is shown one of certain games."""

    def __init__(self, *ordinals: int) -> None:
        self.ordinals = ordinals

    def act(self, observations: Observations) -> NDArray[np.int32]:
        if np.isin(observations.games, self.ordinals).any() and observations.ticks.max() >= 10:
            raise RuntimeError("out of ideas")
        return super().act(observations)


@pytest.mark.parametrize("seats", [1, 2])
@pytest.mark.parametrize("bad", [(0,), (4,), (1, 3), (0, 1, 2, 3, 4)])
def test_the_games_that_a_policy_raises_at_end_as_aborted_and_its_others_go_on(
    bad: tuple[int, ...], seats: int
) -> None:
    raising = Policy("raises", EXTERNAL, Raises(*bad))
    pool = a_pool(policies=(raising, EXPANDER if seats == 1 else raising), games=5)
    first = [played for _ in range(11) for played in pool.advance()]
    assert [played.failure for played in first] == ["policy raises: RuntimeError: out of ideas"] * len(bad)
    for played in first:
        assert played.summary is not None
        assert int(played.summary.game_id.rsplit("-", 1)[1]) in bad
        assert played.summary.reason == "aborted"
        assert played.chunk is not None
        assert played.chunk.outcome is not None
        assert played.chunk.outcome.truncated
    assert pool.running == 5
    later = play(pool, 3)
    assert all(played.failure is None for played in later)


class AnswersWrongly(Idle):
    def act(self, observations: Observations) -> NDArray[np.int32]:
        return np.zeros((len(observations), 2), np.int32)


def test_an_answer_of_the_wrong_shape_is_the_policys_failure_and_says_what_was_expected() -> None:
    pool = a_pool(policies=(Policy("wrong", EXTERNAL, AnswersWrongly()),), games=1)
    (played,) = pool.advance()
    assert played.failure == "policy wrong: ValueError: act() must return 2 whole numbers, got int32 (2, 2)"


def test_a_game_whose_invariants_break_is_dropped_unsent_and_the_others_go_on() -> None:
    pool = a_pool(games=4)
    pool.advance()
    rock = int(np.flatnonzero(board_of(pool, 2).tiles == codes.tile(codes.MOUNTAIN))[0])
    pool.state.words[2, ARMIES + rock] = -40_000
    played = pool.advance()
    assert [one.failure for one in played] == [None, None, "invariant broken: negative army", None]
    assert played[2].chunk is None
    assert played[2].summary is not None
    assert played[2].summary.reason == "aborted"
    assert pool.running == 4
    assert all(one.failure is None for one in pool.advance())


def test_a_pool_that_ends_aborts_its_games_with_what_they_had_recorded() -> None:
    pool = a_pool(policies=(Policy("idle", EXTERNAL, Idle()), EXPANDER), games=3)
    for _ in range(64 + 5):
        pool.advance()
    ended = 0
    for played in pool.end():
        assert played.chunk is not None
        assert (played.chunk.first_tick, played.chunk.ticks) == (64, 5)
        assert played.chunk.outcome is not None
        assert played.chunk.outcome.truncated
        assert played.summary is not None
        assert (played.summary.reason, played.summary.ticks) == ("aborted", 69)
        ended += 1
    assert ended == 3
    assert pool.running == 0, "and no other game begins"


def test_games_between_two_chunks_are_left_as_they_are_when_a_pool_ends() -> None:
    for policies, advances in (((EXPANDER, RANDOM), 2), ((Policy("idle", EXTERNAL, Idle()), EXPANDER), 64)):
        pool = a_pool(policies=policies, games=2)
        assert [played.summary for _ in range(advances) for played in pool.advance()].count(None) >= 2
        assert list(pool.end()) == []


def test_memory_is_what_a_player_last_saw_before_the_chunk() -> None:
    chunks_of = by_game(play(a_pool(memory=True, width=12, height=12), 6))
    compared = 0
    for chunks in chunks_of.values():
        tiles, armies = np.full((2, 144), UNSEEN, np.uint8), np.zeros((2, 144), np.int64)
        for chunk in chunks:
            assert chunk.memory is not None
            np.testing.assert_array_equal(chunk.memory.tiles, tiles)
            np.testing.assert_array_equal(chunk.memory.armies, armies)
            for row in range(chunk.ticks):
                state = rules.start(chunk.tiles[row], chunk.armies[row], width=12, height=12, teams=(0, 1))
                for player in range(2):
                    seen = view(state, player)
                    tiles[player, seen.visible] = seen.tiles[seen.visible]
                    armies[player, seen.visible] = seen.armies[seen.visible]
                    compared += 1
    assert compared > 500


def test_armies_beyond_two_bytes_are_recorded_in_four_and_narrowed_when_they_fit() -> None:
    pool = GamePool(play_settings(games=2, policies=(RANDOM,), tick_limit=None), lambda: 0, pack=True)
    general = int(board_of(pool, 0).generals[0])
    pool.state.words[0, ARMIES + general] = 100_000
    pool.state.words[1, ARMIES + int(board_of(pool, 1).generals[0])] = 65_400
    # The lists know the generals as tiles that cannot move: put them right.
    for place in range(2):
        index_land(pool.state.words[place], pool.state.bits[place])
    both = pool.advance()
    assert [played.packed for played in both] == [None, None]
    large, small = (played.chunk for played in both)
    assert large is not None
    assert small is not None
    assert large.armies.dtype == np.uint32
    assert large.armies[0, general] == 100_000
    assert small.armies.dtype == np.uint16
    assert small.armies.max() >= 50_000


@pytest.mark.parametrize(("side", "ticks"), [(8, 128), (20, 128), (40, 64), (64, 24)])
def test_large_boards_have_fewer_ticks_a_chunk_and_no_record_is_over_its_bytes(side: int, ticks: int) -> None:
    pool = a_pool(width=side, height=side, games=1, chunk_ticks=128)
    (played,) = pool.advance()
    assert played.chunk is not None
    assert played.chunk.ticks == ticks
    assert (played.chunk.tiles.size) * 5 < MOST_RECORD_BYTES


def test_all_games_are_played_on_a_fixed_map() -> None:
    board = generate_map(5, players=2, width=9, height=9)
    for played in a_pool(board=board, width=None, height=None).advance():
        assert played.chunk is not None
        assert played.chunk.map_seed == 5
        np.testing.assert_array_equal(played.chunk.tiles[0], board.tiles)


def test_a_map_with_other_players_than_set_is_refused() -> None:
    with pytest.raises(MapError, match="the map has 3 generals, but 2 players are set"):
        play_settings(board=generate_map(5, players=3))


def test_from_a_pool_of_policies_every_seat_gets_every_policy_in_some_game() -> None:
    drawn = {
        (seat.policies[0].name, seat.policies[1].name) for seat in a_pool(assignment="pool", games=40).seats if seat
    }
    assert drawn == {(one, other) for one in ("expander", "random") for other in ("expander", "random")}


def test_random_players_make_only_legal_moves_and_draw_all_directions() -> None:
    rng = default_rng(1)
    directions = np.zeros(4)
    splits = 0
    for chunks in by_game(play(a_pool(policies=(RANDOM,), seed=int(rng.integers(1000))), 6)).values():
        for chunk in chunks:
            for row, actions in enumerate(chunk.actions):
                state = rules.start(chunk.tiles[row], chunk.armies[row], width=8, height=8, teams=(0, 1))
                moves = rules.moves_of(state, actions.tolist())
                assert len(rules.step(state, moves)[1].moves) + 2 >= len(moves)
                for move in moves:
                    assert state.owners[move.source] == move.player
                    assert state.armies[move.source] > 1
                    splits += move.split
                directions += np.bincount(actions[(actions >= 0) & (actions < 512)] % 4, minlength=4)
    assert directions.min() > 0.2 * directions.sum()
    assert 0.07 < splits / directions.sum() < 0.13
