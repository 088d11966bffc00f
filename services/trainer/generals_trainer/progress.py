"""What the trainer says about itself: the log, metrics, `status.json`, `history.jsonl`, TensorBoard."""

import json
import os
import time
from collections import OrderedDict, deque
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generals_schemas.records import ExperienceBatch


class Returns:
    """Undiscounted returns of players' games, from those seen from their first chunk to their end."""

    MOST_OPEN = 20_000
    """Games whose end never comes (of an engine that was killed, say) make room for newer ones."""

    def __init__(self, window: int = 500) -> None:
        self._open: OrderedDict[tuple[str, int], tuple[int, float]] = OrderedDict()
        self._done: deque[float] = deque(maxlen=window)

    def add(self, batch: ExperienceBatch) -> None:
        key = (batch.game_id, batch.player)
        next_chunk, total = self._open.pop(key, (0, 0.0))
        if batch.chunk != next_chunk:
            return
        total += float(batch.rewards.sum(dtype=np.float64))
        if batch.end == "none":
            self._open[key] = (batch.chunk + 1, total)  # at the end: what has waited longest stands first
            if len(self._open) > self.MOST_OPEN:
                self._open.popitem(last=False)
        else:
            self._done.append(total)

    @property
    def mean(self) -> float | None:
        """Over the last games; None before the first has ended."""
        return float(np.mean(self._done)) if self._done else None


class Window:
    """Numbers of the updates since the last report."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}
        self._staleness: list[NDArray[np.int64]] = []
        self._ages: list[NDArray[np.int64]] = []

    def add(self, **values: float) -> None:
        for name, value in values.items():
            self._values.setdefault(name, []).append(value)

    def add_sampled(self, staleness: NDArray[np.int64], ages: NDArray[np.int64]) -> None:
        """staleness: versions behind, of the samples that the own policy made.  ages: rows inserted since."""
        self._staleness.append(staleness)
        self._ages.append(ages)

    def take(self) -> dict[str, float]:
        """Means, and quantiles of what was sampled; begins anew."""
        report = {name: float(np.mean(values)) for name, values in self._values.items()}
        for name, arrays in (("staleness", self._staleness), ("age", self._ages)):
            merged = np.concatenate(arrays) if arrays else np.zeros(0)
            if merged.size:
                report[f"{name}_p50"] = float(np.quantile(merged, 0.5))
                report[f"{name}_p99"] = float(np.quantile(merged, 0.99))
        self._values, self._staleness, self._ages = {}, [], []
        return report


class Files:
    """`status.json`, replaced whole, and `history.jsonl`, a line a report, in the run's directory.

    The history is of the whole run and yet bounded: when it has too many lines, the older are thinned, as far as that
    leaves no gap above a fiftieth of its age. Of ten million reports, some 1,300 lines stay.
    """

    MOST_LINES = 2_000
    GAP = 1 / 50

    def __init__(self, directory: Path, *, tensorboard: bool) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._history = directory / "history.jsonl"
        self._lines = self._mended() if self._history.exists() else 0
        self._board: Any = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(directory / "tensorboard"))

    def write(self, status: dict[str, Any]) -> None:
        """A report. Its numbers are TensorBoard's scalars too."""
        status = {**status, "time_ms": time.time_ns() // 1_000_000}
        line = json.dumps(status)
        self._replace(self._directory / "status.json", line + "\n")
        with self._history.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        self._lines += 1
        if self._lines > self.MOST_LINES:
            self._thin()
        if self._board is not None:
            for name, value in status.items():
                if isinstance(value, int | float):
                    self._board.add_scalar(name, value, status["trainer_steps"])

    def _mended(self) -> int:
        """Cut off the line that a killed process did not write to its end; how many are left."""
        data = self._history.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.truncate(self._history, whole)
        return data.count(b"\n")

    def _thin(self) -> None:
        lines = self._history.read_text(encoding="utf-8").splitlines(keepends=True)
        times = [json.loads(line)["time_ms"] for line in lines]
        kept = [0]
        for number in range(1, len(times) - 1):
            if times[number + 1] - times[kept[-1]] > self.GAP * (times[-1] - times[number]):
                kept.append(number)
        kept.append(len(times) - 1)
        self._replace(self._history, "".join(lines[number] for number in kept))
        self._lines = len(kept)

    def _replace(self, path: Path, text: str) -> None:
        temporary = self._directory / f".{path.name}.{os.getpid()}"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)

    def close(self) -> None:
        if self._board is not None:
            self._board.close()
