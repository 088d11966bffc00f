"""The writer: one thread a destination, so that none waits for another.

A storage that fails pauses its own destination only. What contradicts the log or the archive (see `errors`), an unknown
schema, a lost log end the whole process: a person has to look, and every destination goes on where it was.
"""

import threading
import time
from collections.abc import Callable

import structlog

from generals_runtime import metrics
from generals_runtime.errors import OperatorError
from generals_writer.destination import DestinationWriter
from generals_writer.settings import WriterSettings

ONCE_S = 0.5
STOP_SHARE, LET_GO_SHARE = 0.8, 0.1
"""Of `stop_within_s`, for all destinations together: to stop, and after a failure to leave their groups (who just dies
keeps its partitions until its session is over). One may follow the other before the watchdog ends the process."""
_log = structlog.get_logger("generals_writer")


class _Lane(threading.Thread):
    """A destination's thread: runs it until told to end or until it fails."""

    def __init__(self, writer: DestinationWriter) -> None:
        super().__init__(name=f"destination-{writer.name}", daemon=True)
        self.writer = writer
        self.ending = threading.Event()
        self.aborting = False
        self.failure: Exception | None = None

    def run(self) -> None:
        self._keep(self._run_until_told)
        self._keep(self.writer.abort if self.aborting or self.failure else self.writer.stop)

    def end(self, *, abort: bool) -> None:
        """Tell it to stop, or to leave everything as it is."""
        self.aborting = abort
        self.ending.set()

    def _run_until_told(self) -> None:
        while not self.ending.is_set():
            self.writer.run_once(ONCE_S)

    def _keep(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # the first is handed to the service's own thread, which raises it
            self.failure = self.failure or error


class WriterService:
    """What `generals_runtime.service.run` runs."""

    def __init__(self, settings: WriterSettings, observed: metrics.Metrics | None = None) -> None:
        self._settings = settings
        observed = observed or metrics.default()
        self._lanes = [
            _Lane(DestinationWriter(settings, destination, observed=observed.writer, runtime=observed.runtime))
            for destination in settings.destinations
        ]

    def start(self) -> None:
        for lane in self._lanes:
            lane.writer.start()
        for lane in self._lanes:
            lane.start()

    def run_once(self, timeout_s: float) -> None:
        """Raise what a destination failed with, or that one makes no progress."""
        self._lanes[0].ending.wait(timeout_s)
        self._raise_failures()
        limit = self._settings.observability.stall_after_s
        for lane in self._lanes:
            idle = time.monotonic() - lane.writer.last_progress
            if idle > limit:
                raise OperatorError(f"destination {lane.writer.name} made no progress for {idle:.0f} s")

    def stop(self) -> None:
        for lane in self._end(STOP_SHARE, abort=False):
            _log.warning("a destination did not stop in time; its open segments are read again", at=lane.name)
        self._raise_failures()

    def abort(self) -> None:
        """After a failure: the other destinations end where they are."""
        self._end(LET_GO_SHARE, abort=True)

    def not_ready(self) -> str | None:
        found = [reason for lane in self._lanes if (reason := lane.writer.not_ready()) is not None]
        return "; ".join(found) or None

    def _end(self, share: float, *, abort: bool) -> list[_Lane]:
        """End all destinations; those that have not ended in their share of the time."""
        until = time.monotonic() + share * self._settings.observability.stop_within_s
        for lane in self._lanes:
            lane.end(abort=abort)
        for lane in self._lanes:
            if lane.is_alive():
                lane.join(max(0.0, until - time.monotonic()))
        return [lane for lane in self._lanes if lane.is_alive()]

    def _raise_failures(self) -> None:
        for lane in self._lanes:
            if lane.failure is not None:
                raise lane.failure
