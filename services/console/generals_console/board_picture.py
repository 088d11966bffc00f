"""A board as a picture, for reports and `generals inspect`."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from generals_console.board_view import PLAYER_COLOURS
from generals_schemas import tiles as codes
from generals_schemas.records import TransitionChunk


def draw_board(axes: Axes, tiles: NDArray[np.uint8], armies: NDArray[Any], width: int) -> None:
    """One board: `tiles [HW]` and `armies [HW]`; ♛ marks generals, ▣ cities."""
    axes.set_axis_off()
    axes.imshow(np.array([_rgb(tile) for tile in tiles.tolist()]).reshape(-1, width, 3))
    for index, army in enumerate(armies.tolist()):
        kind = int(tiles[index]) >> codes.KIND_SHIFT
        mark = "♛" if codes.IS_GENERAL[kind] else "▣" if codes.IS_CITY[kind] else ""
        if army or mark:
            axes.text(
                index % width, index // width, f"{mark}{army}", ha="center", va="center", color="white",
                fontsize=max(4.0, 90 / width),
            )  # fmt: skip


def draw_chunk(chunk: TransitionChunk, index: int, target: Path) -> None:
    """Board `index` of a chunk, 0 … ticks, into a file."""
    figure = Figure(figsize=(6.4, 6.4 * chunk.height / chunk.width + 0.4), layout="constrained")
    axes = figure.subplots()
    draw_board(axes, chunk.tiles[index], chunk.armies[index], chunk.width)
    names = " against ".join(policy.name for policy in chunk.policies)
    axes.set_title(f"{chunk.game_id}, {names}, tick {chunk.first_tick + index}", fontsize=9)
    figure.savefig(target, dpi=110)


def _rgb(tile: int) -> tuple[float, float, float]:
    owner = (tile & codes.OWNER_MASK) - 1
    kind = tile >> codes.KIND_SHIFT
    colour = "#dddddd"
    if owner >= 0:
        colour = PLAYER_COLOURS[owner]
    elif codes.IS_IMPASSABLE[kind]:
        colour = "#777777"
    elif codes.IS_STRUCTURE[kind]:
        colour = "#a8a29e"
    red, green, blue = mpl.colors.to_rgb(colour)
    return red, green, blue
