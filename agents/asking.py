"""The one place for what owners ask, and when they care to change it.

An owner knows its own price, cost, capacity and what was asked of it, and believes in one
elasticity of demand, which it may learn from how its own sales have answered its own prices. It
works out the price that would have paid best; it prints a new list only if that would earn more
than printing costs, and then goes a share of the way.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.agents.learning_rules import move_towards
from hanse.market.units import Flags, Floats

W_PER_KW: Final = 1_000
LEAST_ELASTICITY: Final = 1.01
MOST_ELASTICITY: Final = 100.0
"""The bounds of `institutions.believed_elasticity`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experience:
    """What each row has seen of how its own demand answers its own price; shape (n_rows,).

    Attributes
    ----------
    price, demand : of the season before; NaN before the first.
    together, apart : sums of products of log-changes of price and demand, and of squared ones of
        price; older seasons are forgotten.
    """

    price: Floats
    demand: Floats
    together: Floats
    apart: Floats


def no_experience(n_rows: int) -> Experience:
    """Return rows that have seen nothing."""
    unknown, nothing = np.full(n_rows, np.nan), np.zeros(n_rows)
    return Experience(price=unknown, demand=unknown, together=nothing, apart=nothing)


def experienced(seen: Experience, price: Floats, demand: Floats, *, memory: float) -> Experience:
    """Return what rows have seen after one more season; only what moved tells anything."""
    with np.errstate(divide="ignore", invalid="ignore"):
        moved, answered = np.log(price / seen.price), np.log(demand / seen.demand)
        together, apart = moved * answered, moved**2
    told = np.isfinite(moved) & np.isfinite(answered)
    product, square = (np.where(told, one, 0.0) for one in (together, apart))
    return Experience(
        price=price,
        demand=demand,
        together=memory * seen.together + product,
        apart=memory * seen.apart + square,
    )


def believed_elasticity(seen: Experience, prior: float, *, rate: float) -> Floats:
    """Weigh a prior against one's own sales: at rate 0 it stays, at a high rate they alone count.

    It stays above 1, below which no price would be high enough.

    Examples
    --------
    >>> seen = experienced(
    ...     experienced(no_experience(1), np.array([1.0]), np.array([8.0]), memory=1.0),
    ...     np.array([2.0]), np.array([1.0]), memory=1.0,
    ... )
    >>> [believed_elasticity(seen, 1.5, rate=r).round(3).tolist() for r in (0.0, 1e9)]
    [[1.5], [3.0]]
    """
    weighed = (prior - rate * seen.together) / (1.0 + rate * seen.apart)
    return np.asarray(np.clip(weighed, LEAST_ELASTICITY, MOST_ELASTICITY))


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
    elasticity: float | Floats,
) -> Floats:
    """Return what an owner believes a price would earn: demand moves from what it was `at_price`.

    Demand and capacity are in hours of a season, prices and cost in USD per hour.
    """
    asked = demand * (price / at_price) ** np.negative(elasticity)
    return np.asarray((price - cost) * np.minimum(asked, capacity))


def best_price(
    *, price: Floats, cost: Floats, demand: Floats, capacity: Floats, elasticity: float | Floats
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
    if np.min(elasticity) <= 1.0:
        raise ValueError(f"elasticity must be above 1, got {np.min(elasticity)}")
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
    elasticity: float | Floats,
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
    elasticity: float | Floats,
    menu_cost_share: float,
    share: float,
) -> Floats:
    """Return what each owner asks next season: the old price, or a step towards the best one."""
    known = {"price": price, "cost": cost, "demand": demand, "capacity": capacity}
    best = best_price(**known, elasticity=elasticity)
    moves = changes_list(best, **known, elasticity=elasticity, menu_cost_share=menu_cost_share)
    return np.where(moves, move_towards(price, best, share=share), price)
