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

_SMALLEST: Final = 1e-300
_STEEPEST: Final = 1e100
_STEPS_MAX: Final = 60
_IDLE_MAX: Final = 6
_GAIN: Final = 1e-7
_NUDGE: Final = 1e-6
_DAMPING: Final = 1e-2

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
    share: Floats = x[None, :, None] / x.max()
    return share


def _power(x: Floats, shape: Floats) -> Floats:
    raised: Floats = _share(x) ** shape[:, None, :1]
    return raised


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
        grid=((1.0,), (2.0,), (4.0,), (8.0,), (16.0,), (32.0,)),
        low=(1.0,),
        high=(200.0,),
    ),
    GrowthLaw(
        name="stretched exponential",
        growth_class=EXPONENTIAL,
        n_columns=1,
        columns=_stretched,
        grid=tuple((rate, d) for rate in (2.0, 4.0, 10.0, 24.0) for d in (0.5, 0.75)),
        low=(2.0, 0.4),
        high=(200.0, 1.0),
    ),
    GrowthLaw(
        name="hyperbolic",
        growth_class=HYPERBOLIC,
        n_columns=1,
        columns=_hyperbolic,
        grid=((0.01,), (0.03,), (0.1,), (0.3,), (1.0,)),
        low=(1e-4,),
        high=(1.0,),
    ),
    GrowthLaw(
        name="logistic",
        growth_class=SATURATING,
        n_columns=1,
        columns=_logistic,
        grid=tuple((middle, slope) for middle in (0.25, 0.5, 0.75) for slope in (5.0, 12.0, 30.0)),
        low=(0.0, 4.0),
        high=(1.0, 200.0),
    ),
)
"""Every law has an offset. A curve that is nearly straight over the range is a straight line: an
exponential grows by a factor of e at least, from the smallest share of the axis to the largest x, a
hyperbola has its pole beyond the largest x and below its double, a logistic curve bends within."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelMeans:
    """What is known of samples at each level: as much as their likelihood depends on.

    Attributes
    ----------
    mean_log, weight : shape (n, n_levels), mean logarithm of the response, and of how many values;
        a level of weight 0 does not count.
    within : shape (n,), squares of the logarithms about their level means.
    """

    mean_log: Floats
    weight: Floats
    within: Floats


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


def fit_law(law: GrowthLaw, x: Floats, sample: LevelMeans) -> Fits:
    """Fit a law by maximum likelihood, to all samples at once."""
    return _descend(law, x, sample=sample, theta=_start(law, x, sample))


def log_mean(law: GrowthLaw, x: Floats, theta: Floats) -> Floats:
    """Return the logarithm of the mean, kept from what is not positive."""
    logged: Floats = np.log(np.maximum(law.mean(x, theta), _SMALLEST))
    return logged


def _start(law: GrowthLaw, x: Floats, sample: LevelMeans) -> Floats:
    """Return the best of the starts, coefficients by least squares of relative errors."""
    n, root = len(sample.mean_log), np.sqrt(sample.weight)
    best, least = np.zeros((n, law.n_parameters)), np.full(n, np.inf)
    scale = root * np.exp(-sample.mean_log)
    for shape in law.grid:
        columns = law.columns(x, np.array([shape]))[0]
        design = np.concatenate([np.ones((len(x), 1)), columns], axis=1)
        coefficient = _solved(design[None] * scale[:, :, None], root, damping=np.full(n, 1e-9))
        theta = np.concatenate([coefficient, np.tile(shape, (n, 1))], axis=1)
        squares = _squares(law, x, theta=theta, sample=sample)
        is_better = squares < least
        best[is_better], least[is_better] = theta[is_better], squares[is_better]
    return best


def _solved(slope: Floats, target: Floats, *, damping: Floats) -> Floats:
    """Solve damped least squares, columns brought to one length first: they may differ by much."""
    length = np.maximum(np.sqrt((slope**2).sum(axis=1, keepdims=True)), _SMALLEST)
    even = slope / length
    gram = even.transpose(0, 2, 1) @ even
    gram += damping[:, None, None] * np.eye(gram.shape[1])
    found = np.linalg.solve(gram, even.transpose(0, 2, 1) @ target[:, :, None])
    solution: Floats = found[..., 0] / length[:, 0]
    return solution


def _squares(law: GrowthLaw, x: Floats, *, theta: Floats, sample: LevelMeans) -> Floats:
    miss = sample.mean_log - log_mean(law, x, theta)
    total: Floats = (sample.weight * miss**2).sum(axis=1)
    return total


def _descend(law: GrowthLaw, x: Floats, *, sample: LevelMeans, theta: Floats) -> Fits:
    """Descend by the method of Levenberg and Marquardt, all samples at once."""
    n_linear = 1 + law.n_columns
    low = np.array([-np.inf] * n_linear + list(law.low))
    high = np.array([np.inf] * n_linear + list(law.high))
    root = np.sqrt(sample.weight)
    squares = _squares(law, x, theta=theta, sample=sample)
    damping = np.full(len(theta), _DAMPING)
    n_idle = 0
    for _ in range(_STEPS_MAX):
        slope = _slopes(law, x, theta) * root[:, :, None]
        miss = (sample.mean_log - log_mean(law, x, theta)) * root
        tried = np.clip(theta + _solved(slope, miss, damping=damping), low, high)
        found = _squares(law, x, theta=tried, sample=sample)
        is_better = found < squares
        n_idle = 0 if (found < squares * (1.0 - _GAIN)).any() else n_idle + 1
        theta = np.where(is_better[:, None], tried, theta)
        squares = np.where(is_better, found, squares)
        damping = np.clip(np.where(is_better, damping / 5.0, damping * 4.0), 1e-9, 1e9)
        if n_idle == _IDLE_MAX:
            break
    return Fits(law=law, theta=theta, squares=squares)


def _slopes(law: GrowthLaw, x: Floats, theta: Floats) -> Floats:
    """Differentiate the logarithm of the mean by each parameter; by shapes through differences."""
    n_linear = 1 + law.n_columns
    columns = law.columns(x, theta[:, n_linear:])
    mean = np.maximum(law.mean(x, theta), _SMALLEST)
    slopes = np.ones((*mean.shape, theta.shape[1]))
    slopes[:, :, 1:n_linear] = columns
    for k in range(n_linear, theta.shape[1]):
        nudge = _NUDGE * (np.abs(theta[:, k]) + 1e-3)
        moved = theta.copy()
        moved[:, k] += nudge
        slopes[:, :, k] = (law.mean(x, moved) - law.mean(x, theta)) / nudge[:, None]
    bounded: Floats = np.clip(slopes / mean[:, :, None], -_STEEPEST, _STEEPEST)
    return bounded
