"""How many samples are drawn for each experience inserted: too many overfit the buffer, too few waste experience."""

from dataclasses import dataclass


@dataclass(slots=True)
class SamplesPerInsert:
    """Keeps samples / insertions at `ratio`; None lets both run free.

    Whoever is behind goes next, so the two are never further apart than one block inserted and one batch drawn. What
    was inserted before `warmup` counts too: the learner makes up for it.
    """

    ratio: float | None
    warmup: int
    inserted: int = 0
    sampled: int = 0

    def may_sample(self, count: int) -> bool:
        """Whether `count` more samples are due."""
        if self.inserted < self.warmup:
            return False
        return self.ratio is None or self.sampled + count <= self.ratio * self.inserted

    @property
    def achieved(self) -> float:
        """Samples an insertion so far."""
        return self.sampled / self.inserted if self.inserted else 0.0

    @property
    def error(self) -> float:
        """How far `achieved` is off the ratio, as a share of it; 0 when there is none, or while warming up."""
        if self.ratio is None or self.inserted < self.warmup:
            return 0.0
        return abs(self.achieved - self.ratio) / self.ratio
