"""Growth laws: the one place for the ways in which a cost can grow, and for fitting them.

Each law is an offset and some columns, of which the shape may depend on further numbers:
mean(x) = offset + sum of coefficient x column(x; shape). Errors are lognormal, so that all laws are
fitted on one scale, that of the logarithm of the response. Many samples are fitted at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.market.units import Floats

FLAT, LOGARITHMIC, POLYNOMIAL = "flat", "logarithmic", "polynomial"
EXPONENTIAL, HYPERBOLIC, SATURATING = "exponential", "hyperbolic", "saturating"
GROWTH_CLASSES: Final = (
    FLAT,
    LOGARITHMIC,
    POLYNOMIAL,
    EXPONENTIAL,
    HYPERBOLIC,
    SATURATING,
)

_SMALLEST: Final = 1e-9
_STEPS: Final = 40
_NUDGE: Final = 1e-6
_DAMPING: Final = 1e-2
_DAMPING_MAX: Final = 1e12

Columns = Callable[[Floats, Floats], Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthLaw:
    """One way of growing.

    Attributes
    ----------
    columns : of x, shape (n_levels,), and shape numbers, shape (n, n_shapes); returns shape
        (n, n_levels, n_columns). Shape numbers are about x over its largest value.
    grid : where the search for the shape numbers starts, shape (n_starts, n_shapes).
    low, high : bounds of the shape numbers.
    """

    name: str
    growth_class: str
    n_columns: int
    columns: Columns
    grid: tuple[tuple[float, ...], ...] = ((),)
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    @property
    def n_parameters(self) -> int:
        """Return how many numbers the mean has."""
        return 1 + self.n_columns + len(self.low)

    def mean(self, x: Floats, theta: Floats) -> Floats:
        """Return the mean at each level; theta has shape (n, n_parameters)."""
        coefficient = theta[:, 1 : 1 + self.n_columns, None]
        columns = self.columns(x, theta[:, 1 + self.n_columns :])
        total: Floats = theta[:, :1] + (columns @ coefficient)[..., 0]
        return total


def _plain(*columns: Callable[[Floats], Floats]) -> Columns:
    """Make columns that have no shape."""

    def of(x: Floats, shape: Floats) -> Floats:
        stacked = np.stack([column(x) for column in columns], axis=-1)
        return np.broadcast_to(stacked, (len(shape), *stacked.shape))

    return of


def _none(x: Floats, shape: Floats) -> Floats:
    return np.zeros((len(shape), len(x), 0))


def _share(x: Floats) -> Floats:
    """Return x over its largest value, ready to meet shape numbers."""
    return x[None, :, None] / x.max()


def _power(x: Floats, shape: Floats) -> Floats:
    return _share(x) ** shape[:, None, :1]


def _exponential(x: Floats, shape: Floats) -> Floats:
    grown: Floats = np.exp(shape[:, None, :1] * (_share(x) - 1.0))
    return grown


def _stretched(x: Floats, shape: Floats) -> Floats:
    grown: Floats = np.exp(shape[:, None, :1] * (_share(x) ** shape[:, None, 1:2] - 1.0))
    return grown


def _hyperbolic(x: Floats, shape: Floats) -> Floats:
    return _share(x) / (1.0 + shape[:, None, :1] - _share(x))


def _logistic(x: Floats, shape: Floats) -> Floats:
    middle, slope = shape[:, None, :1], shape[:, None, 1:2]
    grown: Floats = 1.0 / (1.0 + np.exp(-slope * (_share(x) - middle)))
    return grown


GROWTH_LAWS: Final = (
    GrowthLaw(name="constant", growth_class=FLAT, n_columns=0, columns=_none),
    GrowthLaw(name="log x", growth_class=LOGARITHMIC, n_columns=1, columns=_plain(np.log)),
    GrowthLaw(
        name="x", growth_class=POLYNOMIAL, n_columns=1, columns=_plain(lambda x: x / x.max())
    ),
    GrowthLaw(
        name="x log x",
        growth_class=POLYNOMIAL,
        n_columns=1,
        columns=_plain(lambda x: x * np.log(x) / x.max()),
    ),
    GrowthLaw(
        name="power",
        growth_class=POLYNOMIAL,
        n_columns=1,
        columns=_power,
        grid=((0.25,), (0.5,), (1.0,), (1.5,), (2.0,), (3.0,), (4.0,), (6.0,)),
        low=(0.05,),
        high=(8.0,),
    ),
    GrowthLaw(
        name="quadratic",
        growth_class=POLYNOMIAL,
        n_columns=2,
        columns=_plain(lambda x: x / x.max(), lambda x: (x / x.max()) ** 2),
    ),
    GrowthLaw(
        name="exponential",
        growth_class=EXPONENTIAL,
        n_columns=1,
        columns=_exponential,
        grid=((0.5,), (1.0,), (2.0,), (4.0,), (8.0,), (16.0,), (32.0,)),
        low=(0.05,),
        high=(200.0,),
    ),
    GrowthLaw(
        name="stretched exponential",
        growth_class=EXPONENTIAL,
        n_columns=1,
        columns=_stretched,
        grid=tuple((rate, d) for rate in (1.0, 4.0, 10.0, 24.0) for d in (0.4, 0.7)),
        low=(0.05, 0.2),
        high=(200.0, 1.0),
    ),
    GrowthLaw(
        name="hyperbolic",
        growth_class=HYPERBOLIC,
        n_columns=1,
        columns=_hyperbolic,
        grid=((0.01,), (0.03,), (0.1,), (0.3,), (1.0,), (4.0,)),
        low=(1e-4,),
        high=(10.0,),
    ),
    GrowthLaw(
        name="logistic",
        growth_class=SATURATING,
        n_columns=1,
        columns=_logistic,
        grid=tuple((middle, slope) for middle in (0.25, 0.5, 0.75) for slope in (5.0, 12.0, 30.0)),
        low=(0.0, 0.5),
        high=(1.0, 200.0),
    ),
)
"""Every law has an offset, and grows; the pole of the hyperbola lies beyond the largest x."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fits:
    """One law fitted to many samples.

    Attributes
    ----------
    theta : shape (n, n_parameters), coefficients first, then shape numbers.
    squares : shape (n,), weighted squares of the logarithm's residuals about the level means.
    """

    law: GrowthLaw
    theta: Floats
    squares: Floats


def fit_law(law: GrowthLaw, x: Floats, mean_log: Floats, weight: Floats) -> Fits:
    """Fit a law by maximum likelihood to level means of the logarithm of the response.

    Parameters
    ----------
    x : shape (n_levels,), above 0.
    mean_log, weight : shape (n, n_levels); a level of weight 0 does not count.
    """
    theta = _start(law, x, mean_log, weight)
    return _descend(law, x, theta=theta, mean_log=mean_log, weight=weight)


def log_mean(law: GrowthLaw, x: Floats, theta: Floats) -> Floats:
    """Return the logarithm of the mean, kept from what is not positive."""
    logged: Floats = np.log(np.maximum(law.mean(x, theta), _SMALLEST))
    return logged


def _start(law: GrowthLaw, x: Floats, mean_log: Floats, weight: Floats) -> Floats:
    """Return the best of the starts, coefficients by least squares of relative errors."""
    n = len(mean_log)
    best, least = np.zeros((n, law.n_parameters)), np.full(n, np.inf)
    level = np.exp(mean_log)
    scale = np.sqrt(weight) / level
    for shape in law.grid:
        columns = law.columns(x, np.array([shape]))[0]
        design = np.concatenate([np.ones((len(x), 1)), columns], axis=1)
        scaled = design[None] * scale[:, :, None]
        gram = scaled.transpose(0, 2, 1) @ scaled
        gram += 1e-10 * np.trace(gram, axis1=1, axis2=2)[:, None, None] * np.eye(design.shape[1])
        right = scaled.transpose(0, 2, 1) @ np.sqrt(weight)[:, :, None]
        coefficient = np.linalg.solve(gram, right)[..., 0]
        theta = np.concatenate([coefficient, np.tile(shape, (n, 1))], axis=1)
        squares = _squares(law, x, theta, mean_log, weight)
        is_better = squares < least
        best[is_better], least[is_better] = theta[is_better], squares[is_better]
    return best


def _squares(law: GrowthLaw, x: Floats, theta: Floats, mean_log: Floats, weight: Floats) -> Floats:
    total: Floats = (weight * (mean_log - log_mean(law, x, theta)) ** 2).sum(axis=1)
    return total


def _descend(law: GrowthLaw, x: Floats, *, theta: Floats, mean_log: Floats, weight: Floats) -> Fits:
    """Descend by the method of Levenberg and Marquardt, all samples at once."""
    n_linear = 1 + law.n_columns
    low = np.array([-np.inf] * n_linear + list(law.low))
    high = np.array([np.inf] * n_linear + list(law.high))
    squares = _squares(law, x, theta, mean_log, weight)
    damping = np.full(len(theta), _DAMPING)
    for _ in range(_STEPS):
        slope = _slopes(law, x, theta) * np.sqrt(weight)[:, :, None]
        miss = (mean_log - log_mean(law, x, theta)) * np.sqrt(weight)
        gram = slope.transpose(0, 2, 1) @ slope
        ridge = np.einsum("nii->ni", gram) + _SMALLEST
        gram[:, range(gram.shape[1]), range(gram.shape[1])] += damping[:, None] * ridge
        step = np.linalg.solve(gram, slope.transpose(0, 2, 1) @ miss[:, :, None])[..., 0]
        tried = np.clip(theta + step, low, high)
        found = _squares(law, x, tried, mean_log, weight)
        is_better = found < squares
        theta = np.where(is_better[:, None], tried, theta)
        squares = np.where(is_better, found, squares)
        damping = np.clip(np.where(is_better, damping / 5.0, damping * 4.0), 1e-12, _DAMPING_MAX)
    return Fits(law=law, theta=theta, squares=squares)


def _slopes(law: GrowthLaw, x: Floats, theta: Floats) -> Floats:
    """Differentiate the logarithm of the mean by each parameter, by differences."""
    here = log_mean(law, x, theta)
    slopes = np.zeros((*here.shape, theta.shape[1]))
    for k in range(theta.shape[1]):
        nudge = _NUDGE * np.maximum(np.abs(theta[:, k]), 1e-3)
        moved = theta.copy()
        moved[:, k] += nudge
        slopes[:, :, k] = (log_mean(law, x, moved) - here) / nudge[:, None]
    return slopes
