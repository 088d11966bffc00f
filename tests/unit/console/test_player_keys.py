"""Keys while a film plays: each at once, whatever was pressed with it, and Esc alone holds up nothing."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from generals_console.film import film_of_file
from generals_console.player import Player, _Keys

FILM = Path(__file__).parents[2] / "data" / "replays" / "synthetic-ring-01.json"
LONG_S = 30.0
"""Nobody waits so long: the test's own time limit would end it."""


@pytest.fixture
def terminal() -> Iterator[tuple[int, _Keys]]:
    """Where keys are typed, and what reads them."""
    reading, typing = os.pipe()
    yield typing, _Keys(reading)
    os.close(reading)
    os.close(typing)


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        (b"+", ["+"]),
        (b"++", ["+", "+"]),
        (b"\x1b[C\x1b[D", [".", ","]),
        (b" \x1b[Cq", [" ", ".", "q"]),
        (b"\x1b[5~2", ["\x1b[5~", "2"]),
    ],
)
def test_all_that_was_pressed_comes_at_once(sent: bytes, keys: list[str], terminal: tuple[int, _Keys]) -> None:
    typing, pressed = terminal
    os.write(typing, sent)
    assert pressed(LONG_S) == keys
    assert pressed(0.0) == []


def test_escape_alone_does_not_wait_for_more(terminal: tuple[int, _Keys]) -> None:
    typing, pressed = terminal
    os.write(typing, b"\x1b")
    assert pressed(LONG_S) == ["\x1b"]
    os.write(typing, b"q")
    assert pressed(LONG_S) == ["q"]


def test_a_terminal_that_is_gone_leaves_the_pace_as_it_was() -> None:
    reading, typing = os.pipe()
    os.close(typing)
    pressed = _Keys(reading)
    assert pressed(LONG_S) == []
    os.close(reading)
    assert pressed(0.01) == []


@pytest.mark.parametrize(("key", "view"), [("0", 0), ("3", 3), ("4", None), ("²", None), ("x", None)])
def test_only_the_number_of_a_player_takes_a_view(key: str, view: int | None) -> None:
    shown = Player(film_of_file(FILM), speed=8.0, player=None)
    shown.press(key)
    assert shown.view == view
