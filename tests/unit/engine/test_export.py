"""From chunks to the format of recorded games and back: random games by the readable rules, and hand-made faults."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from generals_engine import recorded, rules
from generals_engine.drawing import draw
from generals_engine.export import CannotExport, export_game
from generals_engine.rules import GameState
from generals_schemas import actions, tiles
from generals_schemas.records import Outcome, PolicyRef, TransitionChunk

Choose = Callable[[GameState, int], int]


@dataclass
class Recorder:
    """Plays a game by the readable rules and keeps what a chunk keeps."""

    state: GameState
    chunk_ticks: int = 7
    boards: list[GameState] = field(default_factory=list)
    actions: list[list[int]] = field(default_factory=list)

    def play(self, choose: Choose, surrenders: dict[int, list[int]], ticks: int) -> None:
        self.boards = [self.state]
        for _ in range(ticks):
            before = self.boards[-1]
            if rules.is_over(before):
                return
            taken = [choose(before, player) if lives else actions.DEAD for player, lives in enumerate(before.alive)]
            leaving = [player for player in surrenders.get(before.tick, []) if before.alive[player]]
            after, _ = rules.step(before, rules.moves_of(before, taken), leaving)
            self.boards.append(after)
            self.actions.append(taken)

    def chunks(self) -> list[TransitionChunk]:
        count = -(-len(self.actions) // self.chunk_ticks)
        return [self._chunk(number, number == count - 1) for number in range(count)]

    def _chunk(self, number: int, final: bool) -> TransitionChunk:
        first = number * self.chunk_ticks
        last = min(first + self.chunk_ticks, len(self.actions))
        boards = self.boards[first : last + 1]
        end = self.boards[-1]
        outcome = Outcome(rules.winners(end), end.reason or "tick_limit") if final else None
        return TransitionChunk(
            game_id="run/worker/1",
            chunk=number,
            first_tick=first,
            rules_version=end.rules_version,
            width=end.width,
            height=end.height,
            teams=end.teams,
            policies=(PolicyRef("random"),) * end.players,
            map_seed=1,
            policy_seed=2,
            tiles=np.stack([board.tiles for board in boards]),
            armies=np.stack([board.armies for board in boards]).astype(np.uint16),
            alive=np.array([board.alive_bits for board in boards], np.uint16),
            actions=np.array(self.actions[first:last], np.int32),
            outcome=outcome,
        )


def random_start(random: Generator) -> GameState:
    """A small crowded board, with all kinds of terrain."""
    width, height = int(random.integers(3, 9)), int(random.integers(3, 9))
    players = int(random.integers(2, 7))
    kinds = random.choice(
        [tiles.PLAIN, tiles.CITY, tiles.MOUNTAIN, tiles.OBSTACLE, tiles.SWAMP, tiles.DESERT, tiles.DESERT_CITY],
        size=width * height,
        p=[0.7, 0.06, 0.06, 0.02, 0.06, 0.06, 0.04],
    )
    board = (kinds << tiles.KIND_SHIFT).astype(np.uint8)
    armies: NDArray[np.int32] = np.where(tiles.IS_CITY[kinds], random.integers(1, 9, kinds.size), 0).astype(np.int32)
    armies += np.where((kinds == tiles.PLAIN) & (random.random(kinds.size) < 0.1), 3, 0).astype(np.int32)
    places = random.choice(kinds.size, players, replace=False)
    for player, place in enumerate(places):
        board[place], armies[place] = tiles.tile(tiles.GENERAL, player), 1
    teams = random.integers(0, 4, players).tolist() if random.random() < 0.5 else list(range(players))
    version = int(random.integers(rules.OLDEST_RULES, rules.NEWEST_RULES + 1))
    return rules.start(board, armies, width=width, height=height, teams=teams, rules_version=version)


def legal_or_any(random: Generator) -> Choose:
    """Mostly a move from one of the player's tiles, now and then any action at all."""

    def choose(state: GameState, player: int) -> int:
        own = np.flatnonzero((state.owners == player) & (state.armies > 1))
        if own.size == 0 or random.random() < 0.1:
            return int(random.integers(0, actions.num_actions(state.width, state.height)))
        action = int(random.choice(own)) * 4 + int(random.integers(0, 4))
        return action + 4 * state.width * state.height * int(random.random() < 0.2)

    return choose


@pytest.mark.parametrize("seed", range(40))
def test_the_replay_of_an_export_gives_the_same_boards(seed: int) -> None:
    random = default_rng(seed)
    state = random_start(random)
    while rules.is_over(state):
        state = random_start(random)
    recorder = Recorder(state, chunk_ticks=int(random.integers(1, 60)))
    players = recorder.state.players
    surrenders = {int(random.integers(1, 120)): [int(random.integers(0, players))] for _ in range(2)}
    recorder.play(legal_or_any(random), surrenders, ticks=int(random.integers(1, 300)))
    record = export_game(reversed(recorder.chunks()))
    states = [state for state, _ in recorded.run(recorded.parse(record))]
    assert len(states) == len(recorder.boards), f"seed {seed}"
    for state, board in zip(states, recorder.boards, strict=True):
        assert state.tiles.tolist() == board.tiles.tolist(), f"seed {seed}, tick {state.tick}"
        assert state.armies.tolist() == board.armies.tolist(), f"seed {seed}, tick {state.tick}"
        assert state.alive == board.alive, f"seed {seed}, tick {state.tick}"
    assert rules.winners(states[-1]) == rules.winners(recorder.boards[-1]), f"seed {seed}"


REPLAYS = Path(__file__).parents[2] / "data" / "replays"


@pytest.mark.parametrize("name", ["v16-06p-01-short_game", "v05-02p-06", "synthetic-ring-00", "synthetic-003"])
def test_a_recorded_game_played_live_and_exported_is_expected_to_end_alike(name: str) -> None:
    game = recorded.load(REPLAYS / f"{name}.json")
    taken: dict[tuple[int, int], int] = {}
    for _, events in recorded.run(game):
        for move in events.moves if events is not None else ():
            taken[events.tick, move.player] = flat(game, move.source, move.target, move.split)  # type: ignore[union-attr]
    passing = actions.pass_action(game.width, game.height)
    recorder = Recorder(recorded.initial_state(game), chunk_ticks=64)
    recorder.play(lambda state, player: taken.get((state.tick, player), passing), {}, ticks=10_000)
    assert game.expected is not None
    assert export_game(recorder.chunks())["expected"] == game.expected


def flat(game: recorded.RecordedGame, source: int, target: int, split: bool) -> int:
    """The flat action of a recorded move."""
    direction = {
        -game.width: actions.UP,
        game.width: actions.DOWN,
        -1: actions.LEFT,
        1: actions.RIGHT,
    }[target - source]
    return actions.encode(
        actions.Move(source % game.width, source // game.width, direction, split), game.width, game.height
    )


@pytest.fixture
def chunks() -> list[TransitionChunk]:
    """Three chunks of a game cut short, in which both generals send what they have to the right."""
    recorder = Recorder(draw("A1 . . # B1 . ."))
    recorder.play(lambda state, player: (0, 4)[player] * 4 + actions.RIGHT, {}, ticks=20)
    return recorder.chunks()


def test_a_game_cut_short_says_where_it_stops(chunks: list[TransitionChunk]) -> None:
    record = export_game(chunks)
    assert record["ticks"] == 20
    assert record["teams"] is None
    assert recorded.replay(recorded.parse(record)).end_tick == 20


def test_a_missing_chunk_is_named(chunks: list[TransitionChunk]) -> None:
    with pytest.raises(CannotExport, match="chunk 1 of game run/worker/1 is missing"):
        export_game([chunks[0], chunks[2]])
    with pytest.raises(CannotExport, match="chunk 0 of game run/worker/1 is missing"):
        export_game(chunks[1:])
    with pytest.raises(CannotExport, match="there are no chunks"):
        export_game([])


def test_chunks_of_two_games_are_refused(chunks: list[TransitionChunk]) -> None:
    other = replace(chunks[1], game_id="run/worker/2")
    with pytest.raises(CannotExport, match="two games"):
        export_game([chunks[0], other])


def test_a_board_that_does_not_follow_from_the_actions_is_named_by_its_tick(chunks: list[TransitionChunk]) -> None:
    armies = chunks[1].armies.copy()
    armies[3, 0] += 1
    with pytest.raises(CannotExport, match="tick 9 of game run/worker/1"):
        export_game([chunks[0], replace(chunks[1], armies=armies), chunks[2]])


def test_a_start_that_the_format_cannot_say_is_refused() -> None:
    recorder = Recorder(draw("A5 . B1"))
    recorder.play(lambda state, player: actions.pass_action(3, 1), {}, ticks=3)
    with pytest.raises(CannotExport, match="more than a general with an army of 1"):
        export_game(recorder.chunks())
