"""Replays recorded games from files and prints what came out: the work behind `generals rules replay`."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from generals_engine.game_fields import MalformedGame
from generals_engine.gior import load_gior
from generals_engine.recorded import RecordedGame, load, replay


def replay_files(paths: list[Path], as_json: bool) -> int:
    """Replay each file (the JSON format, or the site's `.gior`) and print the outcome, one line a file.

    A file that cannot be read or played is named on stderr, and the others go on.

    Returns:
        The exit code: 1 if a file was malformed, else 0.
    """
    failed = False
    for path in paths:
        try:
            game = load_game(path)
            outcome = replay(game).to_json()
        except (MalformedGame, OSError) as error:
            failed = True
            sys.stderr.write(f"{path}: {error}\n")
            continue
        line = json.dumps({"file": str(path), **outcome}) if as_json else _sentence(path, game, outcome)
        sys.stdout.write(f"{line}\n")
    return 1 if failed else 0


def load_game(path: Path) -> RecordedGame:
    """Read a recorded game in either format; `.gior` files are known by their names.

    Raises:
        MalformedGame: names the field that is wrong.
        OSError: the file cannot be read.
    """
    return load_gior(path) if path.suffix == ".gior" else load(path)


def _sentence(path: Path, game: RecordedGame, outcome: Mapping[str, object]) -> str:
    parts = [
        f"{path}: {_result(outcome['winner'])} at tick {outcome['end_tick']}",
        f"{outcome['executed_moves']} moves",
        f"captures {outcome['captures']}",
    ]
    if game.expected is not None:
        parts.append(_comparison(game.expected, outcome))
    return ", ".join(parts)


def _result(winner: object) -> str:
    if winner is None:
        return "nobody had won"
    if isinstance(winner, list):
        return f"players {', '.join(map(str, winner))} won"
    return f"player {winner} won"


def _comparison(expected: Mapping[str, object], outcome: Mapping[str, object]) -> str:
    differing = [field for field, value in expected.items() if outcome.get(field) != value]
    return f"differs from what was expected in {', '.join(differing)}" if differing else "as expected"
