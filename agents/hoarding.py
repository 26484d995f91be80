"""The one place for how much capacity a buyer holds for itself, and what becomes of the rest.

A buyer who does not know what it will need holds the newsvendor's stock: the quantile of its need
at which being one unit short costs it as much, in expectation, as one unit idle. Both costs are its
own; what its idle unit is worth to somebody else enters nowhere.
"""

import numpy as np
from scipy.special import ndtr, ndtri

from hanse.agents.sums import summed
from hanse.market.exchange.rationing import fixed_price_in_proportion, inflated_orders
from hanse.market.units import Floats, Integers

HIGHEST_RATIO = 0.9999
"""Normal quantiles have no end; who would hold more than this one holds no more."""


def critical_ratio(shortage_usd: Floats, holding_usd: Floats) -> Floats:
    """Return cu / (cu + co): which quantile of need is worth holding; 0 if nothing is lost.

    Examples
    --------
    >>> critical_ratio(np.array([9.0, 0.0, 1.0]), np.array([1.0, 1.0, 0.0])).tolist()
    [0.9, 0.0, 1.0]
    """
    total = shortage_usd + holding_usd
    return np.divide(shortage_usd, total, out=np.zeros_like(total), where=shortage_usd > 0)


def safety_units(sd: Floats, ratio: Floats) -> Floats:
    """Return what is held on top of the mean need: z(cu / (cu + co)) sd; negative below a half.

    Examples
    --------
    >>> safety_units(np.array([1.0, 2.0]), np.array([0.9, 0.5])).round(3).tolist()
    [1.282, 0.0]
    """
    return np.asarray(sd * ndtri(np.clip(ratio, 1.0 - HIGHEST_RATIO, HIGHEST_RATIO)))


def pooled(mean: Floats, sd: Floats, pool: Integers) -> tuple[Floats, Floats]:
    """Return mean and spread of the needs of pools, whose members' needs are independent.

    Examples
    --------
    >>> [x.tolist() for x in pooled(np.ones(3), np.array([3.0, 4.0, 1.0]), np.array([0, 0, 1]))]
    [[2.0, 1.0], [5.0, 1.0]]
    """
    n_pools = int(pool.max(initial=-1)) + 1
    return summed(pool, mean, n_pools), np.sqrt(summed(pool, sd**2, n_pools))


def reserve_units(mean: Floats, sd: Floats, ratio: Floats) -> Floats:
    """Return the stock of each buyer: the quantile of its need, and nothing if none is lost.

    Examples
    --------
    >>> reserve_units(np.array([5.0, 5.0]), np.ones(2), np.array([0.5, 0.0])).tolist()
    [5.0, 0.0]
    """
    return np.where(ratio > 0.0, np.maximum(0.0, mean + safety_units(sd, ratio)), 0.0)


def granted_units(wanted: Integers, *, supply_units: int, cap_multiple: float) -> Integers:
    """Share what may be reserved out in proportion to orders, which buyers inflate up to a cap.

    Parameters
    ----------
    cap_multiple : how many times its need anybody may order; at 1 orders are needs. Nobody keeps
        more than it needs.

    Examples
    --------
    >>> granted_units(np.array([60, 20]), supply_units=40, cap_multiple=1.0).tolist()
    [30, 10]
    """
    order = wanted
    if cap_multiple > 1.0 and len(wanted):
        cap = max(int(wanted.max()), int(cap_multiple * float(wanted.mean())))
        order = inflated_orders(wanted, supply_units=supply_units, cap_units=cap)
    grant = fixed_price_in_proportion(order, supply_units=supply_units, price_nano_usd=0)
    return np.minimum(grant.granted_units, wanted)


def kept_units(
    held: Integers, need: Floats, *, sd: Floats, salvage_usd: Floats, shortage_usd: Floats
) -> Integers:
    """Return how much of its stock a buyer keeps once it has an idea of its need.

    A spare unit is kept while the chance of needing it, times what lacking it costs, exceeds what
    it would fetch: up to the quantile 1 - salvage / shortage of what is still uncertain.

    Examples
    --------
    >>> kept_units(
    ...     np.array([9, 9]), np.array([4.0, 4.0]), sd=np.array([2.0, 2.0]),
    ...     salvage_usd=np.array([1.0, 0.0]), shortage_usd=np.array([2.0, 2.0]),
    ... ).tolist()
    [4, 9]
    """
    short = np.maximum(shortage_usd, 1e-12)
    risk = np.clip(salvage_usd / short, 1.0 - HIGHEST_RATIO, HIGHEST_RATIO)
    keep = np.where(salvage_usd <= 0.0, np.inf, need - sd * ndtri(risk))
    return np.asarray(np.minimum(held, np.ceil(np.maximum(0.0, keep))), np.int64)


def chance_of_shortage(stock: Floats, mean: Floats, sd: Floats) -> Floats:
    """Return how likely a need is to exceed a stock.

    Examples
    --------
    >>> chance_of_shortage(np.array([1.0]), np.array([1.0]), np.array([2.0])).tolist()
    [0.5]
    """
    return np.asarray(1.0 - ndtr((stock - mean) / np.maximum(sd, 1e-12)))


def allot_nodes(
    units: Integers, *, buyer_region: Integers, node_region: Integers, rtt_ms: Floats
) -> Integers:
    """Give each buyer its units, the nearest first; return whose each node is, or -1.

    Who holds most chooses first; of equals, the first by index.

    Examples
    --------
    >>> rtt = np.array([[0.0, 9.0], [9.0, 0.0]])
    >>> allot_nodes(
    ...     np.array([1, 2]), buyer_region=np.array([0, 1]), node_region=np.array([0, 0, 1]),
    ...     rtt_ms=rtt,
    ... ).tolist()
    [1, 0, 1]
    """
    tenant = np.full(len(node_region), -1)
    for buyer in np.argsort(-units, kind="stable")[: int((units > 0).sum())]:
        free = np.flatnonzero(tenant < 0)
        distance = rtt_ms[buyer_region[buyer], node_region[free]]
        tenant[free[np.argsort(distance, kind="stable")[: units[buyer]]]] = buyer
    return tenant
