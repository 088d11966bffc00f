"""What people look at on a broker: records as they come, one of them, a game, dead letters that are sent again."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Message
from played_games import play_chunks
from typer.testing import CliRunner, Result

from generals_collector.conversion import MAX_DEAD_LETTER_BYTES, Converted, Converter, RawRecord
from generals_collector.tensorise import recipe
from generals_console.film import chunks_of_game, film_of_game
from generals_console.inspection import step_facts
from generals_console.main import app
from generals_console.ranges import read_ranges, whole_log
from generals_engine import recorded
from generals_engine.rules import GameState
from generals_runtime.errors import OperatorError
from generals_runtime.kafka import make_consumer, make_producer
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import decode_batch, encode_chunk
from generals_schemas.records import TransitionChunk

GAMES = 3
AT_MS = 1_750_000_000_000

pytestmark = pytest.mark.partitions(1)


class Deployment:
    """Topics with a few games in them, and the command that looks at them."""

    def __init__(self, kafka: KafkaSettings, topics: Any) -> None:
        self.kafka = kafka.model_copy(update={"topic_prefix": topics.prefix})
        self.topics = topics
        self.chunks = list(play_chunks("expander", "random", games=GAMES, seed=5, tick_limit=120))
        self.games: dict[str, list[TransitionChunk]] = defaultdict(list)
        for chunk in self.chunks:
            self.games[chunk.game_id].append(chunk)

    @property
    def last_finished(self) -> str:
        return [chunk.game_id for chunk in self.chunks if chunk.final][-1]

    def write(self, topic: str, values: Iterable[bytes | None], **more: Any) -> None:
        producer = make_producer(self.kafka, overrides={"message.max.bytes": 2_000_000})
        for value in values:
            producer.produce(topic, value, timestamp=AT_MS, **more)
        assert producer.flush(20) == 0

    def play(self) -> None:
        """The games, a record a chunk."""
        self.write(self.topics.transitions, map(encode_chunk, self.chunks))

    def collected(self, offset: int, value: bytes, key: bytes | None = None) -> Converted:
        """What a collector makes of a record."""
        return Converter(recipe(), "id")(RawRecord(self.topics.transitions, 0, offset, AT_MS, key, value))

    def collect(self) -> list[bytes]:
        """The experiences of the games; their records."""
        made = [self.collected(offset, encode_chunk(chunk)) for offset, chunk in enumerate(self.chunks)]
        values = [value for one in made for value in one.values]
        self.write(self.topics.experiences, values)
        return values

    def bury(self, value: bytes) -> None:
        """The dead letter of a record that is no chunk."""
        letter = self.collected(9, value, b"game-9").dead_letter
        self.write(self.topics.dead_letter, [letter.value], key=letter.key, headers=list(letter.headers))

    def read(self, topic: str) -> list[Message]:
        consumer = make_consumer(self.kafka, group_id="test")
        try:
            return list(read_ranges(consumer, topic, whole_log(consumer, topic)))
        finally:
            consumer.close()

    def run(self, *arguments: object) -> Result:
        kafka = {"BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers, "TOPIC_PREFIX": self.kafka.topic_prefix}
        settings = {f"GENERALS_KAFKA__{name}": value for name, value in kafka.items()}
        return CliRunner().invoke(app, [*map(str, arguments)], env=settings)

    def generals(self, *arguments: object) -> str:
        done = self.run(*arguments)
        assert done.exit_code == 0, f"{done.output} {done.exception}"
        return done.stdout

    def refused(self, *arguments: object) -> str:
        done = self.run(*arguments)
        assert isinstance(done.exception, OperatorError), done.output
        return str(done.exception)


@pytest.fixture
def deployment(kafka_settings: KafkaSettings, topics_for_test: Any) -> Deployment:
    return Deployment(kafka_settings, topics_for_test)


def boards(chunks: list[TransitionChunk]) -> list[tuple[list[int], list[int], int]]:
    """Tiles, armies and who lives, from the first board to the last."""
    first, *_ = chunks
    found = [(first.tiles[0].tolist(), first.armies[0].tolist(), int(first.alive[0]))]
    for chunk in chunks:
        rows = zip(chunk.tiles[1:].tolist(), chunk.armies[1:].tolist(), chunk.alive[1:].tolist(), strict=True)
        found += rows
    return found


def test_tail_tells_what_comes_and_goes_on_where_its_group_was(deployment: Deployment) -> None:
    deployment.play()
    deployment.write(deployment.topics.transitions, [b"no chunk"])
    count = len(deployment.chunks)
    tail = ("tail", "transitions", "--group", f"{deployment.topics.prefix}looks", "--start", "earliest", "--json")
    first = deployment.generals(*tail, "--limit", 3).splitlines()
    rest = deployment.generals(*tail, "--limit", count - 2).splitlines()
    *told, last = map(json.loads, (*first, *rest))
    assert [row["offset"] for row in told] == list(range(count))
    assert [(row["game_id"], row["chunk"]) for row in told] == [(c.game_id, c.chunk) for c in deployment.chunks]
    assert told[0]["ticks"] == [0, 15]
    assert told[0]["policies"] == ["expander@0", "random@0"]
    assert [row["outcome"] is None for row in told] == [not chunk.final for chunk in deployment.chunks]
    assert (last["offset"], last["bytes"]) == (count, 8)
    assert "error" in last
    assert deployment.refused("tail", "nowhere") == "topic nowhere does not exist; `generals topics create` makes it"


def test_a_chunk_is_inspected_with_its_board(deployment: Deployment, tmp_path: Path) -> None:
    deployment.play()
    told = json.loads(deployment.generals("inspect", "transitions", 0, 1, "--json"))
    chunk = deployment.chunks[1]
    assert (told["game_id"], told["chunk"], told["timestamp_ms"]) == (chunk.game_id, chunk.chunk, AT_MS)
    picture, last = tmp_path / "board.png", chunk.ticks
    shown = deployment.generals("inspect", "transitions", 0, 1, "--step", last, "--png", picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    *_, lowest = shown.rstrip().splitlines()
    armies = chunk.armies[chunk.ticks].reshape(chunk.height, chunk.width)[-1]
    assert [int(word) for word in lowest.replace("♛", " ").replace("▣", " ").split() if word.isdecimal()] == [
        army for army in armies.tolist() if army
    ]


def test_an_experience_is_inspected_with_its_planes(deployment: Deployment, tmp_path: Path) -> None:
    values = deployment.collect()
    picture = tmp_path / "planes.png"
    told = json.loads(deployment.generals("inspect", "experiences", 0, 3, "--step", 5, "--png", picture, "--json"))
    batch = decode_batch(values[3])
    assert (told["game_id"], told["player"], told["bytes"]) == (batch.game_id, batch.player, len(values[3]))
    facts = step_facts(batch, 5)
    assert {name: told[name] for name in facts} == facts
    assert facts["legal"]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_record_that_is_not_there_is_named_with_what_is(deployment: Deployment) -> None:
    values, topic = deployment.collect(), deployment.topics.experiences
    end = len(values)
    assert deployment.refused("inspect", "experiences", 1, 0) == f"{topic} has no partition 1; it has 1"
    assert deployment.refused("inspect", "experiences", 0, end) == f"{topic}[0] holds offsets 0 … {end - 1}, not {end}"
    assert deployment.refused("inspect", "experiences", 0, 0, "--step", 99) == "the record has steps 0 … 15, not 99"
    deployment.play()
    deployment.write(deployment.topics.games, [b"no summary"])
    assert deployment.refused("inspect", "transitions", 0, 0, "--step", 99) == "the chunk has boards 0 … 16, not 99"
    refusal = deployment.refused("inspect", "games", 0, 0, "--png", "game.png")
    assert refusal == "this record has nothing to draw: pictures are made of chunks and of experiences"


def test_a_game_is_watched_as_it_was_played(deployment: Deployment) -> None:
    deployment.play()
    game = deployment.last_finished
    film = film_of_game(chunks_of_game(deployment.kafka, None))
    assert (film.title, film.names) == (game, ("expander", "random"))
    shown = zip(film.tiles.tolist(), film.armies.tolist(), film.alive.tolist(), strict=True)
    assert list(shown) == boards(deployment.games[game])
    other = next(name for name in deployment.games if name != game)
    for arguments, name in (((), game), ((other,), other)):
        last = len(boards(deployment.games[name])) - 1
        assert f"{name}  tick {last}  200/s" in deployment.generals("watch", *arguments, "--speed", 200)
    assert deployment.refused("watch", "--player", 2) == "there is no player 2: the game has players 0 … 1"


def test_an_exported_game_is_replayed_by_the_rules_to_the_same_boards(deployment: Deployment, tmp_path: Path) -> None:
    deployment.play()
    for game, chunks in deployment.games.items():
        file = tmp_path / f"{game}.json"
        deployment.generals("export-game", game, "--to", file)
        states: list[GameState] = [state for state, _ in recorded.run(recorded.load(file))]
        assert [(s.tiles.tolist(), s.armies.tolist(), s.alive_bits) for s in states] == boards(chunks)
        assert json.loads(deployment.generals("export-game", game)) == json.loads(file.read_text())
        expected = json.loads(file.read_text())["expected"]
        assert json.loads(deployment.generals("rules", "replay", file, "--json")) == {"file": str(file), **expected}


def test_a_game_that_is_not_wholly_there_is_not_exported(deployment: Deployment) -> None:
    topic = deployment.topics.transitions
    assert deployment.refused("export-game", "nobody's") == f"{topic} holds no chunk of game nobody's"
    assert deployment.refused("watch") == f"{topic} holds no chunk of a finished game"
    late, torn, *_ = deployment.games
    deployment.write(topic, map(encode_chunk, deployment.games[late][1:]))
    assert deployment.refused("export-game", late).startswith(f"chunk 0 of game {late} is missing: ")
    first, *_, last = deployment.games[torn]
    deployment.write(topic, map(encode_chunk, (first, last)))
    assert deployment.refused("export-game", torn) == f"{topic} no longer holds all chunks of game {torn}"


def test_dead_letters_are_listed_shown_and_sent_again(deployment: Deployment) -> None:
    assert deployment.generals("dead-letter", "list") == "none\n"
    values = [b"no chunk", encode_chunk(deployment.chunks[0])[:-9]]
    for value in values:
        deployment.bury(value)
    rows = json.loads(deployment.generals("dead-letter", "list", "--json"))
    assert [(row["offset"], row["bytes"]) for row in rows] == [(n, len(value)) for n, value in enumerate(values)]
    assert all(row["reason"] and row["detail"] for row in rows)
    assert {(row["source_topic"], row["source_offset"]) for row in rows} == {(deployment.topics.transitions, "9")}
    assert "source_topic" in deployment.generals("dead-letter", "list").splitlines()[0].replace(" ", "_")
    shown = deployment.run("dead-letter", "show", 1)
    assert shown.stdout_bytes == values[1]
    assert f"reason: {rows[1]['reason']}" in shown.stderr
    assert deployment.generals("dead-letter", "resend", 1) == f"sent to {deployment.topics.transitions}\n"
    [again] = deployment.read(deployment.topics.transitions)
    assert (again.key(), again.value(), again.headers()) == (b"game-9", values[1], None)
    assert len(deployment.read(deployment.topics.dead_letter)) == 2
    assert deployment.refused("dead-letter", "resend", 2).startswith("no dead letter at partition 0, offset 2; ")


def test_a_large_dead_letter_is_sent_to_a_topic_that_takes_it(
    deployment: Deployment, make_topic: Callable[..., str], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    for size in (1_040_000, MAX_DEAD_LETTER_BYTES - 6, MAX_DEAD_LETTER_BYTES + 1):
        deployment.bury(rng.bytes(size))
    roomy = make_topic(1, {"max.message.bytes": "2097152"})
    deployment.generals("dead-letter", "resend", 0)
    deployment.generals("dead-letter", "resend", 1, "--to", roomy)
    letters = [letter.value() for letter in deployment.read(deployment.topics.dead_letter)]
    assert [record.value() for record in deployment.read(deployment.topics.transitions)] == letters[:1]
    assert [record.value() for record in deployment.read(roomy)] == letters[1:2]
    said = deployment.refused("dead-letter", "resend", 1)
    assert f"for {deployment.topics.transitions} [0]" in said
    assert "Message size too large" in said
    where = f"{deployment.topics.transitions}[0] at 9"
    assert deployment.refused("dead-letter", "resend", 2) == (
        f"its {MAX_DEAD_LETTER_BYTES + 7} bytes were too many for a dead letter: see {where}"
    )
