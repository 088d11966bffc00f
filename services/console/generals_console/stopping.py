"""Ctrl-C as a flag that long waits look at."""

import signal
import threading
from types import FrameType

from generals_runtime.errors import OperatorError


class Stopped(OperatorError):
    """A person or a supervisor asked us to stop."""


class StopFlag:
    """Set by SIGINT and SIGTERM while it is entered. Waiting on it raises Stopped once it is set."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def __enter__(self) -> "StopFlag":
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._set)
        return self

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.default_int_handler)

    def check(self) -> None:
        """Raises Stopped if the flag is set."""
        if self._event.is_set():
            raise Stopped("stopped")

    def wait(self, seconds: float) -> None:
        """Sleep, but no longer than until the flag is set; then raise Stopped."""
        self._event.wait(seconds)
        self.check()

    def _set(self, _number: int, _frame: FrameType | None) -> None:
        self._event.set()
