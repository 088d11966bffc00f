"""A reader that counts by itself: `python -m generals_console.chaos_reader FILE`. Killed and frozen like all else.

It reads the experiences as any user does, by `ExperienceStream`, and saves its positions and its counts together in one
file. Unusual: it does not trust the marks. The steps of a player in a game follow one another from tick 0, so a tick
that comes again is a duplicate and a tick left out is a loss, whatever the marks say.
"""

import json
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from generals_client.positions import Position
from generals_client.stream import ExperienceStream
from generals_console.settings import ConsoleSettings
from generals_runtime.settings import load
from generals_schemas.records import ExperienceBatch

SAVE_EVERY_S = 1.0
SESSION_MS = 6_000


@dataclass(slots=True)
class Counts:
    """experiences: handed on.  duplicates, missing: by the ticks of each player.  ticks: the next of each player.

    repeats, lost_chunks: as the stream's marks have it.
    """

    experiences: int = 0
    duplicates: int = 0
    missing: int = 0
    repeats: int = 0
    lost_chunks: int = 0
    ticks: dict[str, int] = field(default_factory=dict)

    def add(self, batch: ExperienceBatch) -> None:
        """Count one record."""
        if batch.rejected is not None:
            return
        player = f"{batch.game_id}/{batch.player}"
        expected = self.ticks.get(player, 0)
        end = batch.first_tick + batch.steps
        self.duplicates += max(0, min(end, expected) - batch.first_tick)
        self.missing += max(0, batch.first_tick - expected)
        self.experiences += batch.steps
        self.ticks[player] = max(expected, end)


@dataclass(frozen=True, slots=True)
class Saved:
    """The file: counts and the positions that they belong to."""

    counts: Counts
    positions: list[Position]

    @classmethod
    def read(cls, path: Path) -> "Saved":
        """What was saved last; nothing if there is no file yet."""
        if not path.exists():
            return cls(Counts(), [])
        saved: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return cls(Counts(**saved["counts"]), [Position.from_json(one) for one in saved["positions"]])

    def write(self, path: Path) -> None:
        """Replace the file by one move, so that a kill leaves the old one or the new one."""
        new = path.with_suffix(".new")
        content = {"counts": asdict(self.counts), "positions": [position.to_json() for position in self.positions]}
        new.write_text(json.dumps(content), encoding="utf-8")
        new.replace(path)


def main() -> None:
    """Read until SIGTERM."""
    stopping: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        stopping.append(number)

    signal.signal(signal.SIGTERM, stop)
    kafka = load(ConsoleSettings).kafka
    path = Path(sys.argv[1])
    saved = Saved.read(path)
    counts, before = saved.counts, (saved.counts.repeats, saved.counts.lost_chunks)
    with ExperienceStream(
        bootstrap_servers=kafka.bootstrap_servers,
        topic=kafka.topics().experiences.name,
        group=f"{kafka.topic_prefix}chaos-reader",
        start=saved.positions or "earliest",
        follow=True,
        client_config={**kafka.client_config(), "session.timeout.ms": SESSION_MS},
    ) as stream:
        next_save = 0.0
        while not stopping:
            for record in stream.poll_records():
                counts.add(record.batch)
            if time.monotonic() >= next_save:
                counts.repeats = before[0] + stream.stats.repeats
                counts.lost_chunks = before[1] + stream.stats.lost_chunks
                positions = {position.partition: position for position in saved.positions}
                positions |= {position.partition: position for position in stream.positions()}
                saved = Saved(counts, list(positions.values()))
                saved.write(path)
                next_save = time.monotonic() + SAVE_EVERY_S


if __name__ == "__main__":
    main()
