"""Ctrl-C as a flag that long waits look at."""

from collections.abc import Callable

from generals_runtime.errors import OperatorError
from generals_runtime.stop import Stop


class Stopped(OperatorError):
    """A person or a supervisor asked us to stop."""


class StopFlag:
    """Set by SIGINT and SIGTERM while it is entered. Waiting on it raises Stopped once it is set."""

    def __init__(self) -> None:
        self._stop = Stop()
        self._restore: Callable[[], None] = lambda: None

    def __enter__(self) -> "StopFlag":
        self._restore = self._stop.on_signals()
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def check(self) -> None:
        """Raises Stopped if the flag is set."""
        if self._stop:
            raise Stopped("stopped")

    def wait(self, seconds: float) -> None:
        """Sleep, but no longer than until the flag is set; then raise Stopped."""
        self._stop.wait(seconds)
        self.check()
