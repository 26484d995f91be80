"""Transitions: the one place that says where something turns, and how abruptly.

A transition is logistic in the axis: its location is where the share is one half, and its width the
distance over which the share goes from 90 to 10 per cent, 2 ln 9 = 4.394 over the slope.
"""

import warnings
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import statsmodels.api as sm
from scipy import stats
from statsmodels.tools.sm_exceptions import PerfectSeparationWarning

from hanse.market.units import Floats
from hanse.scenarios.analysis.intervals import CONFIDENCE, Interval
from hanse.scenarios.parameters import ScenarioError
from hanse.scenarios.streams import spawning_stream

WIDTHS: Final = float(2.0 * np.log(9.0))
"""The 90-10 % width of the standard logistic curve."""
_RESAMPLES: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """Where a share falls (or rises) from nearly all to nearly nothing, and over what distance.

    Attributes
    ----------
    is_falling : whether the share falls along the axis.
    is_separated : whether every value is 0 or 1 and they lie on two sides of a gap: the location is
        then known to the gap, and the width is at most the gap.
    """

    location: Interval
    width: Interval
    is_falling: bool
    is_separated: bool


def fit_transition(x: Floats, share: Floats, *, confidence: float = CONFIDENCE) -> Transition:
    """Fit a logistic curve to shares between 0 and 1, or to what is 0 or 1, by statsmodels.

    Errors are binomial, quasi-binomial of shares between 0 and 1; intervals by the delta method.

    Raises
    ------
    ScenarioError
        If a share is not between 0 and 1, or all are the same: then nothing turns.
    """
    x, share = np.asarray(x, dtype=float), np.asarray(share, dtype=float)
    if share.min() < 0 or share.max() > 1:
        raise ScenarioError(f"a share must be 0 to 1, got {share.min():g} to {share.max():g}")
    if np.ptp(share) == 0:
        raise ScenarioError(f"nothing turns: the share is {share[0]:g} everywhere")
    gap = _gap(x, share)
    if gap is not None:
        return gap
    middle, spread = float(x.mean()), float(x.std())
    model = sm.GLM(share, sm.add_constant((x - middle) / spread), family=sm.families.Binomial())
    with warnings.catch_warnings():
        # Shares may lie on a logistic curve exactly; what is 0 or 1 and separated is out by now.
        warnings.simplefilter("ignore", PerfectSeparationWarning)
        fitted = model.fit(scale=1.0 if np.isin(share, (0.0, 1.0)).all() else "X2")
    start, slope = (float(value) for value in fitted.params)
    covariance = np.asarray(fitted.cov_params())
    quantile = float(stats.norm.ppf((1.0 + confidence) / 2.0))
    turn = -start / slope
    by_start, by_slope = -1.0 / slope, start / slope**2
    gradient = np.array([by_start, by_slope])
    half = quantile * float(np.sqrt(gradient @ covariance @ gradient)) * spread
    relative = quantile * float(np.sqrt(covariance[1, 1])) / abs(slope)
    width, location = WIDTHS / abs(slope) * spread, middle + turn * spread
    return Transition(
        location=Interval(value=location, low=location - half, high=location + half),
        width=Interval(
            value=width,
            low=width / (1.0 + relative),
            high=width / (1.0 - relative) if relative < 1 else float("inf"),
        ),
        is_falling=slope < 0,
        is_separated=False,
    )


def _gap(x: Floats, share: Floats) -> Transition | None:
    """Return the transition if all is 0 on one side of a gap, and 1 on the other."""
    if not np.isin(share, (0.0, 1.0)).all():
        return None
    ones, zeros = x[share == 1], x[share == 0]
    is_falling = ones.max() < zeros.min()
    if not is_falling and zeros.max() >= ones.min():
        return None
    low, high = (ones.max(), zeros.min()) if is_falling else (zeros.max(), ones.min())
    return Transition(
        location=Interval(value=float(low + high) / 2, low=float(low), high=float(high)),
        width=Interval(value=float("nan"), low=0.0, high=float(high - low)),
        is_falling=bool(is_falling),
        is_separated=True,
    )


def of_thresholds(
    threshold: Floats, *, is_falling: bool, confidence: float = CONFIDENCE, seed: int = 0
) -> Transition:
    """Return the transition of the share of seeds that have not crossed their own threshold yet.

    Parameters
    ----------
    threshold : shape (n_seeds,), where each seed turns. The location is their mean, with Student's
        interval; the width is that of the logistic curve of their standard deviation, with a
        percentile bootstrap over seeds.
    """
    n, nan = len(threshold), float("nan")
    mean = float(threshold.mean()) if n else nan
    if n < 2:
        unknown = Interval(value=nan, low=nan, high=nan)
        location = Interval(value=mean, low=nan, high=nan)
        return Transition(
            location=location, width=unknown, is_falling=is_falling, is_separated=False
        )
    spread = float(threshold.std(ddof=1))
    half = float(stats.t.ppf((1.0 + confidence) / 2.0, n - 1)) * spread / n**0.5
    scale = float(WIDTHS * np.sqrt(3.0) / np.pi)
    rng = spawning_stream(seed, "transition.bootstrap")
    spreads = threshold[rng.integers(n, size=(_RESAMPLES, n))].std(axis=1, ddof=1)
    low, high = np.quantile(spreads, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Transition(
        location=Interval(value=mean, low=mean - half, high=mean + half),
        width=Interval(value=scale * spread, low=scale * float(low), high=scale * float(high)),
        is_falling=is_falling,
        is_separated=False,
    )


def resolved(found: Transition, tolerance: float) -> Transition:
    """Move the ends of the intervals apart by what a bisection leaves open.

    Each threshold is known to half the tolerance on either side, and thresholds that lie in one
    step of it may differ by as much.
    """
    at, width = found.location, found.width
    return replace(
        found,
        location=replace(at, low=at.low - tolerance / 2, high=at.high + tolerance / 2),
        width=replace(width, low=max(0.0, width.low - tolerance), high=width.high + tolerance),
    )
