"""Ends a process that no longer gets anywhere, and says where it hangs.

Unusual: a process that was itself frozen (SIGSTOP, a suspended machine) is not stalled. The watchdog notices that its
own nap was far too long and gives the service its whole time again.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable

import structlog

STALLED = 3
_log = structlog.get_logger("generals_runtime.watchdog")


class Watchdog:
    """Call `beat` on every sign of progress; without one for `stall_after_s`, `end` is called with the exit code."""

    def __init__(
        self,
        stall_after_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        end: Callable[[int], None] = os._exit,
    ) -> None:
        self._limit_s = stall_after_s
        self._doing = "starting"
        self._clock = clock
        self._end = end
        self._last = self._checked = clock()
        self._done = threading.Event()
        self._watched = threading.get_ident()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    @property
    def idle_s(self) -> float:
        """Seconds since the last sign of progress."""
        return self._clock() - self._last

    def start(self) -> None:
        self._thread.start()

    def beat(self) -> None:
        self._last = self._clock()

    def now(self, doing: str, limit_s: float) -> None:
        """A new phase with its own limit."""
        self._doing, self._limit_s = doing, limit_s
        self.beat()

    def close(self) -> None:
        self._done.set()

    def check(self) -> None:
        """What the thread does every `period_s`."""
        now = self._clock()
        if now - self._checked > max(5.0, 4 * self.period_s):
            self.beat()
        self._checked = now
        if self.idle_s > self._limit_s:
            _log.critical(
                f"no progress while {self._doing}: ending the process",
                seconds=round(self.idle_s, 1), limit_s=self._limit_s, exit_code=STALLED, hangs_at=self._where(),
            )  # fmt: skip
            self._end(STALLED)

    @property
    def period_s(self) -> float:
        return min(1.0, self._limit_s / 4)

    def _watch(self) -> None:
        while not self._done.wait(self.period_s):
            self.check()

    def _where(self) -> str:
        frame = sys._current_frames().get(self._watched)
        return "" if frame is None else "".join(traceback.format_stack(frame, limit=8))
