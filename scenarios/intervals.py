"""Intervals: the one place for a number that is known to lie between two others."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A number with the ends of its interval; NaN where there is none."""

    value: float
    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Say whether a value lies in the interval."""
        return self.low <= value <= self.high
