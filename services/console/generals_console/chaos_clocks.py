"""Clocks that go wrong: libfaketime stands between a process and the time of day.

The monotonic clock, by which a process waits, stays right, as on a machine whose clock is stepped.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path


def find_libfaketime() -> Path | None:
    """The library of the `libfaketime` package, or None: there is none on this machine."""
    spec = find_spec("libfaketime")
    if spec is None or spec.origin is None:
        return None
    library = Path(spec.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
    return library if library.exists() else None


class Clocks:
    """The clock of each process, right until it is stepped."""

    def __init__(self, library: Path, folder: Path) -> None:
        self._library, self._folder = library, folder
        folder.mkdir(parents=True, exist_ok=True)

    def environment(self, name: str) -> Mapping[str, str]:
        """What a process needs to be started with, so that its clock can be stepped."""
        file = self._file(name)
        if not file.exists():
            self.step(name, 0.0)
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def step(self, name: str, by_s: float) -> None:
        """From now on, a process started as `name` takes it to be `by_s` later than it is."""
        file = self._file(name)
        new = file.with_suffix(".new")
        new.write_text(f"{by_s:+.0f}\n")
        new.replace(file)  # never read half written

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.clock"
