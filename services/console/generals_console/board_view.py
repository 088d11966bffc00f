"""A board as coloured text, for the terminal."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from generals_schemas import tiles as codes

PLAYER_COLOURS = (
    "#4c72ff", "#e8413b", "#2aa745", "#b04cd8", "#18a7b5", "#e28a17",
    "#c2185b", "#6d8b00", "#8d6e63", "#546e7a", "#9c8cff", "#00897b",
)  # fmt: skip
EMPTY, ROCK, NEUTRAL_CITY = "#2b2b2b", "#555555", "#808080"
CELL = 3


def board_text(tiles: NDArray[np.uint8], armies: NDArray[Any], width: int) -> Text:
    """One board: `tiles [HW]` and `armies [HW]`, three characters a tile; ♛ marks generals, ▣ cities."""
    text = Text()
    for index, (tile, army) in enumerate(zip(tiles.tolist(), armies.tolist(), strict=True)):
        text.append(_cell(tile >> codes.KIND_SHIFT, army), style=_style(tile))
        if index % width == width - 1:
            text.append("\n")
    return text


def _cell(kind: int, army: int) -> str:
    if codes.IS_IMPASSABLE[kind]:
        return " ▲ "
    if codes.IS_GENERAL[kind]:
        return f"♛{_short(army, 2)}"
    if codes.IS_CITY[kind]:
        return f"▣{_short(army, 2)}"
    return f"{_short(army, CELL)}" if army else " · "


def _short(army: int, room: int) -> str:
    text = str(army)
    return (
        text.rjust(room) if len(text) <= room else "∞".rjust(room) if army >= 10**6 else f"{army // 1000}k".rjust(room)
    )


def _style(tile: int) -> str:
    owner = (tile & codes.OWNER_MASK) - 1
    kind = tile >> codes.KIND_SHIFT
    if owner >= 0:
        return f"bold white on {PLAYER_COLOURS[owner]}"
    if codes.IS_IMPASSABLE[kind]:
        return f"#999999 on {ROCK}"
    return f"white on {NEUTRAL_CITY}" if codes.IS_STRUCTURE[kind] else f"#666666 on {EMPTY}"
