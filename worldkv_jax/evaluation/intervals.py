"""Confidence intervals over worlds: of a mean, and of the mean difference of two memories on the same worlds."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


class Interval(NamedTuple):
    """A mean with the interval in which the true mean lies at the chosen confidence."""

    mean: float
    low: float | None
    """``None`` where the interval is undefined: a single value has none."""
    high: float | None
    count: int  # pyright: ignore[reportIncompatibleMethodOverride] (of tuple: nobody counts in an interval)
    """Independent values, such as worlds."""

    def text(self, digits: int = 2) -> str:
        """Write mean and interval with so many decimals."""
        if self.low is None or self.high is None:
            return f"{self.mean:.{digits}f}"
        return f"{self.mean:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"

    @property
    def half_width(self) -> float | None:
        """Half the length of the interval."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


def mean_interval(values: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Estimate a mean with Student's t interval.

    Args:
        values: ``[n]`` independent values, one for each world. Frames of one world are not independent: average
            them first.
        confidence: of the interval, between 0 and 1.

    Raises:
        ValueError: no values, values that are not finite, or a confidence outside (0, 1).
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"got values of shape {values.shape}, expected [n] with at least one value for each world")
    if not np.isfinite(values).all():
        raise ValueError(f"{(~np.isfinite(values)).sum()} of {len(values)} values are not finite; leave them out")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence} is outside (0, 1); 0.95 is usual")
    mean, count = float(values.mean()), len(values)
    if count == 1:
        return Interval(mean, None, None, 1)
    reach = float(stats.t.ppf((1 + confidence) / 2, count - 1) * values.std(ddof=1) / np.sqrt(count))
    return Interval(mean, mean - reach, mean + reach, count)


def paired_interval(values: ArrayLike, others: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Estimate the mean of ``values - others``, which were measured on the same worlds in the same order.

    What differs between worlds cancels, so this is far narrower than the two intervals suggest.

    Raises:
        ValueError: as `mean_interval`, or different shapes.
    """
    values, others = np.asarray(values, np.float64), np.asarray(others, np.float64)
    if values.shape != others.shape:
        raise ValueError(f"values {values.shape} and others {others.shape} are not pairs; measure the same worlds")
    return mean_interval(values - others, confidence=confidence)
