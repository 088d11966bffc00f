"""A game as a row of boards, whatever it comes from: a recorded game's file, the transitions topic, or an archive."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generals_console.ranges import TELL_THE_END, read_ranges, whole_log
from generals_engine import recorded
from generals_engine.fog import around
from generals_engine.from_experiences import CannotRebuild, rebuild_game
from generals_engine.replay_cli import load_game
from generals_runtime.errors import OperatorError
from generals_runtime.kafka import make_consumer
from generals_runtime.objects import ObjectStore
from generals_runtime.settings import KafkaSettings
from generals_schemas import tiles as codes
from generals_schemas.codec import decode_chunk
from generals_schemas.errors import BadRecord
from generals_schemas.records import ExperienceBatch, TransitionChunk
from generals_writer.reading import Wanted, read_entries

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Film:
    """F boards of one game, one a tick. tiles: `[F, HW]` u1.  armies: `[F, HW]`.  alive: `[F]` bits."""

    title: str
    width: int
    height: int
    first_tick: int
    names: tuple[str, ...]
    teams: tuple[int, ...]
    tiles: NDArray[np.uint8]
    armies: NDArray[Any]
    alive: NDArray[np.uint16]

    def __len__(self) -> int:
        return len(self.tiles)

    def visible(self, index: int, player: int) -> NDArray[np.bool_]:
        """`[HW]`: what a player's team sees of board `index`."""
        team = [number for number, other in enumerate(self.teams) if other == self.teams[player]]
        owner = (self.tiles[index] & codes.OWNER_MASK).astype(np.int64) - 1
        return around(np.isin(owner, team), self.width, self.height)


def film_of_file(path: Path) -> Film:
    """A recorded game, JSON or .gior.

    Raises:
        OperatorError: the file is malformed.
    """
    try:
        game = load_game(path)
    except (OSError, ValueError) as error:
        raise OperatorError(f"{path}: {error}") from error
    states = [state for state, _ in recorded.run(game)]
    return Film(
        title=path.stem,
        width=game.width,
        height=game.height,
        first_tick=0,
        names=tuple(f"player {number}" for number in range(game.players)),
        teams=tuple(states[0].teams),
        tiles=np.stack([state.tiles for state in states]),
        armies=np.stack([state.armies for state in states]),
        alive=np.array([state.alive_bits for state in states], np.uint16),
    )


def film_of_game(chunks: list[TransitionChunk]) -> Film:
    """The chunks of one game, in order and without gaps."""
    first = chunks[0]
    return Film(
        title=first.game_id,
        width=first.width,
        height=first.height,
        first_tick=first.first_tick,
        names=tuple(policy.name for policy in first.policies),
        teams=first.teams,
        tiles=_joined([chunk.tiles for chunk in chunks]),
        armies=_joined([chunk.armies.astype(np.uint32) for chunk in chunks]),
        alive=_joined([chunk.alive for chunk in chunks]),
    )


def chunks_of_game(
    source: KafkaSettings | ObjectStore, game_id: str | None, progress: Progress = lambda _: None
) -> list[TransitionChunk]:
    """A game's chunks, in order: from the transitions topic, with no id those of the last finished game; or one chunk
    of the whole game out of an archive's experiences.

    Raises:
        OperatorError: no such game, or not all of it is there any more.
    """
    if isinstance(source, KafkaSettings):
        return _chunks_of_log(source, game_id, progress)
    if game_id is None:
        raise OperatorError("an archive does not tell which game was the last: name one by its id")
    return [_chunk_of_archive(source, game_id, progress)]


def _chunks_of_log(kafka: KafkaSettings, game_id: str | None, progress: Progress) -> list[TransitionChunk]:
    topic = kafka.topics().transitions.name
    consumer = make_consumer(kafka, group_id="generals-watch", overrides=TELL_THE_END)
    games: dict[str, list[TransitionChunk]] = {}
    finished = game_id
    try:
        for count, message in enumerate(read_ranges(consumer, topic, whole_log(consumer, topic)), start=1):
            progress(f"{topic}: {count:,} records")
            try:
                chunk = decode_chunk(message.value() or b"")
            except BadRecord:  # it is in the dead-letter topic; here it belongs to no game
                continue
            if game_id is None or chunk.game_id == game_id:
                games.setdefault(chunk.game_id, []).append(chunk)
                if chunk.final and game_id is None:
                    games.pop(finished or "", None)
                    finished = chunk.game_id
    finally:
        consumer.close()
    chunks = sorted(games.get(finished or "", []), key=lambda chunk: chunk.chunk)
    if not chunks:
        raise OperatorError(f"{topic} holds no chunk of {f'game {game_id}' if game_id else 'a finished game'}")
    if any(after.chunk != before.chunk + 1 for before, after in pairwise(chunks)):
        raise OperatorError(f"{topic} no longer holds all chunks of game {finished}")
    return chunks


def _chunk_of_archive(store: ObjectStore, game_id: str, progress: Progress) -> TransitionChunk:
    progress(f"reading {store.url}")
    wanted = Wanted.of(game_ids=[game_id])
    batches: dict[str, list[ExperienceBatch]] = {}
    for log, entry in read_entries(store, wanted=wanted, order="stored"):
        batches.setdefault(log.topic, []).append(entry.batch)
    if not batches:
        raise OperatorError(f"{store.url} holds no experience of game {game_id}")
    progress("playing it again")
    try:
        return rebuild_game(next(iter(batches.values())))  # in several topics, made anew, it is the same game
    except CannotRebuild as error:
        raise OperatorError(f"{store.url}: {error}") from error


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """Boards of chunks that follow one another: the first board of each is the last of the one before."""
    return np.concatenate([parts[0], *(part[1:] for part in parts[1:])])
