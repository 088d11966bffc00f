"""The wish to end, as a flag that signals set and loops look at."""

import signal
import time
from collections.abc import Callable
from types import FrameType

LOOK_EVERY_S = 0.05


class Stop:
    """A flag with a reason. Setting it is all that a signal handler does.

    No `Event`: its lock may be held by the very thread that a signal interrupts, which would then wait for itself.
    """

    def __init__(self) -> None:
        self._is_set = False
        self.reason = ""

    def __bool__(self) -> bool:
        return self._is_set

    def wait(self, seconds: float | None = None) -> bool:
        """Sleep until it is set, for so long at most. Whether it is."""
        end = time.monotonic() + (float("inf") if seconds is None else seconds)
        while not self and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_EVERY_S))
        return bool(self)

    def set(self, reason: str) -> None:
        self.reason = self.reason or reason
        self._is_set = True

    def on_signals(self) -> Callable[[], None]:
        """Handle SIGINT and SIGTERM; returns what puts the former handlers back."""
        former = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}

        def restore() -> None:
            for number, handler in former.items():
                signal.signal(number, handler)

        return restore

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.set(signal.Signals(number).name)
