"""Imports the site's own recordings, `.gior` files: an LZString-compressed JSON array, its fields known by position.

Each version of the site appended fields and moved none, so that one table serves versions 5 to 18. Names, ratings, chat
and pings are left out. Lookouts and observatories are obstacles: nothing can enter them. A game with modifiers, tunnels
or strongholds follows other rules, and is refused by name. The speed of the game is ignored: recorded surrenders carry
their ticks, and no other rule but the stalemate's patience depends on it.
"""

import json
from pathlib import Path

from generals_engine.game_fields import MalformedGame
from generals_engine.lzstring import BadCompression, decompress
from generals_engine.recorded import RecordedGame, parse

POSITIONS = {
    "version": 0,
    "id": 1,
    "mapWidth": 2,
    "mapHeight": 3,
    "cities": 6,
    "cityArmies": 7,
    "generals": 8,
    "mountains": 9,
    "moves": 10,
    "afks": 11,
    "teams": 12,
    "neutrals": 14,
    "neutralArmies": 15,
    "swamps": 16,
    "modifiers": 21,
    "observatories": 22,
    "lookouts": 23,
    "deserts": 24,
    "tunnels": 28,
    "strongholds": 34,
}
OTHER_RULES = ("tunnels", "strongholds")


def load_gior(path: Path) -> RecordedGame:
    """Read a recorded game from a `.gior` file.

    Raises:
        MalformedGame: the file is no `.gior`, or names the field that cannot be played.
        OSError: the file cannot be read.
    """
    return parse_gior(path.read_bytes())


def parse_gior(data: bytes) -> RecordedGame:
    """A recorded game from the bytes of a `.gior` file.

    Raises:
        MalformedGame: the bytes are no `.gior`, or names the field that cannot be played.
    """
    try:
        values = json.loads(decompress(data))
    except BadCompression as error:
        raise MalformedGame("file", f"is no .gior: the LZString {error}") from error
    except (ValueError, RecursionError) as error:
        raise MalformedGame("file", f"is no .gior: it holds no JSON ({error})") from error
    if not isinstance(values, list):
        raise MalformedGame("file", "is no .gior: an array was expected")
    return parse(_to_record(values))


def _to_record(values: list[object]) -> dict[str, object]:
    """The site's fields under this project's names; their values are checked where these are read."""
    fields = {name: values[at] if at < len(values) else None for name, at in POSITIONS.items()}
    for name in OTHER_RULES:
        if fields[name]:
            raise MalformedGame(name, "are on the board; only games without modifiers can be played")
    generals = fields["generals"]
    return {
        "name": fields["id"],
        "source": "generals.io",
        "rules_version": fields["version"],
        "width": fields["mapWidth"],
        "height": fields["mapHeight"],
        "players": len(generals) if isinstance(generals, list) else generals,
        "teams": fields["teams"],
        "modifiers": fields["modifiers"],
        "mountains": fields["mountains"] or [],
        "obstacles": [*_list(fields, "observatories"), *_list(fields, "lookouts")],
        "swamps": fields["swamps"],
        "deserts": fields["deserts"],
        "cities": _pairs(fields, "cities", "cityArmies"),
        "neutral_armies": _pairs(fields, "neutrals", "neutralArmies"),
        "generals": generals,
        "moves": fields["moves"],
        "surrenders": fields["afks"],
    }


def _list(fields: dict[str, object], name: str) -> list[object]:
    value = fields[name] or []
    if not isinstance(value, list):
        raise MalformedGame(name, "is no list")
    return value


def _pairs(fields: dict[str, object], tiles: str, armies: str) -> list[object]:
    places, sizes = _list(fields, tiles), _list(fields, armies)
    if len(places) != len(sizes):
        raise MalformedGame(armies, f"has {len(sizes)} entries for {len(places)} {tiles}")
    return [list(pair) for pair in zip(places, sizes, strict=True)]
