"""Scaling: the one place that says how a cost grows along an axis, or that the data cannot say.

A class of growth is declared only if it wins almost every bootstrap sample, by a wide margin of the
corrected criterion of Akaike, and extrapolates no worse than the runner-up; otherwise the answer is
"undetermined". See docs/how-to/say-how-a-cost-grows.md.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy import stats

from hanse.market.units import Floats, Integers
from hanse.scenarios.analysis.inference import Equivalence, bca_interval, equivalence
from hanse.scenarios.growth.laws import (
    FLAT,
    GROWTH_CLASSES,
    GROWTH_LAWS,
    Fits,
    GrowthLaw,
    LevelMeans,
    fit_law,
    log_mean,
)
from hanse.scenarios.parameters import ScenarioError
from hanse.scenarios.streams import stream

UNDETERMINED: Final = "undetermined"
WIN_SHARE: Final = 0.95
"""Of the bootstrap samples, how many a class must win to be declared."""
MARGIN_AICC: Final = 10.0
"""By how much the best law of a class must beat the best of any other."""
SMALLEST_ELASTICITY: Final = 0.1
"""What an elasticity must exceed to be of interest."""
FITTED_SHARE: Final = 0.6
"""Of the levels, which lower part is fitted to foretell the upper part."""
RESAMPLES: Final = 2_000
_LEVELS_MIN: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Responses:
    """A response at levels of an axis, on the same seeds at each.

    Attributes
    ----------
    x : shape (n_levels,), rising and above 0.
    log_response : shape (n_levels, n_seeds); NaN where a run failed.
    """

    x: Floats
    log_response: Floats

    def samples(self, times: Integers) -> LevelMeans:
        """Return what is known of samples of seeds.

        Parameters
        ----------
        times : shape (n_samples, n_seeds), how often each seed is in each sample.
        """
        known = ~np.isnan(self.log_response)
        value = np.where(known, self.log_response, 0.0)
        weight: Floats = times @ known.T.astype(float)
        total, square = times @ value.T, times @ (value**2).T
        mean: Floats = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
        within: Floats = (square - weight * mean**2).sum(axis=1)
        return LevelMeans(mean_log=mean, weight=weight, within=np.maximum(within, 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """How a response grows, and how sure that is.

    Attributes
    ----------
    verdict : a class of growth, or "undetermined".
    leader : the class of the best law, whether or not it is declared.
    reason : why nothing is declared; "" otherwise.
    laws : one row per law: law, growth_class, n_parameters, aicc, delta_aicc, bic,
        left_out_error (of the logarithm, one level left out), foretold_error (upper levels from
        lower ones), and the parameters as text.
    win_share : by class, the share of bootstrap samples it wins.
    """

    verdict: str
    leader: str
    reason: str
    laws: pd.DataFrame
    win_share: pd.Series


def responses(
    frame: pd.DataFrame, *, axis: str, value: str = "value", seed: str = "seed"
) -> Responses:
    """Arrange a table with one row per level and seed.

    Raises
    ------
    ScenarioError
        If there are too few levels, a level is not above 0, or a response is not: the errors are
        lognormal, and where nothing was measured there is nothing to say.
    """
    wide = frame.pivot_table(index=axis, columns=seed, values=value)
    if len(wide) < _LEVELS_MIN:
        raise ScenarioError(f"growth needs {_LEVELS_MIN} levels of {axis}, got {len(wide)}")
    x, response = wide.index.to_numpy(dtype=float), wide.to_numpy(dtype=float)
    if x.min() <= 0:
        raise ScenarioError(f"levels of {axis} must be above 0, got {x.min():g}")
    if np.nanmin(response) <= 0:
        raise ScenarioError(f"{value} must be above 0, got {np.nanmin(response):g}")
    return Responses(x=x, log_response=np.log(response))


def growth(
    of: Responses,
    *,
    laws: tuple[GrowthLaw, ...] = GROWTH_LAWS,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Growth:
    """Say which class of growth the responses belong to.

    Parameters
    ----------
    resamples : bootstrap samples of seeds; whole seeds are drawn, because the levels share them.
    """
    n_seeds = of.log_response.shape[1]
    frame = law_table(of, laws)
    leader = str(best_law(frame)["growth_class"])
    rng = stream(seed, "growth.bootstrap")
    times = rng.multinomial(n_seeds, np.full(n_seeds, 1.0 / n_seeds), size=resamples)
    won = winners(of, laws, times)
    share = pd.Series(won).value_counts(normalize=True).reindex(GROWTH_CLASSES).fillna(0.0)
    reason = "" if is_flat(of) else _doubt(frame, leader, float(share[leader]))
    declared = FLAT if is_flat(of) else leader
    return Growth(
        verdict=declared if not reason else UNDETERMINED,
        leader=leader,
        reason=reason,
        laws=frame,
        win_share=share,
    )


def winners(of: Responses, laws: tuple[GrowthLaw, ...], times: Integers) -> list[str]:
    """Return the class of the best law in each sample of seeds."""
    sample = of.samples(times)
    score = np.stack([_aicc(fit_law(law, of.x, sample), sample) for law in laws])
    return [laws[k].growth_class for k in score.argmin(axis=0)]


def law_table(of: Responses, laws: tuple[GrowthLaw, ...] = GROWTH_LAWS) -> pd.DataFrame:
    """Fit every law to all seeds, and test it on levels that it has not seen."""
    whole = np.ones((1, of.log_response.shape[1]), np.int64)
    sample = of.samples(whole)
    rows = []
    for law in laws:
        fits = fit_law(law, of.x, sample)
        aicc = float(_aicc(fits, sample)[0])
        rows.append(
            {
                "law": law.name,
                "growth_class": law.growth_class,
                "n_parameters": law.n_parameters,
                "aicc": aicc,
                "bic": float(_bic(fits, sample)[0]),
                "left_out_error": left_out_error(law, of.x, sample),
                "foretold_error": foretold_error(law, of.x, sample),
                "fit": _told(fits, of.x),
            }
        )
    frame = pd.DataFrame(rows)
    frame.insert(4, "delta_aicc", frame["aicc"] - frame["aicc"].min())
    return frame


def best_law(laws: pd.DataFrame) -> "pd.Series[Any]":
    """Return the row of the law with the least AICc."""
    return laws.sort_values("aicc", kind="stable").iloc[0]


def left_out_error(law: GrowthLaw, x: Floats, sample: LevelMeans) -> float:
    """Return the root mean square error of the logarithm at levels left out one at a time."""
    weight = sample.weight * (1.0 - np.eye(len(x)))
    mean_log = np.repeat(sample.mean_log, len(x), axis=0)
    within = np.repeat(sample.within, len(x))
    fits = fit_law(law, x, LevelMeans(mean_log=mean_log, weight=weight, within=within))
    miss = np.diag(mean_log - log_mean(law, x, fits.theta))
    return float(np.sqrt((miss**2).mean()))


def foretold_error(law: GrowthLaw, x: Floats, sample: LevelMeans) -> float:
    """Return the root mean square error at the upper levels of what is fitted to the lower ones.

    Infinite where the lower levels are fewer than the law's parameters.
    """
    n_lower = int(np.ceil(FITTED_SHARE * len(x)))
    if n_lower < law.n_parameters or n_lower == len(x):
        return float("inf")
    lower = replace(sample, weight=sample.weight * (np.arange(len(x)) < n_lower))
    theta = fit_law(law, x, lower).theta
    miss = (sample.mean_log - log_mean(law, x, theta))[0, n_lower:]
    return float(np.sqrt((miss**2).mean()))


def is_flat(of: Responses) -> bool:
    """Say whether the elasticity is shown to lie within the smallest that is of interest.

    A law with fewer parameters can never be ahead by the margin of one that contains it, so that
    flatness is shown by equivalence, one elasticity per seed.
    """
    slopes = elasticities(of)
    if len(slopes) < 2:
        return False
    return equivalence(slopes, margin=SMALLEST_ELASTICITY).is_shown()


def elasticities(of: Responses) -> Floats:
    """Return one elasticity per seed over the whole range, by least squares of logarithms."""
    log_x = np.log(of.x)
    slopes = [
        stats.linregress(log_x[known], one[known]).slope
        for one in of.log_response.T
        if (known := ~np.isnan(one)).sum() > 1
    ]
    return np.array(slopes)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlopeDifference:
    """How much steeper one response grows than another on the same seeds.

    Attributes
    ----------
    mean, low, high : of the paired difference of elasticities, with its BCa interval; NaN ends of
        fewer than ten seeds.
    equivalence : of the two, within the smallest elasticity that is of interest.
    """

    mean: float
    low: float
    high: float
    equivalence: Equivalence


def slope_difference(one: Responses, other: Responses, *, seed: int = 0) -> SlopeDifference:
    """Set the elasticity of one response against that of another, seed by seed.

    Raises
    ------
    ScenarioError
        If they have not the same levels and as many seeds.
    """
    if one.log_response.shape != other.log_response.shape or (one.x != other.x).any():
        raise ScenarioError(
            f"slopes are paired on the same levels and seeds, got {one.log_response.shape} and "
            f"{other.log_response.shape}"
        )
    apart = elasticities(one) - elasticities(other)
    bounds = bca_interval(apart[None, :], seed=seed)
    return SlopeDifference(
        mean=float(apart.mean()),
        low=float(bounds.low[0]),
        high=float(bounds.high[0]),
        equivalence=equivalence(apart, margin=SMALLEST_ELASTICITY),
    )


def local_slopes(of: Responses, *, confidence: float = 0.95) -> pd.DataFrame:
    """Return slopes between neighbouring levels, paired by seed, with Student's intervals.

    A constant elasticity means a power, a constant semi-elasticity an exponential; both falling
    means that growth slows down.

    Returns
    -------
    pd.DataFrame
        Columns x_low, x_high, then elasticity and semi_elasticity, each with ci_low and ci_high.
    """
    rise = np.diff(of.log_response, axis=0)
    n = (~np.isnan(rise)).sum(axis=1)
    mean = np.nanmean(rise, axis=1)
    error = np.nanstd(rise, axis=1, ddof=1) / np.sqrt(n) if rise.shape[1] > 1 else mean * np.nan
    half = stats.t.ppf((1.0 + confidence) / 2.0, np.maximum(n - 1, 1)) * error
    columns: dict[str, Floats] = {"x_low": of.x[:-1], "x_high": of.x[1:]}
    for name, step in (("elasticity", np.diff(np.log(of.x))), ("semi_elasticity", np.diff(of.x))):
        columns[name] = mean / step
        columns[f"{name}_ci_low"] = (mean - half) / step
        columns[f"{name}_ci_high"] = (mean + half) / step
    return pd.DataFrame(columns)


def _aicc(fits: Fits, sample: LevelMeans) -> Floats:
    n, k = sample.weight.sum(axis=1), fits.law.n_parameters + 1
    room = np.maximum(n - k - 1, 1e-9)
    score: Floats = n * np.log(_variance(fits, sample)) + 2 * k + 2 * k * (k + 1) / room
    return score


def _bic(fits: Fits, sample: LevelMeans) -> Floats:
    n, k = sample.weight.sum(axis=1), fits.law.n_parameters + 1
    score: Floats = n * np.log(_variance(fits, sample)) + k * np.log(n)
    return score


def _variance(fits: Fits, sample: LevelMeans) -> Floats:
    mean: Floats = (fits.squares + sample.within) / sample.weight.sum(axis=1)
    return np.maximum(mean, 1e-24)


def _doubt(frame: pd.DataFrame, leader: str, win_share: float) -> str:
    """Say what stands in the way of declaring the leader; "" if nothing does."""
    is_own = frame["growth_class"] == leader
    best, runner_up = best_law(frame[is_own]), best_law(frame[~is_own])
    margin = runner_up["aicc"] - best["aicc"]
    if win_share < WIN_SHARE:
        return f"{leader} wins {win_share:.0%} of the samples, less than {WIN_SHARE:.0%}"
    if margin < MARGIN_AICC:
        return f"{runner_up['law']} is only {margin:.1f} behind, less than {MARGIN_AICC:g}"
    if best["foretold_error"] > runner_up["foretold_error"]:
        return f"{runner_up['law']} foretells the upper levels better"
    return ""


def _told(fits: Fits, x: Floats) -> str:
    """Write the shape of a fit in the units of the axis."""
    shape = fits.theta[0, 1 + fits.law.n_columns :]
    top = x.max()
    if fits.law.name == "power":
        return f"exponent {shape[0]:.3g}"
    if fits.law.name == "exponential":
        return f"factor {np.exp(shape[0] / top):.4g} per unit"
    if fits.law.name == "hyperbolic":
        return f"pole at {(1 + shape[0]) * top:.4g}"
    if fits.law.name == "logistic":
        return f"middle at {shape[0] * top:.4g}, width 90-10 % {4.394 / shape[1] * top:.4g}"
    return ""
