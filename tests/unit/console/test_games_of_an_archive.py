"""`generals watch` and `export-game` with `--archive`: games whose chunks the log has forgotten."""

import json
from collections import defaultdict
from pathlib import Path

import pytest
from numpy.random import default_rng
from played_games import play_chunks
from simulated_archive import MemoryLog, life, run
from typer.testing import CliRunner, Result

from generals_collector.tensorise import recipe, tensorise
from generals_console.main import app
from generals_engine import recorded
from generals_runtime.errors import OperatorError
from generals_runtime.objects import open_store
from generals_schemas.codec import encode_batch
from generals_schemas.records import Source, TransitionChunk
from generals_schemas.tiles import OWNER_MASK
from generals_writer.build import LogRecord

Games = dict[str, list[TransitionChunk]]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Games]:
    """Three games in an archive, and their chunks."""
    chunks = list(play_chunks("hunter", "random", games=3, seed=6, tick_limit=200))
    values = [
        encode_batch(batch)
        for offset, chunk in enumerate(chunks)
        for batch in tensorise(chunk, Source("generals.transitions", "id", 0, offset, 0, 2), recipe())
    ]
    log = MemoryLog([LogRecord(offset, 1_750_000_000_000, value) for offset, value in enumerate(values)])
    folder = tmp_path_factory.mktemp("archive")
    run(life(open_store(folder), log, default_rng(1), "w"))
    games: Games = defaultdict(list)
    for chunk in chunks:
        games[chunk.game_id].append(chunk)
    return str(folder), games


def command(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def owners(chunks: list[TransitionChunk]) -> list[list[int]]:
    """Of all boards."""
    rows = [row for number, chunk in enumerate(chunks) for row in chunk.tiles[number > 0 :]]
    return [(row & OWNER_MASK).tolist() for row in rows]


def test_a_game_is_exported_as_it_was_played(archive: tuple[str, Games], tmp_path: Path) -> None:
    url, games = archive
    for game_id, chunks in games.items():
        done = command("export-game", game_id, "--archive", url, "--to", str(tmp_path / "game.json"))
        assert done.exit_code == 0, done.exception
        game = recorded.parse(json.loads((tmp_path / "game.json").read_text(encoding="utf-8")))
        states = [state for state, _ in recorded.run(game)]
        assert [(state.tiles & OWNER_MASK).tolist() for state in states] == owners(chunks)


def test_a_game_is_watched_as_text(archive: tuple[str, Games]) -> None:
    url, games = archive
    game_id = next(iter(games))
    done = command("watch", game_id, "--archive", url, "--speed", "200")
    assert done.exit_code == 0, done.exception
    assert game_id in done.stdout


def test_what_an_archive_cannot_tell_is_said(archive: tuple[str, Games]) -> None:
    url, _ = archive
    for arguments, reason in (
        (("export-game", "nobodys-0-0"), f"{url} holds no experience of game nobodys-0-0"),
        (("watch",), "name one by its id"),
    ):
        done = command(*arguments, "--archive", url)
        assert done.exit_code == 1
        assert isinstance(done.exception, OperatorError)
        assert reason in str(done.exception)
