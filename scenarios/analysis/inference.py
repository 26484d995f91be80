"""Inference: the one place for bootstrap intervals, equivalence, many tests, and pairing's worth.

`paired` has Student's interval for every cell of a comparison; what is here is for the few
differences that a conclusion rests on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.weightstats import DescrStatsW

from hanse.market.units import Floats
from hanse.scenarios.analysis.intervals import CONFIDENCE
from hanse.scenarios.paired import skipped_rungs
from hanse.scenarios.parameters import ScenarioError
from hanse.scenarios.streams import spawning_stream

VALUES_MIN: Final = 10
"""Of fewer values the bootstrap has too few distinct means: intervals of 95 % cover the mean of
normal values in less than 90 of 100 cases (`paired` has Student's, which need no such number)."""
_RESAMPLES: Final = 9999
_BATCH: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Ends of an interval, each of the shape of the means; NaN of too few values."""

    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivalence:
    """Two one-sided tests of a mean difference against a margin.

    Attributes
    ----------
    p_value : of the hypothesis that the mean lies at or beyond the margin.
    """

    mean: float
    margin: float
    p_value: float

    def is_shown(self, *, level: float = 0.05) -> bool:
        """Say whether the mean is shown to lie within the margin."""
        return self.p_value < level


def bca_interval(
    values: Floats,
    *,
    confidence: float = CONFIDENCE,
    resamples: int = _RESAMPLES,
    seed: int = 0,
) -> Bounds:
    """Return the BCa interval of the mean (Efron, JASA 82, 1987), by scipy.

    Parameters
    ----------
    values : shape (..., n), without NaN; paired differences, for instance. Fewer than `VALUES_MIN`
        give NaN, and equal values the point itself.
    """
    values = np.asarray(values, dtype=float)
    low, high = (np.full(values.shape[:-1], np.nan) for _ in range(2))
    if values.shape[-1] < VALUES_MIN:
        return Bounds(low=low, high=high)
    is_flat = np.ptp(values, axis=-1) == 0
    low[is_flat] = high[is_flat] = values[is_flat][:, 0]
    if not is_flat.all():
        found = stats.bootstrap(
            (values[~is_flat],),
            np.mean,
            axis=-1,
            confidence_level=confidence,
            n_resamples=resamples,
            batch=_BATCH,
            method="BCa",
            rng=spawning_stream(seed, "bootstrap"),
        ).confidence_interval
        low[~is_flat], high[~is_flat] = found.low, found.high
    return Bounds(low=low, high=high)


def equivalence(differences: Floats, *, margin: float) -> Equivalence:
    """Test whether a mean difference lies within a margin (Schuirmann, 1987), by statsmodels.

    Parameters
    ----------
    differences : shape (n,), paired; at least two.
    margin : above zero, in the unit of the differences; chosen before looking.
    """
    if not margin > 0:
        raise ScenarioError(f"the margin of an equivalence test must be above 0, got {margin:g}")
    differences = np.asarray(differences, dtype=float)
    if len(differences) < 2:
        raise ScenarioError(f"an equivalence test needs two differences, got {len(differences)}")
    mean = float(differences.mean())
    if np.ptp(differences) == 0:
        p_value = 0.0 if abs(mean) < margin else 1.0
    else:
        p_value = float(DescrStatsW(differences).ttost_mean(-margin, margin)[0])
    return Equivalence(mean=mean, margin=margin, p_value=p_value)


def holm(p_values: Floats) -> Floats:
    """Adjust the p-values of a family of tests (Holm, Scandinavian Journal of Statistics 6, 1979).

    Parameters
    ----------
    p_values : shape (n,); NaN is a test that was not made, stays NaN and does not count.
    """
    adjusted = np.array(p_values, dtype=float)
    order = np.argsort(adjusted)[: np.count_nonzero(~np.isnan(adjusted))]  # NaN sorts last
    stepped = adjusted[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted


def variance_ratio(one: Floats, other: Floats) -> float:
    """Say how many times as many worlds the same precision would take without pairing.

    The variance of a difference of independent means, over that of the paired difference: above 1
    where pairing helps. Infinite where all differences are equal, NaN where nothing varies.
    """
    unpaired = float(np.var(one, ddof=1) + np.var(other, ddof=1))
    paired = float(np.var(np.subtract(one, other), ddof=1))
    if paired == 0:
        return float("inf") if unpaired else float("nan")
    return unpaired / paired


def paired_tests(
    samples: pd.DataFrame,
    *,
    by: Sequence[str] = ("family", "measure"),
    margin: float | None = None,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> pd.DataFrame:
    """Test each regime against the one before, on the same worlds, with all that a claim needs.

    Parameters
    ----------
    samples : columns `by`, regime, seed, value: rows of `measures`, or of `outcomes`. Regimes count
        in the order of their first row; no pair is formed across a rung left out.
    margin : of equivalence, in the unit of the values, which must then be one; None tests none.

    Returns
    -------
    pd.DataFrame
        Columns `by`, regime, versus, n, mean, ci_low, ci_high (BCa), p_value (paired t, two-sided),
        p_holm (over all rows returned), variance_ratio; with a margin also p_equivalence and
        p_equivalence_holm.
    """
    regimes = samples["regime"].unique().tolist()
    pairs = [pair for pair in pairwise(regimes) if skipped_rungs(pair) is None]
    rows = []
    for cell, some in samples.groupby(list(by), sort=False):
        wide = some.pivot_table(index="seed", columns="regime", values="value")
        for versus, regime in pairs:
            if {versus, regime} <= set(wide.columns):
                both = wide[[versus, regime]].dropna().to_numpy(dtype=float)
                names = {**dict(zip(by, cell, strict=True)), "regime": regime, "versus": versus}
                rows.append(names | _test(both, margin, confidence=confidence, seed=seed))
    frame = pd.DataFrame(rows)
    for name, adjusted in (("p_value", "p_holm"), ("p_equivalence", "p_equivalence_holm")):
        if name in frame:
            frame[adjusted] = holm(frame[name].to_numpy(dtype=float))
    return frame


def _test(
    both: Floats, margin: float | None, *, confidence: float, seed: int
) -> dict[str, float | int]:
    """Test one pair of regimes; `both` has shape (n, 2), the one set against first."""
    change = both[:, 1] - both[:, 0]
    found = bca_interval(change[None, :], confidence=confidence, seed=seed)
    is_enough = len(change) > 1
    tested: dict[str, float | int] = {
        "n": len(change),
        "mean": float(change.mean()) if len(change) else float("nan"),
        "ci_low": float(found.low[0]),
        "ci_high": float(found.high[0]),
        "p_value": _p_of_no_change(change) if is_enough else float("nan"),
    }
    if margin is not None:
        p_value = equivalence(change, margin=margin).p_value if is_enough else float("nan")
        tested["p_equivalence"] = p_value
    tested["variance_ratio"] = variance_ratio(both[:, 1], both[:, 0]) if is_enough else float("nan")
    return tested


def _p_of_no_change(change: Floats) -> float:
    if np.ptp(change) == 0:  # Student's t has no spread to divide by
        return 1.0 if change[0] == 0 else 0.0
    return float(stats.ttest_1samp(change, 0.0).pvalue)
