"""Hysteresis: the one place that asks whether a system finds back from an overload, and how soon.

Each point of an axis is entered from an empty start and from an overloaded one, on the same worlds.
Where the payload rates differ for good the system is bistable. One run that is led up a
load and down again is a ramp. See docs/why/hysteresis-of-two-starts.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import integrate, stats

from hanse.market.units import Floats
from hanse.scenarios.analysis.intervals import CONFIDENCE, Interval
from hanse.scenarios.growth.boundary import Ask, Start, row_of
from hanse.scenarios.parameters import ScenarioError


def sweep_both_ways(ask: Ask, *, points: Sequence[float], seeds: Sequence[int]) -> pd.DataFrame:
    """Enter each point from both starts.

    Returns
    -------
    pd.DataFrame
        Columns x, seed, start, payload_share, growth_share.
    """
    return pd.DataFrame(
        row_of(x, seed, start=start, answer=ask(x, seed, start))
        for x in points
        for seed in seeds
        for start in Start
    )


def hysteresis(swept: pd.DataFrame, *, confidence: float = CONFIDENCE) -> Interval:
    """Return the area between the two branches of the payload rate, paired by seed.

    Its unit is that of the axis. Above zero, the payload rate from an overloaded start stays below
    that from an empty one; below zero where a backlog is still being worked off.

    Parameters
    ----------
    swept : as from `sweep_both_ways`; at least two points, and two seeds for an interval.
    """
    wide = swept.pivot_table(index=["seed", "x"], columns="start", values="payload_share")
    apart = (wide[Start.EMPTY.value] - wide[Start.OVERLOADED.value]).unstack("seed")
    return area_of(apart, confidence=confidence)


def area_of(apart: pd.DataFrame, *, confidence: float = CONFIDENCE) -> Interval:
    """Return the area under differences of two branches: a row per point, a column per seed."""
    x = apart.index.to_numpy(dtype=float)
    areas = integrate.trapezoid(apart.to_numpy(dtype=float), x, axis=0)
    return mean_interval(areas, confidence=confidence)


def mean_interval(values: Floats, *, confidence: float = CONFIDENCE) -> Interval:
    """Return the mean with Student's interval; NaN ends of fewer than two values."""
    mean = float(values.mean()) if len(values) else float("nan")
    if len(values) < 2:
        return Interval(value=mean, low=float("nan"), high=float("nan"))
    error = float(values.std(ddof=1)) / len(values) ** 0.5
    half = float(stats.t.ppf((1.0 + confidence) / 2.0, len(values) - 1)) * error
    return Interval(value=mean, low=mean - half, high=mean + half)


@dataclass(frozen=True, slots=True, kw_only=True)
class Escape:
    """How long a system takes to leave an overload behind.

    Attributes
    ----------
    mean_s : time at risk over escapes, as of an exponential law, with its interval; infinite where
        none escaped.
    escaped_s : shape (n_seeds,), of each seed, counted from the end of the pulse; NaN of those that
        had not by the horizon.
    """

    mean_s: Interval
    escaped_s: Floats

    @property
    def escaped_share(self) -> float:
        """Return the share of seeds that escaped while they were watched."""
        return float((~np.isnan(self.escaped_s)).mean())


def escape_time(
    ask: Ask,
    *,
    at: float,
    seeds: Sequence[int],
    pulse_s: float,
    slack_s: float = 0.0,
    confidence: float = CONFIDENCE,
) -> Escape:
    """Measure how long the backlog of a pulse lasts at one point of the axis.

    A seed has escaped when its unfinished work is down to that of the same world begun empty.

    Parameters
    ----------
    slack_s : by how much work per unit the two may still differ.
    """
    escaped, at_risk = [], []
    for seed in seeds:
        one, other = (ask(at, seed, start).path for start in (Start.EMPTY, Start.OVERLOADED))
        if one is None or other is None:
            raise ScenarioError("an escape is read off the path of unfinished work, got none")
        later = one.instant_s > pulse_s
        left = (other.unfinished_s - one.unfinished_s)[later] <= slack_s
        time_s = one.instant_s[later] - pulse_s
        escaped.append(float(time_s[left.argmax()]) if left.any() else float("nan"))
        at_risk.append(escaped[-1] if left.any() else float(time_s[-1]))
    escaped_s = np.array(escaped)
    return escape_of(escaped_s, np.array(at_risk), confidence=confidence)


def escape_of(escaped_s: Floats, at_risk_s: Floats, *, confidence: float = CONFIDENCE) -> Escape:
    """Sum up when seeds escaped, NaN of those that had not, and how long each was at risk."""
    n_escaped = int((~np.isnan(escaped_s)).sum())
    mean_s = _exponential_mean(float(at_risk_s.sum()), n_escaped, confidence)
    return Escape(mean_s=mean_s, escaped_s=escaped_s)


def _exponential_mean(at_risk_s: float, n_escaped: int, confidence: float) -> Interval:
    """Return the mean of an exponential law from censored times, with its exact interval."""
    tail = (1.0 - confidence) / 2.0
    low = 2.0 * at_risk_s / float(stats.chi2.ppf(1.0 - tail, 2 * n_escaped + 2))
    if n_escaped == 0:
        return Interval(value=float("inf"), low=low, high=float("inf"))
    high = 2.0 * at_risk_s / float(stats.chi2.ppf(tail, 2 * n_escaped))
    return Interval(value=at_risk_s / n_escaped, low=low, high=high)
