"""Sensitivity: the one place for how much of an outcome's variation each factor accounts for.

Indices are SALib's, of the quantiles that the design sampled. Intervals come from its bootstrap
over rows or trajectories; what other seeds would have given is not in them, so that the outcome
should be a mean over enough of them.
"""

from typing import Any, Final

import numpy as np
import pandas as pd

from hanse.market.units import Floats
from hanse.scenarios.analysis.designs import Design
from hanse.scenarios.analysis.intervals import CONFIDENCE
from hanse.scenarios.analysis.sampling import points_per_row, salib, unit_problem
from hanse.scenarios.parameters import ScenarioError, near_miss
from hanse.scenarios.streams import spawning_stream

_RESAMPLES: Final = 1000


def point_means(
    design: Design, outcomes: pd.DataFrame, outcome: str, *, regime: str | None = None
) -> Floats:
    """Return the mean over seeds of one outcome at each point.

    Parameters
    ----------
    outcomes : the table of that name in the results of the design.
    regime : needed where the outcome is read on several.

    Returns
    -------
    ndarray of float, shape (n_policies, n_samples)

    Raises
    ------
    ScenarioError
        If there is no such outcome, it is read on several regimes, or a point has no value.
    """
    n_points = len(design.policies) * len(design.sample)
    means = means_by_point(outcomes, outcome, n_points=n_points, regime=regime)
    return means.reshape(len(design.policies), len(design.sample))


def means_by_point(
    outcomes: pd.DataFrame, outcome: str, *, n_points: int, regime: str | None = None
) -> Floats:
    """Return the mean over seeds of one outcome, shape (n_points,); as `point_means` otherwise."""
    rows = outcomes[outcomes["outcome"] == outcome]
    if rows.empty:
        known = outcomes["outcome"].unique().tolist()
        raise ScenarioError(f"no outcome {outcome!r}{near_miss(outcome, known)} ({known})")
    regimes = rows["regime"].unique().tolist()
    if regime is None and len(regimes) > 1:
        raise ScenarioError(f"outcome {outcome} is read on {', '.join(regimes)}; name one of them")
    if regime is not None:
        if regime not in regimes:
            near = near_miss(regime, regimes)
            raise ScenarioError(f"outcome {outcome} is not read on {regime!r}{near}")
        rows = rows[rows["regime"] == regime]
    means = rows.groupby("point")["value"].mean().reindex(range(n_points))
    if means.isna().any():
        point = int(means.index[means.isna()][0])
        raise ScenarioError(f"outcome {outcome} has no value at point {point}; see failures")
    return means.to_numpy(dtype=float)


def sobol_indices(
    design: Design, values: Floats, *, confidence: float = CONFIDENCE, seed: int = 0
) -> pd.DataFrame:
    """Estimate which share of the variance factors account for, alone and with others.

    First-order indices after Saltelli et al. (Computer Physics Communications 181, 2010), total
    ones after Jansen (1999); both by SALib. Estimates may lie a little outside 0 to 1.

    Parameters
    ----------
    design : by the method "saltelli".
    values : shape (n_samples,), the outcome at each point of one policy.

    Returns
    -------
    pd.DataFrame
        Columns order ("first", "total", "second"), factor, other (of second order), index, ci_low,
        ci_high.

    Raises
    ------
    ScenarioError
        If the design is another, there are too few values, or the outcome does not vary.
    """
    k = len(design.factors)
    _check(design, "saltelli", values)
    second_order = bool(design.options["second_order"])
    found = salib("analyze.sobol").analyze(
        unit_problem(k),
        np.asarray(values, dtype=float),
        calc_second_order=second_order,
        num_resamples=_RESAMPLES,
        conf_level=confidence,
        seed=spawning_stream(seed, "sobol indices"),
    )
    names = [one.key for one in design.factors]
    rows = [
        (order, names[i], "", found[key][i], found[f"{key}_conf"][i])
        for order, key in (("first", "S1"), ("total", "ST"))
        for i in range(k)
    ]
    if second_order:
        rows += [
            ("second", names[i], names[j], found["S2"][i, j], found["S2_conf"][i, j])
            for i in range(k)
            for j in range(i + 1, k)
        ]
    frame = pd.DataFrame(rows, columns=["order", "factor", "other", "index", "half"])
    half = frame.pop("half")
    return frame.assign(ci_low=frame["index"] - half, ci_high=frame["index"] + half)


def morris_effects(
    design: Design, values: Floats, *, confidence: float = CONFIDENCE, seed: int = 0
) -> pd.DataFrame:
    """Summarise elementary effects: what an outcome changes as one factor crosses its whole range.

    Parameters
    ----------
    design : by the method "morris".
    values : shape (n_samples,), the outcome at each point of one policy.

    Returns
    -------
    pd.DataFrame
        Columns factor, mu (mean effect), mu_star (mean size, Campolongo et al., Environmental
        Modelling & Software 22, 2007) with ci_low and ci_high, sigma (spread, by interaction or
        curvature), in units of the outcome.
    """
    _check(design, "morris", values)
    found: dict[str, Any] = salib("analyze.morris").analyze(
        unit_problem(len(design.factors)),
        design.unit,
        np.asarray(values, dtype=float),
        num_resamples=_RESAMPLES,
        conf_level=confidence,
        num_levels=design.options["levels"],
        seed=spawning_stream(seed, "morris effects"),
    )
    mu_star, half = np.asarray(found["mu_star"]), np.asarray(found["mu_star_conf"])
    return pd.DataFrame(
        {
            "factor": [one.key for one in design.factors],
            "mu": np.asarray(found["mu"]),
            "mu_star": mu_star,
            "ci_low": mu_star - half,
            "ci_high": mu_star + half,
            "sigma": np.asarray(found["sigma"]),
        }
    )


def _check(design: Design, method: str, values: Floats) -> None:
    if design.method != method:
        raise ScenarioError(f"this needs a design by {method!r}, got one by {design.method!r}")
    k, n = len(design.factors), int(design.options["n"])
    per_row = k + 1
    if method == "saltelli":
        per_row = points_per_row(bool(design.options["second_order"]), k)
    if np.shape(values) != (n * per_row,):
        raise ScenarioError(
            f"{method} with n = {n} and {k} factors needs {n * per_row} values, one per point, "
            f"got {np.shape(values)}"
        )
    if np.isnan(values).any():
        raise ScenarioError(f"point {int(np.isnan(values).argmax())} has no value")
    if np.ptp(values) == 0:
        raise ScenarioError(
            f"the outcome is {float(values[0]):g} at every point: no factor can account for it"
        )
