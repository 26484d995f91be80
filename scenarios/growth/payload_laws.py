"""Payload laws: what is left for payload under a power limit or a growing overhead, in closed form.

Nothing here is run: engine and ledgers know none of it, and tests hold their output against it.
"""

from math import exp, inf, log

import numpy as np

from hanse.market.units import Floats

_ODDS_90_10 = log(81.0)


def tokens_per_s(
    tokens_per_j: float, limit_w: float, *, coordination_w: float = 0.0, idle_w: float = 0.0
) -> float:
    """Return the output of a site at its power limit, coordination and idling taken off.

    Without them it is tokens per joule times watts. What is left out there
    (docs/why/what-huangs-equation-leaves-out.md) comes off before efficiency multiplies.

    Examples
    --------
    >>> tokens_per_s(0.1, 1000.0)
    100.0
    >>> tokens_per_s(0.1, 1000.0, coordination_w=200.0, idle_w=300.0)
    50.0
    """
    return tokens_per_j * max(0.0, limit_w - coordination_w - idle_w)


def fraction_of_product_law(dimensions: Floats, *, unit: float, levels: float) -> Floats:
    """Return the payload fraction where overhead is `unit * levels**dimensions` of payload.

    It is logistic in the number of dimensions.
    """
    return np.asarray(1.0 / (1.0 + unit * levels**dimensions))


def fraction_of_linear_law(dimensions: Floats, *, unit: float) -> Floats:
    """Return the payload fraction where overhead is `unit * dimensions` of payload."""
    return np.asarray(1.0 / (1.0 + unit * dimensions))


def midpoint(unit: float, levels: float) -> float:
    """Return how many dimensions leave half under the product law; `levels` is above 1."""
    return -log(unit) / log(levels)


def width_90_10(levels: float) -> float:
    """Return over how many dimensions the payload fraction falls from 90 to 10 per cent.

    Examples
    --------
    >>> round(width_90_10(2.0), 2)
    6.34
    """
    return _ODDS_90_10 / log(levels)


def midpoint_shift(efficiency: float, levels: float) -> float:
    """Return by how much the midpoint moves where overhead falls by this factor.

    Examples
    --------
    >>> round(midpoint_shift(10.0, 2.0), 2)
    3.32
    """
    return log(efficiency) / log(levels)


def margin(share: float, *, threshold: float = 0.5) -> float:
    """Return by what factor coordination power would have to grow to reach a share of the limit."""
    return threshold / share if share > 0.0 else inf


def first_passage_years(
    share: float, *, threshold: float, overhead_rate: float, capacity_rate: float
) -> float:
    """Return when exponential overhead reaches a share of exponential capacity.

    Parameters
    ----------
    share : of capacity now.
    overhead_rate, capacity_rate : logarithmic growth per year; a dimension a year under the
        product law is a rate of `log(levels)`.

    Returns
    -------
    float
        Zero where it is reached already, infinite where it never is.
    """
    if share >= threshold:
        return 0.0
    if overhead_rate <= capacity_rate or share <= 0.0:
        return inf
    return log(threshold / share) / (overhead_rate - capacity_rate)


def share_after(years: float, share: float, *, overhead_rate: float, capacity_rate: float) -> float:
    """Return the share of capacity that exponential overhead takes after some years."""
    return share * exp((overhead_rate - capacity_rate) * years)
