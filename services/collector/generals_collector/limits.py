"""A limit: bad data goes to the dead-letter topic, but a bad deployment must not drain everything there."""

from collections import deque

from generals_collector.settings import RejectLimits
from generals_runtime.errors import OperatorError


class TooManyRejected(OperatorError):
    """So much is rejected that the data can hardly be at fault. The chunk that was one too many is not acknowledged."""


class RejectCounter:
    """Counts chunks in order, before they are sent."""

    def __init__(self, limits: RejectLimits) -> None:
        self.limits = limits
        self._in_a_row = 0
        self._chunks = 0
        self._rejected_at: deque[int] = deque()

    def note(self, reason: str | None) -> None:
        """One chunk more; `reason` if it was rejected. Raises TooManyRejected."""
        self._chunks += 1
        if reason is None:
            self._in_a_row = 0
            return
        self._in_a_row += 1
        self._rejected_at.append(self._chunks)
        while self._rejected_at[0] <= self._chunks - self.limits.window:
            self._rejected_at.popleft()
        if 0 < self.limits.in_a_row <= self._in_a_row:
            raise self._error(f"{self._in_a_row} chunks in a row", "in_a_row", reason)
        if 0 < self.limits.in_window <= len(self._rejected_at):
            found = f"{len(self._rejected_at)} of the last {min(self._chunks, self.limits.window)} chunks"
            raise self._error(found, "in_window", reason)

    def _error(self, found: str, limit: str, reason: str) -> TooManyRejected:
        return TooManyRejected(
            f"{found} were rejected, the last one for {reason!r}: see the dead-letter topic. If the data is at fault "
            f"and not a deployment, raise collector.limits.{limit} ({getattr(self.limits, limit)}) or set it to 0"
        )
