"""The one place that draws when jobs arrive: renewal streams, by the hour, and step by step."""

from collections.abc import Sequence

import numpy as np

from hanse.market.units import Floats

_HOURS_PER_DAY = 24
_SECONDS_PER_DAY = 86_400
_GRID_S = 60


def renewal_instants(
    rng: np.random.Generator, *, expected: float, cv: float, horizon_s: float
) -> Floats:
    """Draw the instants of a stationary Gamma renewal stream in [0, horizon), in seconds.

    The first gap is a residual one, so the stream is in equilibrium from the start and the mean
    count is exactly `expected`: a length-biased Gamma gap has one more in its shape, and a uniform
    share of it is left (Cox 1962, section 5.4).

    Parameters
    ----------
    expected : mean number of instants in the horizon.
    cv : coefficient of variation of the gaps, > 0; 1 is a Poisson stream.
    """
    if expected == 0:
        return np.empty(0)
    shape = cv**-2
    scale = horizon_s / (expected * shape)
    last = rng.gamma(shape + 1.0, scale) * rng.random()
    blocks = [np.array([last])]
    # Four standard deviations of the count: a second block is rare, whatever the burstiness.
    size = 16 + int(expected + 4.0 * cv * expected**0.5)
    while last < horizon_s:
        blocks.append(last + np.cumsum(rng.gamma(shape, scale, size)))
        last = float(blocks[-1][-1])
    instants = np.concatenate(blocks)
    return instants[: int(np.searchsorted(instants, horizon_s))]


def daily_instants(
    instants_s: Floats, *, horizon_s: float, kappa: float, peak_hour: float
) -> Floats:
    """Move instants of a stationary stream so that their rate follows the hour of the day.

    The rate is proportional to exp(kappa cos(hour - peak)), a von Mises density, scaled so that
    the horizon holds as many arrivals as before (time rescaling).
    """
    grid_s = np.linspace(0.0, horizon_s, 1 + int(np.ceil(horizon_s / _GRID_S)))
    angle = 2.0 * np.pi * (grid_s / _SECONDS_PER_DAY - peak_hour / _HOURS_PER_DAY)
    rate = np.exp(kappa * np.cos(angle))
    steps = np.cumsum((rate[1:] + rate[:-1]) * np.diff(grid_s) / 2.0)
    operational_s = np.concatenate([[0.0], steps]) * (horizon_s / steps[-1])
    return np.interp(instants_s, operational_s, grid_s)


def stepped_instants(instants_s: Floats, *, horizon_s: float, rates: Sequence[float]) -> Floats:
    """Move instants of a stationary stream so that their rate goes in steps (time rescaling).

    Parameters
    ----------
    rates : of equal parts of the horizon, against one another; not all 0. The horizon holds as many
        arrivals as before, and none where the rate is 0.
    """
    ends_s = np.linspace(0.0, horizon_s, len(rates) + 1)
    total = np.cumsum(rates)
    operational_s = np.concatenate([[0.0], total / total[-1]]) * horizon_s
    step = np.searchsorted(operational_s, instants_s, side="right") - 1
    share = (instants_s - operational_s[step]) / np.diff(operational_s)[step]
    return ends_s[step] + share * (horizon_s / len(rates))
