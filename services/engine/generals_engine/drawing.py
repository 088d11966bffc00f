"""Boards as text: a state drawn by hand for a test or a note, and any state drawn so.

Rows are lines and tiles are words. A word is the terrain (`~` swamp, `:` desert, nothing on plain land), then what
stands there, then the army, left out when it is 0 on nobody's tile:

    .    open land         #   mountain        a3   player 0's land with 3       A5   player 0's general with 5
    .7   a neutral army    ^   obstacle        $40  a neutral city with 40       b$9  player 1's city with 9
"""

import re
from collections.abc import Sequence

import numpy as np

from generals_engine.board import NOBODY
from generals_engine.rules import NEWEST_RULES, GameState, start
from generals_schemas import tiles

_WORD = re.compile(r"(?P<terrain>[~:]?)(?P<owner>[a-l]?)(?P<stands>[.#^$A-L]?)(?P<army>-?\d*)")
_PLAIN, _CITY, _GENERAL = range(3)
_KINDS = {
    "": (tiles.PLAIN, tiles.CITY, tiles.GENERAL),
    "~": (tiles.SWAMP, tiles.SWAMP_CITY, tiles.SWAMP_GENERAL),
    ":": (tiles.DESERT, tiles.DESERT_CITY, tiles.DESERT_GENERAL),
}
_WALLS = {"#": tiles.MOUNTAIN, "^": tiles.OBSTACLE}
_SIGNS = {kind: (terrain, stands) for terrain, kinds in _KINDS.items() for stands, kind in enumerate(kinds)}


def draw(text: str, *, teams: Sequence[int] | None = None, rules_version: int = NEWEST_RULES) -> GameState:
    """The state before tick 0 of a drawn board. Without `teams`, all who own something play for themselves.

    Raises:
        ValueError: a word is not understood, or the rows are not equally long.
    """
    rows = [line.split() for line in text.strip().splitlines()]
    if len({len(row) for row in rows}) != 1:
        raise ValueError(f"rows of a board are equally long, not {[len(row) for row in rows]}")
    parsed = [_tile(word) for row in rows for word in row]
    board = np.array([tile for tile, _ in parsed], np.uint8)
    armies = np.array([army for _, army in parsed], np.int32)
    players = int((board & tiles.OWNER_MASK).max())
    return start(
        board,
        armies,
        width=len(rows[0]),
        height=len(rows),
        teams=range(players) if teams is None else teams,
        rules_version=rules_version,
    )


def _tile(word: str) -> tuple[int, int]:
    """Tile byte and army of a word."""
    match = _WORD.fullmatch(word)
    if match is None:
        raise ValueError(f"{word!r} is no tile; see generals_engine.drawing")
    terrain, owner, stands = match["terrain"], match["owner"], match["stands"]
    army = int(match["army"] or 0)
    if stands in _WALLS:
        return tiles.tile(_WALLS[stands]), army
    if stands.isalpha():
        return tiles.tile(_KINDS[terrain][_GENERAL], ord(stands) - ord("A")), army
    structure = _CITY if stands == "$" else _PLAIN
    player = ord(owner) - ord("a") if owner else NOBODY
    return tiles.tile(_KINDS[terrain][structure], player), army


def picture(state: GameState) -> str:
    """The board as text, columns aligned."""
    words = [
        _word(int(kind), int(owner), int(army))
        for kind, owner, army in zip(state.kinds, state.owners, state.armies, strict=True)
    ]
    return _in_columns([words[at : at + state.width] for at in range(0, len(words), state.width)])


def tidy(text: str) -> str:
    """A drawn board as `picture` would draw it, to compare with."""
    rows = [[_tile(word) for word in line.split()] for line in text.strip().splitlines()]
    return _in_columns(
        [[_word(tile >> tiles.KIND_SHIFT, (tile & tiles.OWNER_MASK) - 1, army) for tile, army in row] for row in rows]
    )


def _in_columns(rows: list[list[str]]) -> str:
    width = max(len(word) for row in rows for word in row)
    return "\n".join(" ".join(word.ljust(width) for word in row).rstrip() for row in rows)


def _word(kind: int, owner: int, army: int) -> str:
    for sign, wall in _WALLS.items():
        if kind == wall:
            return sign
    terrain, stands = _SIGNS[kind]
    if stands == _GENERAL:
        return f"{terrain}{chr(ord('A') + owner)}{army}"
    letter = "" if owner == NOBODY else chr(ord("a") + owner)
    sign = "$" if stands == _CITY else ("" if letter else ".")
    return f"{terrain}{letter}{sign}{army if letter or army or sign == '$' else ''}"
