"""The one place for how much capacity owners add or give up, and where they put it.

All rules look at the margin of a season: what was earned per GPU-hour of capacity, energy paid.
"""

import numpy as np

from hanse.market.units import Floats, Integers


def hurdle_usd_per_hour(
    hardware_usd_per_hour: float, rate_per_year: Floats, *, years: float
) -> Floats:
    """Return what an hour of capacity must earn: its price, and interest on half of it.

    Written off evenly over `years`, half the price is tied up on average.

    Examples
    --------
    >>> hurdle_usd_per_hour(1.0, np.array([0.0, 0.1]), years=4.0).tolist()
    [1.0, 1.2]
    """
    return np.asarray(hardware_usd_per_hour * (1.0 + rate_per_year * years / 2.0))


def wanted_growth(margin: Floats, hurdle: Floats, *, growth_max: float, exit_max: float) -> Floats:
    """Return by which share capacity is to grow (or shrink): how far the margin is off the hurdle.

    Nobody invests below the hurdle. Hardware is sunk, so nobody leaves who covers its energy; from
    there on as many leave as the loss is of the hurdle. Unknown margins change nothing.

    Examples
    --------
    >>> wanted_growth(
    ...     np.array([1.05, 3.0, 0.5, -0.1, np.nan]), np.ones(5), growth_max=0.2, exit_max=0.3
    ... ).round(2).tolist()
    [0.05, 0.2, 0.0, -0.1, 0.0]
    """
    excess = np.where(np.isnan(margin), 0.0, margin / hurdle - 1.0)
    loss = np.where(np.isnan(margin), 0.0, margin / hurdle)
    growth = np.clip(excess, 0.0, growth_max) + np.clip(loss, -exit_max, 0.0)
    return np.asarray(growth)


def whole_units(wanted: Floats) -> Integers:
    """Round a column to whole numbers whose running sum stays within half of what was wanted.

    Examples
    --------
    >>> whole_units(np.array([0.4, 0.4, 0.4, 2.0])).tolist()
    [0, 1, 0, 2]
    """
    return np.asarray(np.diff(np.rint(np.cumsum(wanted)), prepend=0.0), np.int64)


def place_units(n_units: int, margin: Floats, *, is_open: Floats) -> Integers:
    """Spread new units over rows in proportion to their margins; evenly if none earns.

    Parameters
    ----------
    is_open : 1 for rows that may have units, 0 for others.

    Examples
    --------
    >>> place_units(4, np.array([3.0, 1.0, 5.0]), is_open=np.array([1.0, 1.0, 0.0])).tolist()
    [3, 1, 0]
    """
    if n_units == 0 or not is_open.any():
        return np.zeros(len(margin), np.int64)
    weight = is_open * np.maximum(0.0, np.nan_to_num(margin))
    weight = weight if weight.any() else is_open
    return whole_units(n_units * weight / weight.sum())
