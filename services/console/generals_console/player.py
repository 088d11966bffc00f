"""Plays a film in the terminal. Keys: space pauses, → or . steps, ← or , steps back, + and - change the speed,
0-9 take a player's view, a shows all, q ends."""

import os
import re
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from generals_console.board_view import PLAYER_COLOURS, board_text
from generals_console.film import Film
from generals_schemas import tiles as codes

FASTEST, SLOWEST = 200.0, 0.5
ARROWS = {"\x1b[C": ".", "\x1b[D": ","}
KEY = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|.", re.DOTALL)
AT_ONCE = 1024
FOG = codes.tile(codes.MOUNTAIN)
"""What fog is drawn as: a mountain-like tile of nobody."""


class Player:
    """What is shown: which board, whose view, how fast."""

    def __init__(self, film: Film, *, speed: float, player: int | None) -> None:
        self.film, self.speed, self.view = film, speed, player
        self.index = 0
        self.paused = False
        self.ended = False

    def press(self, key: str) -> None:
        """Do what a key says; other keys do nothing."""
        if key == "q":
            self.ended = True
        elif key == " ":
            self.paused = not self.paused
        elif key in ".,":
            self.paused = True
            self.move(1 if key == "." else -1)
        elif key in "+-":
            self.speed = min(FASTEST, max(SLOWEST, self.speed * (1.5 if key == "+" else 1 / 1.5)))
        elif key == "a":
            self.view = None
        elif key.isdecimal() and int(key) < len(self.film.teams):
            self.view = int(key)

    def move(self, boards: int) -> None:
        """Go some boards on or back, within the film."""
        self.index = min(len(self.film) - 1, max(0, self.index + boards))

    def picture(self) -> Group:
        """The board with its title and the scores."""
        film, index = self.film, self.index
        tiles, armies = film.tiles[index], film.armies[index]
        if self.view is not None:
            seen = film.visible(index, self.view)
            tiles = np.where(seen, tiles, FOG).astype(np.uint8)
            armies = np.where(seen, armies, 0)
        title = Text(f"{film.title}  tick {film.first_tick + index}  {self.speed:.0f}/s", style="bold")
        title.append("  paused" if self.paused else "")
        title.append(f"  as {film.names[self.view]}" if self.view is not None else "")
        return Group(title, board_text(tiles, armies, film.width), self._scores())

    def _scores(self) -> Text:
        owners = (self.film.tiles[self.index] & codes.OWNER_MASK).astype(int) - 1
        text = Text()
        for number, name in enumerate(self.film.names):
            mine = owners == number
            alive = (int(self.film.alive[self.index]) >> number) & 1
            style = f"{'bold' if alive else 'strike'} white on {PLAYER_COLOURS[number]}"
            text.append(f" {number} {name} ", style=style)
            text.append(f" army {int(self.film.armies[self.index][mine].sum()):,} land {int(mine.sum()):,}\n")
        return text


def play(film: Film, console: Console, *, speed: float = 8.0, player: int | None = None) -> None:
    """Show the film until it ends or `q`. Where there is no keyboard it plays through."""
    state = Player(film, speed=speed, player=player)
    with _keys() as pressed, Live(state.picture(), console=console, auto_refresh=False) as live:
        while not state.ended:
            for key in pressed(1.0 / state.speed):
                state.press(key)
            if not state.paused:
                state.ended |= state.index >= len(film) - 1
                state.move(1)
            live.update(state.picture(), refresh=True)


@contextmanager
def _keys() -> Iterator["_Keys"]:
    """The keyboard, one key at a time without Enter."""
    if not sys.stdin.isatty():
        yield _Keys(None)
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield _Keys(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


class _Keys:
    """Call it with seconds to wait; it returns the keys pressed meanwhile, as soon as there are some."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def __call__(self, wait_s: float) -> list[str]:
        if self._descriptor is None:
            time.sleep(wait_s)
            return []
        ready, _, _ = select.select([self._descriptor], [], [], wait_s)
        if not ready:
            return []
        # Not by sys.stdin: what that has read ahead, select does not see.
        sent = os.read(self._descriptor, AT_ONCE)
        if not sent:  # the terminal is gone, and would be ready for ever
            self._descriptor = None
        return keys_of(sent.decode(errors="replace"))


def keys_of(sent: str) -> list[str]:
    """What was pressed, from what a terminal sent at once: a key is a character, or a whole sequence behind Esc."""
    return [ARROWS.get(key, key) for key in KEY.findall(sent)]
