"""Whether a series grows, and whether that could be told: its slope by least squares, and how far off that may be.

Neighbouring samples of memory or lag are alike, so the noise of the slope is widened by their correlation; without that
every sawtooth would look like growth. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WARM_UP = 1 / 2
"""This share of a series is left out: caches fill, code is compiled, buffers grow to their size."""
TWO_SIDED_95 = 1.96
SMALL_SHARE = 0.02
"""A slope below this share of the mean an hour is called flat, however sure it is."""
FEWEST_SAMPLES = 8
MOST_CORRELATION = 0.99


@dataclass(frozen=True, slots=True)
class Trend:
    """A series after its warm-up, in its own unit.

    mean, peak: its level.  slope_per_hour, noise_per_hour: the slope, and half its 95 % interval.
    """

    mean: float
    peak: float
    slope_per_hour: float
    noise_per_hour: float

    @property
    def grows(self) -> bool:
        """Whether the slope is above its noise, and not small beside the mean."""
        return self.slope_per_hour > max(self.noise_per_hour, SMALL_SHARE * abs(self.mean))

    def hides(self, share: float) -> bool:
        """Whether the noise would hide a growth, an hour, of this share of the peak.

        The peak, because the mean of a sawtooth that falls to nothing says little.
        """
        return self.noise_per_hour > share * self.peak


def trend(at_s: Sequence[float], values: Sequence[float]) -> Trend | None:
    """The trend of a series `[N]` sampled at the seconds `[N]`, None if fewer than 8 samples follow the warm-up."""
    first = int(len(values) * WARM_UP)
    hours = np.asarray(at_s[first:], np.float64) / 3600
    level = np.asarray(values[first:], np.float64)
    if len(level) < FEWEST_SAMPLES or np.ptp(hours) == 0:
        return None
    centred = hours - hours.mean()
    spread = float(centred @ centred)
    slope = float(centred @ level) / spread
    residuals = level - level.mean() - slope * centred
    deviation = float(np.sqrt(residuals @ residuals / (len(level) - 2) / spread))
    return Trend(float(level.mean()), float(level.max()), slope, TWO_SIDED_95 * deviation * _widening(residuals))


def _widening(residuals: NDArray[np.float64]) -> float:
    """By how much correlated samples count for fewer: sqrt((1 + r) / (1 - r)), r that of neighbours."""
    power = float(residuals @ residuals)
    if power == 0.0:
        return 1.0
    correlation = min(MOST_CORRELATION, max(0.0, float(residuals[1:] @ residuals[:-1]) / power))
    return float(np.sqrt((1 + correlation) / (1 - correlation)))
