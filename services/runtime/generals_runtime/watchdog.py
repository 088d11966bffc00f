"""Ends a process that no longer gets anywhere, and says where it hangs.

Unusual: a process that was itself frozen (SIGSTOP, a suspended machine) is not stalled. The watchdog notices that its
own nap was far too long and gives the service its whole time again.

A time of day that was set back is a stall to come. librdkafka's threads wait for moments of the day, and would do
nothing until those have come again; they say nothing of it, and the service goes round and round with empty hands.
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
    """Call `beat` on every sign of progress; without one for `stall_after_s`, `end` is called with the exit code.

    It is called too when `time_of_day` is set back by more than that at once.
    """

    def __init__(
        self,
        stall_after_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        time_of_day: Callable[[], float] = time.time,
        end: Callable[[int], None] = os._exit,
    ) -> None:
        self._limit_s = self._stall_after_s = stall_after_s
        self._doing = "starting"
        self._clock = clock
        self._time_of_day = time_of_day
        self._apart = time_of_day() - clock()
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
        self._check_time_of_day()

    def _check_time_of_day(self) -> None:
        now, time_of_day = self._clock(), self._time_of_day()
        if self._clock() - now > self.period_s:
            return  # frozen between the two: what they are apart says nothing
        set_back_s = self._apart - (time_of_day - now)
        self._apart = time_of_day - now
        if set_back_s > self._stall_after_s:
            _log.critical(
                "the time of day was set back: ending the process, whose Kafka client would wait for it to come again",
                seconds=round(set_back_s, 1), exit_code=STALLED,
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
