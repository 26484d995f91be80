"""Hedonics: the one place for what a price is made of, by least squares with robust intervals.

Hedonic regression (Rosen, Journal of Political Economy 82(1), 1974, doi:10.1086/260169) explains
prices by what is bought with a unit: nearness, bandwidth, law. Intervals do not assume one variance
for all rows: HC1 (MacKinnon and White, Journal of Econometrics 29(3), 1985,
doi:10.1016/0304-4076(85)90158-7), or, where rows come from few worlds that each share their luck,
clustered by world (Liang and Zeger, Biometrika 73(1), 1986, doi:10.1093/biomet/73.1.13) with
the usual small-sample factors and Student's t of one degree of freedom less than there are worlds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import stdtrit

from hanse.market.units import Flags, Floats, Integers
from hanse.scenarios.analysis.intervals import CONFIDENCE

INTERCEPT: Final = "(intercept)"

_SAME_DIRECTION: Final = 1e-9
"""A column of which no more than this is left, once earlier ones are taken out, is one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """A linear fit; columns have one row per term, the intercept first, if there is one.

    NaN stands for a coefficient that the rows do not identify: its column is constant or a
    combination of earlier ones. Intervals are at 95 %, NaN where there are too few rows or worlds.

    Attributes
    ----------
    coefficient, standard_error, low, high : in units of the outcome per unit of the term.
    r2 : share of the outcome's variance explained, 0 to 1, within groups if there are any; NaN
        where the outcome does not vary.
    n_clusters : groups of rows that share their luck; 0 if rows stand for themselves.
    """

    term: tuple[str, ...]
    coefficient: Floats
    standard_error: Floats
    low: Floats
    high: Floats
    r2: float
    n_rows: int
    n_clusters: int

    def __getitem__(self, term: str) -> tuple[float, float, float]:
        """Return coefficient, low and high of one term."""
        k = self.term.index(term)
        return float(self.coefficient[k]), float(self.low[k]), float(self.high[k])


def regress(
    outcome: Floats,
    terms: Mapping[str, Floats],
    *,
    cluster: Integers | None = None,
    within: Integers | None = None,
) -> Regression:
    """Fit an outcome by least squares on terms, and on an intercept or one level per group.

    Parameters
    ----------
    outcome : shape (n_rows,), finite.
    terms : columns of shape (n_rows,), finite, by name.
    cluster : shape (n_rows,), which world a row is from; each row stands for itself if not given.
    within : shape (n_rows,), which group a row is from: only differences within a group count, as
        if each group had a level of its own (Frisch and Waugh 1933). Groups lie within clusters.

    Raises
    ------
    ValueError
        If a column has another length than the outcome, or holds what is not finite.

    Examples
    --------
    >>> fit = regress(np.array([1.0, 3.0, 5.0, 7.5]), {"rtt": np.array([0.0, 1.0, 2.0, 3.0])})
    >>> fit.coefficient.round(6).tolist()
    [0.9, 2.15]
    """
    named = {name: np.asarray(column, float) for name, column in terms.items()}
    for name, column in ({"outcome": outcome} | named).items():
        if column.shape != outcome.shape or not np.isfinite(column).all():
            raise ValueError(f"{name} must hold {len(outcome)} finite numbers")
    n_levels = 0
    if within is None:
        named = {INTERCEPT: np.ones(len(outcome))} | named
    length = np.array([np.linalg.norm(column) for column in named.values()])
    if within is not None:
        _, group = np.unique(within, return_inverse=True)
        # Levels that lie within clusters take no degree of freedom from those.
        n_levels = int(group.max(initial=-1)) + 1 if cluster is None else 1
        outcome = _without_levels(outcome, group)
        named = {name: _without_levels(column, group) for name, column in named.items()}
    matrix = np.column_stack(list(named.values()))
    told = _identified(matrix, length)
    fitted, covariance, df = _fit(outcome, matrix[:, told], cluster=cluster, n_levels=n_levels)
    coefficient, error = (np.full(matrix.shape[1], np.nan) for _ in range(2))
    coefficient[told] = fitted
    error[told] = np.sqrt(np.diag(covariance))
    half = stdtrit(df, 0.5 + CONFIDENCE / 2) * error if df > 0 else np.full_like(error, np.nan)
    return Regression(
        term=tuple(named),
        coefficient=coefficient,
        standard_error=error,
        low=coefficient - half,
        high=coefficient + half,
        r2=_share_explained(outcome, outcome - matrix[:, told] @ fitted),
        n_rows=len(outcome),
        n_clusters=0 if cluster is None else len(np.unique(cluster)),
    )


def _without_levels(column: Floats, group: Integers) -> Floats:
    """Take the mean of its group off each row."""
    total, count = np.bincount(group, column), np.bincount(group)
    return np.asarray(column - (total / count)[group])


def _identified(matrix: Floats, length: Floats) -> Flags:
    """Say of each column whether it adds a direction to those before it (Gram and Schmidt).

    `length`, shape (n_columns,), is what rounding is measured by.
    """
    told = np.zeros(matrix.shape[1], bool)
    basis = np.empty((len(matrix), 0))
    for k, column in enumerate(matrix.T):
        rest = column - basis @ (basis.T @ column)
        rest -= basis @ (basis.T @ rest)  # once more, for what rounding has left
        told[k] = np.linalg.norm(rest) > _SAME_DIRECTION * length[k]
        if told[k]:
            basis = np.column_stack([basis, rest / np.linalg.norm(rest)])
    return told


def _fit(
    outcome: Floats, matrix: Floats, *, cluster: Integers | None, n_levels: int
) -> tuple[Floats, Floats, int]:
    """Return coefficients, their covariance, and the degrees of freedom of their intervals."""
    n_rows, n_terms = len(matrix), matrix.shape[1] + n_levels
    scale = np.linalg.norm(matrix, axis=0)
    unit = matrix / scale
    fitted, *_ = np.linalg.lstsq(unit, outcome, rcond=None)
    score = unit * (outcome - unit @ fitted)[:, None]
    if cluster is None:
        df = n_rows - n_terms
        factor = n_rows / df if df > 0 else np.nan
    else:
        _, group = np.unique(cluster, return_inverse=True)
        n_groups = int(group.max(initial=-1)) + 1
        total = np.zeros((n_groups, matrix.shape[1]))
        np.add.at(total, group, score)
        score, df = total, min(n_groups - 1, n_rows - n_terms)
        factor = np.nan
        if df > 0:
            factor = n_groups / (n_groups - 1) * (n_rows - 1) / (n_rows - n_terms)
    inverse = np.linalg.pinv(unit)
    # A product with itself: no rounding makes a variance negative, however alike columns are.
    influence = score @ (inverse @ inverse.T)
    covariance = factor * (influence.T @ influence)
    return fitted / scale, covariance / np.outer(scale, scale), df


def _share_explained(outcome: Floats, residual: Floats) -> float:
    spread = outcome - outcome.mean()
    total = float(spread @ spread)
    return 1.0 - float(residual @ residual) / total if total > 0 else float("nan")
