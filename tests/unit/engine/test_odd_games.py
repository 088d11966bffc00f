"""Games that nobody recorded: the engine's own of every version, odd boards, and files with one field spoiled."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.random import Generator, default_rng

from generals_engine.export import export_game
from generals_engine.games import GamePool
from generals_engine.play_settings import PlaySettings
from generals_engine.policies import find_policy
from generals_engine.recorded import load, parse, replay
from generals_engine.replay_cli import replay_files
from generals_engine.rules import NEWEST_RULES, OLDEST_RULES
from generals_schemas.codec import decode_chunk, encode_chunk

JUNK = [None, True, -1, 1, 2.5, "x", [], {}, [[]], [None], [[1, 2]], [[0, 0, 0, 0, 0]], 10**30, 64]
SIDES = [(1, 24), (40, 1), (2, 3), (5, 5), (64, 2), (64, 64)]


@pytest.mark.parametrize("version", range(OLDEST_RULES, NEWEST_RULES + 1))
def test_a_game_of_the_engine_replays_from_its_file_to_the_same_result(
    version: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    players, teams = [(2, None), (12, None), (4, (0, 1, 1, 0)), (3, None)][version % 4]
    play = PlaySettings(
        run="odd",
        policies=tuple(find_policy(name) for name in ("strategist", "random", "expander")),
        players=players,
        teams=teams,
        width=64 if players == 12 else 15,
        height=18,
        rules_version=version,
        tick_limit=250,
        games=1,
        max_games=1,
        seed=version,
    )
    pool = GamePool(play, lambda: 0)
    records = [encode_chunk(one.chunk) for _ in range(5) for one in pool.advance() if one.chunk is not None]
    chunks = [decode_chunk(record) for record in records]
    path = tmp_path / "game.json"
    path.write_text(json.dumps(export_game(chunks)))

    assert replay_files([path], as_json=True) == 0
    said = json.loads(capsys.readouterr().out)
    end = chunks[-1].outcome
    assert end is not None
    assert said["end_tick"] == sum(chunk.ticks for chunk in chunks)
    assert said["winner"] == (end.winners[0] if len(end.winners) == 1 else list(end.winners) or None)
    assert {"file": str(path), **replay(load(path)).to_json()} == said


def odd_game(rng: Generator) -> dict[str, Any]:
    """Any board, any version, players who never joined, moves from anywhere to anywhere, surrenders at any time."""
    width, height = SIDES[rng.integers(len(SIDES))]
    area = width * height
    players = int(rng.integers(2, min(12, area // 3) + 1))
    places = rng.permutation(area).tolist()
    moves = np.stack(
        [rng.integers(most, size=300) for most in (players, area, area, 2, 150)], axis=1
    )  # player, from, to, split, tick
    moves[::2, 2] = np.clip(moves[::2, 1] + rng.choice([-width, -1, 1, width], 150), 0, area - 1)
    return {
        "rules_version": int(rng.integers(OLDEST_RULES, NEWEST_RULES + 1)),
        "width": width,
        "height": height,
        "players": players,
        "teams": rng.integers(0, 3, players).tolist() if rng.random() < 0.5 else None,
        "modifiers": [],
        "generals": [place if rng.random() < 0.9 else None for place in places[:players]],
        "mountains": places[players : players + area // 8],
        "cities": [[place, int(rng.integers(-2, 50))] for place in places[players + area // 8 :][: area // 12]],
        "moves": moves.tolist(),
        "surrenders": rng.integers(0, [players, 200], (4, 2)).tolist(),
        "ticks": 200,
    }


def test_odd_games_are_played_to_where_they_stop(seed: int) -> None:
    rng = default_rng(seed)
    for _ in range(30):
        outcome = replay(parse(odd_game(rng)))
        assert outcome.end_tick == 200 or len(outcome.winners) > 0 or outcome.end_tick == 0


def test_a_file_with_a_spoiled_field_is_played_or_refused_in_one_line(
    seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng, path, refused = default_rng(seed), tmp_path / "game.json", 0
    for _ in range(80):
        game = odd_game(rng)
        field = rng.choice(list(game))
        value, junk = game[field], JUNK[rng.integers(len(JUNK))]
        if isinstance(value, list) and value and rng.random() < 0.7:
            value[rng.integers(len(value))] = junk
        elif field != "ticks":  # without an end it goes on to the stalemate, which takes long here
            game[field] = junk
        path.write_text(json.dumps(game))
        code = replay_files([path], as_json=True)
        printed = capsys.readouterr()
        refused += code
        assert len(printed.out.splitlines()) == 1 - code
        assert len(printed.err.splitlines()) == code
        assert str(path) in (printed.err or printed.out)
    assert refused > 20
