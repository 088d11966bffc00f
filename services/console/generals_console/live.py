"""What the demo shows while it runs: a table of stages and a board on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from generals_console.board_view import PLAYER_COLOURS, board_text
from generals_console.stages import Reading, rate
from generals_console.watcher import Frame

REFRESH_PER_S = 4
LINE_EVERY_S = 5.0
ROWS = (
    ("ticks played", "ticks", "engine → generals.transitions"),
    ("experiences collected", "collected", "Faust collector → generals.experiences"),
    ("experiences archived", "archived", "writer → Parquet"),
    ("experiences inserted", "inserted", "trainer ← replay buffer"),
    ("trainer steps", "trainer_steps", "Double DQN"),
)


class View(Protocol):
    """Something that shows progress. A context manager."""

    def say(self, what: str) -> None:
        """A new phase begins."""

    def show(self, reading: Reading, before: Reading, left_s: float, frame: Frame | None) -> None:
        """The state of the pipeline now, and a little earlier."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def make_view(console: Console) -> View:
    """The live view on a terminal, plain lines where output is not one."""
    return LiveView(console) if console.is_terminal else LineView(console.print)


class LineView:
    """One line a phase, and one every five seconds."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._last = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def say(self, what: str) -> None:
        self._write(what)

    def show(self, reading: Reading, before: Reading, left_s: float, frame: Frame | None) -> None:
        if reading.at_s - self._last < LINE_EVERY_S:
            return
        self._last = reading.at_s
        self._write(
            f"{left_s:4.0f} s left · games {reading.games_finished:,} · ticks {reading.ticks:,} "
            f"({rate(before, reading, 'ticks'):,.0f}/s) · collected {reading.collected:,} · "
            f"archived {reading.archived:,} · inserted {reading.inserted:,} · "
            f"trainer steps {reading.trainer_steps:,}, loss {_loss(reading)}"
        )


class LiveView:
    """A table that counts beside a board that is played."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phase = ""
        self._live = Live(console=console, refresh_per_second=REFRESH_PER_S, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def say(self, what: str) -> None:
        self._phase = what
        self._console.print(f"[dim]{time.strftime('%H:%M:%S')}[/dim] {what}")

    def show(self, reading: Reading, before: Reading, left_s: float, frame: Frame | None) -> None:
        left = Panel(_stages(reading, before, left_s), title="pipeline", border_style="dim")
        right = Panel(_game(frame), title="a game", border_style="dim") if frame else Text("")
        self._live.update(Columns([left, right]))


def _stages(reading: Reading, before: Reading, left_s: float) -> RenderableType:
    table = Table(box=None, pad_edge=False)
    table.add_column("stage")
    table.add_column("total", justify="right")
    table.add_column("per second", justify="right")
    table.add_column("", style="dim")
    for title, name, where in ROWS:
        table.add_row(title, f"{getattr(reading, name):,}", f"{rate(before, reading, name):,.0f}", where)
    facts = Text(
        f"\ngames running {reading.games_running:,} · finished {reading.games_finished:,}\n"
        f"chunks rejected {reading.rejected:,}\n"
        f"loss {_loss(reading)}\n"
        f"{left_s:.0f} s of play left; Ctrl-C stops everything"
    )
    return Group(table, facts)


def _loss(reading: Reading) -> str:
    return f"{reading.loss:.4f}" if reading.trainer_steps else "–"


def _game(frame: Frame) -> RenderableType:
    chunk = frame.chunk
    title = Text(f"tick {frame.tick} · ", style="dim")
    for player, policy in enumerate(chunk.policies):
        alive = (int(chunk.alive[frame.index]) >> player) & 1
        title.append(f" {policy.name} ", style=f"{'bold' if alive else 'strike'} white on {PLAYER_COLOURS[player]}")
    return Group(title, board_text(chunk.tiles[frame.index], chunk.armies[frame.index], chunk.width))
