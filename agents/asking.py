"""The one place for what owners ask, and when they care to change it.

An owner knows its own price, cost, capacity and what was asked of it, and believes in one
elasticity of demand. It works out the price that would have paid best; it prints a new list only
if that would earn more than printing costs, and then goes a share of the way.
"""

from typing import Final

import numpy as np

from hanse.agents.learning_rules import move_towards
from hanse.market.units import Flags, Floats

W_PER_KW: Final = 1_000


def reservation_price(energy_usd: Floats, capital_usd: Floats, elsewhere_usd: Floats) -> Floats:
    """Return the least an owner takes per GPU-hour: its cost, or what it can earn elsewhere.

    Examples
    --------
    >>> reservation_price(np.array([0.1, 0.1]), np.array([0.9, 0.9]), np.array([0.0, 2.0])).tolist()
    [1.0, 2.0]
    """
    return np.maximum(energy_usd + capital_usd, elsewhere_usd)


def believed_profit(
    price: Floats,
    *,
    at_price: Floats,
    cost: Floats,
    demand: Floats,
    capacity: Floats,
    elasticity: float,
) -> Floats:
    """Return what an owner believes a price would earn: demand moves from what it was `at_price`.

    Demand and capacity are in hours of a season, prices and cost in USD per hour.
    """
    asked = demand * (price / at_price) ** -elasticity
    return np.asarray((price - cost) * np.minimum(asked, capacity))


def best_price(
    *, price: Floats, cost: Floats, demand: Floats, capacity: Floats, elasticity: float
) -> Floats:
    """Return the price that an owner believes best: the mark-up, or more where units run out.

    The mark-up is cost times e / (e - 1); where demand at that exceeds capacity, the price at which
    it just does not. Who saw no demand at all asks its cost: it has nothing to lose.

    Examples
    --------
    >>> best_price(
    ...     price=np.array([4.0, 4.0]), cost=np.array([1.0, 1.0]), demand=np.array([1.0, 160.0]),
    ...     capacity=np.array([10.0, 10.0]), elasticity=2.0,
    ... ).tolist()
    [2.0, 16.0]
    """
    if elasticity <= 1.0:
        raise ValueError(f"elasticity must be above 1, got {elasticity}")
    mark_up = cost * elasticity / (elasticity - 1.0)
    clearing = price * (demand / np.maximum(capacity, 1e-12)) ** (1.0 / elasticity)
    best = np.maximum(mark_up, clearing)
    return np.where(demand > 0.0, best, cost)


def changes_list(
    best: Floats,
    *,
    price: Floats,
    cost: Floats,
    demand: Floats,
    capacity: Floats,
    elasticity: float,
    menu_cost_share: float,
) -> Flags:
    """Say who prints a new list: whose believed gain exceeds the menu cost.

    The menu cost is a share of what the season's sales were worth at the old price. Without any
    sales a new list costs nothing that counts.
    """
    new, old = (
        believed_profit(
            one,
            at_price=price,
            cost=cost,
            demand=demand,
            capacity=capacity,
            elasticity=elasticity,
        )
        for one in (best, price)
    )
    menu_cost = menu_cost_share * price * np.minimum(demand, capacity)
    return np.asarray((new - old > menu_cost) | ((demand <= 0.0) & (best != price)))


def next_price(
    *,
    price: Floats,
    cost: Floats,
    demand: Floats,
    capacity: Floats,
    elasticity: float,
    menu_cost_share: float,
    share: float,
) -> Floats:
    """Return what each owner asks next season: the old price, or a step towards the best one."""
    known = {"price": price, "cost": cost, "demand": demand, "capacity": capacity}
    best = best_price(**known, elasticity=elasticity)
    moves = changes_list(best, **known, elasticity=elasticity, menu_cost_share=menu_cost_share)
    return np.where(moves, move_towards(price, best, share=share), price)
