"""How long to leave a failing store alone. Pure; time and chance are handed in."""

from dataclasses import dataclass

FIRST_S, LONGEST_S = 0.5, 60.0


@dataclass(slots=True)
class Pause:
    """A store that fails: how often so far, why, and when to try again."""

    until: float = 0.0
    attempts: int = 0
    why: str = ""

    def lengthen(self, why: str, now: float, jitter: float) -> float:
        """Seconds to wait: doubling, up to a minute, between half and whole of it at random."""
        wait = float(min(LONGEST_S, FIRST_S * 2 ** min(self.attempts, 16))) * (0.5 + 0.5 * jitter)
        self.attempts, self.why, self.until = self.attempts + 1, why, now + wait
        return wait
