"""Recorded games: the JSON format in which games are exchanged, and their replay.

A recording holds the map, every move as the player queued it, and the surrenders. What came out is computed. Each
player's moves wait in a queue; in a tick the first valid one is taken, and invalid ones before it are dropped. A player
who dies loses the queue.

A recording without an end goes on by the rules: after 2,000 ticks without a move the strongest has won. One with
`ticks` (this project's addition, for games that were cut short) stops there, and nobody has won.
"""

import hashlib
import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from generals_engine import rules
from generals_engine.board import Board
from generals_engine.game_fields import Fields, MalformedGame
from generals_engine.moves import Move, can_take
from generals_engine.rules import GameState, StepEvents
from generals_schemas import tiles

HASH_EVERY = 50
MOUNTAIN_OWNER, OBSTACLE_OWNER = -2, -5
"""Stand for owners where a recording's boards are hashed."""

Json: TypeAlias = Mapping[str, object]
Pair: TypeAlias = tuple[int, int]

__all__ = ["MalformedGame", "RecordedGame", "RecordedMove", "ReplayOutcome", "load", "parse", "replay", "run"]


@dataclass(frozen=True, slots=True)
class RecordedMove:
    """A move, and the tick at whose beginning it joins the player's queue."""

    move: Move
    tick: int


@dataclass(frozen=True, slots=True)
class RecordedGame:
    """A game as it was recorded. Tiles are flat indices; pairs are (tile, army), for surrenders (player, tick).

    generals: `[P]`, None for a player who never joined.
    teams: `[P]` team numbers, None for a free-for-all.
    ticks: where the recording stops although nobody has won, or None.
    """

    name: str
    source: str
    rules_version: int
    width: int
    height: int
    teams: tuple[int, ...] | None
    mountains: tuple[int, ...]
    obstacles: tuple[int, ...]
    swamps: tuple[int, ...]
    deserts: tuple[int, ...]
    cities: tuple[Pair, ...]
    neutral_armies: tuple[Pair, ...]
    generals: tuple[int | None, ...]
    moves: tuple[RecordedMove, ...]
    surrenders: tuple[Pair, ...]
    ticks: int | None = None
    expected: Json | None = None

    @property
    def players(self) -> int:
        return len(self.generals)


@dataclass(frozen=True, slots=True)
class ReplayOutcome:
    """What a recorded game came to. Ticks of events are the clock before `tick += 1`.

    captures: (tick, captor, victim).  deaths: (tick, player).  trades: (tick, first mover, other).
    board_hashes: tick → 16 hex digits, at tick 0, every 50 ticks and at the end.
    """

    winners: tuple[int, ...]
    end_tick: int
    captures: tuple[tuple[int, int, int], ...]
    deaths: tuple[Pair, ...]
    trades: tuple[tuple[int, int, int], ...]
    executed_moves: int
    board_hashes: Mapping[int, str]

    def to_json(self) -> dict[str, object]:
        """The outcome in the form of a recording's `expected`."""
        winner = self.winners[0] if len(self.winners) == 1 else list(self.winners) or None
        return {
            "winner": winner,
            "end_tick": self.end_tick,
            "captures": [list(event) for event in self.captures],
            "deaths": [list(event) for event in self.deaths],
            "trades": [list(event) for event in self.trades],
            "executed_moves": self.executed_moves,
            "board_sha256_16": {str(tick): digest for tick, digest in self.board_hashes.items()},
        }


def load(path: Path) -> RecordedGame:
    """Read a recorded game from a JSON file.

    Raises:
        MalformedGame: names the field, what it holds and what was expected.
        OSError: the file cannot be read.
    """
    try:
        record = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise MalformedGame("file", f"is not JSON ({error})") from error
    return parse(record)


def parse(record: object) -> RecordedGame:
    """A recorded game from its JSON form.

    Raises:
        MalformedGame: names the field, what it holds and what was expected.
    """
    fields = Fields.of(record)
    return RecordedGame(
        name=fields.text("name"),
        source=fields.text("source"),
        rules_version=fields.rules_version(),
        width=fields.width,
        height=fields.height,
        teams=fields.teams(),
        mountains=fields.terrain("mountains"),
        obstacles=fields.terrain("obstacles", optional=True),
        swamps=fields.terrain("swamps", optional=True),
        deserts=fields.terrain("deserts", optional=True),
        cities=fields.armies("cities"),
        neutral_armies=fields.armies("neutral_armies", optional=True),
        generals=fields.generals(),
        moves=tuple(RecordedMove(Move(*move), tick) for move, tick in fields.moves()),
        surrenders=fields.surrenders(),
        ticks=fields.ticks(),
        expected=fields.expected(),
    )


def initial_state(game: RecordedGame) -> GameState:
    """The game before its first tick."""
    board = np.zeros(game.width * game.height, np.uint8)
    armies = np.zeros(board.size, np.int32)
    for kind, places in (
        (tiles.MOUNTAIN, game.mountains),
        (tiles.OBSTACLE, game.obstacles),
        (tiles.SWAMP, game.swamps),
        (tiles.DESERT, game.deserts),
    ):
        board[list(places)] = tiles.tile(kind)
    for tile, army in game.cities:
        board[tile] = _built(board[tile], tiles.CITY)
        armies[tile] = army
    for player, general in enumerate(game.generals):
        if general is not None:
            board[general] = _built(board[general], tiles.GENERAL) | (player + 1)
            armies[general] = 1
    for tile, army in game.neutral_armies:
        armies[tile] = army
    return rules.start(
        board,
        armies,
        width=game.width,
        height=game.height,
        teams=range(game.players) if game.teams is None else game.teams,
        rules_version=game.rules_version,
    )


def _built(terrain: np.uint8, structure: int) -> int:
    """The tile byte of a structure on a tile of open terrain."""
    return tiles.tile(tiles.on_ground(int(terrain) >> tiles.KIND_SHIFT, structure))


def run(game: RecordedGame) -> Iterator[tuple[GameState, StepEvents | None]]:
    """Every state of the game, from the one before tick 0 (with no events) to the last, as they come about."""
    state = initial_state(game)
    yield state, None
    queues: list[deque[Move]] = [deque() for _ in range(game.players)]
    moves = deque(sorted(game.moves, key=lambda recorded: recorded.tick))
    surrenders = deque(sorted(game.surrenders, key=lambda surrender: surrender[1]))
    while not rules.is_over(state):
        if game.ticks is not None and state.tick >= game.ticks:
            return
        due = []
        while surrenders and surrenders[0][1] <= state.tick:
            due.append(surrenders.popleft()[0])
        while moves and moves[0].tick <= state.tick:
            move = moves.popleft().move
            queues[move.player].append(move)
        state, events = rules.advance(state, lambda board: _first_valid(board, queues), due, scheduled=False)
        yield state, events


def _first_valid(board: Board, queues: Sequence[deque[Move]]) -> list[Move]:
    """Take from each queue its first valid move; the invalid ones before it are dropped."""
    taken = []
    for queue in queues:
        while queue:
            move = queue.popleft()
            if can_take(board, move):
                taken.append(move)
                break
    return taken


def replay(game: RecordedGame) -> ReplayOutcome:
    """Play a recorded game to its end and say what came out."""
    captures: list[tuple[int, int, int]] = []
    deaths: list[Pair] = []
    trades: list[tuple[int, int, int]] = []
    hashes: dict[int, str] = {}
    executed = 0
    for state, events in run(game):
        if state.tick % HASH_EVERY == 0 or rules.is_over(state):
            hashes[state.tick] = board_hash(state)
        if events is not None:
            captures += [(event.tick, event.captor, event.victim) for event in events.captures]
            deaths += [(events.tick, player) for player in events.deaths]
            trades += [(events.tick, first, other) for first, other in events.trades]
            executed += len(events.moves)
    hashes.setdefault(state.tick, board_hash(state))
    return ReplayOutcome(
        winners=rules.winners(state),
        end_tick=state.tick,
        captures=tuple(captures),
        deaths=tuple(deaths),
        trades=tuple(trades),
        executed_moves=executed,
        board_hashes=hashes,
    )


def board_hash(state: GameState) -> str:
    """The first 16 hex digits of SHA-256 over all owners as int8 and all armies as little-endian int32."""
    owners = state.owners.copy()
    owners[state.kinds == tiles.MOUNTAIN] = MOUNTAIN_OWNER
    owners[state.kinds == tiles.OBSTACLE] = OBSTACLE_OWNER
    data = owners.astype("i1").tobytes() + state.armies.astype("<i4").tobytes()
    return hashlib.sha256(data).hexdigest()[:16]
