"""Intervals: the one place for numbers that are known to lie between two others."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import stdtrit

from hanse.market.units import Floats, Integers

CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A number with the ends of its interval; NaN where there is none."""

    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Say whether the interval excludes zero."""
        return self.low > 0 or self.high < 0

    def holds(self, value: float) -> bool:
        """Say whether a value lies in the interval."""
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """Means over the last axis with their interval; NaN where fewer than two seeds speak."""

    mean: Floats
    low: Floats
    high: Floats
    n: Integers


def interval(value: Floats) -> Means:
    """Return mean and Student-t interval over the last axis, leaving out NaN.

    Equal values, to the last bit, give the point itself.
    """
    there = ~np.isnan(value)
    n = there.sum(axis=-1)
    # Taken from the first value there is, so that equal values leave a spread of exactly zero.
    first = np.take_along_axis(value, there.argmax(axis=-1)[..., None], axis=-1)
    offset = np.where(there, value - first, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        shift = offset.sum(axis=-1) / n
        squares = np.where(there, (offset - shift[..., None]) ** 2, 0.0).sum(axis=-1)
        half = stdtrit(n - 1, 0.5 + CONFIDENCE / 2) * np.sqrt(squares / (n - 1) / n)
    mean = first[..., 0] + shift
    return Means(mean=mean, low=mean - half, high=mean + half, n=n)
