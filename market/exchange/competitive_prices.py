"""The one place for the range of prices at which a book of unit requests clears.

Competitive prices of an assignment market form a lattice (Shapley and Shubik, International Journal
of Game Theory 1, 1971, doi:10.1007/BF01753437): if two price columns support an allocation, so do
their largest and their smallest entries. The least prices are what one more unit would add to
welfare, the greatest what one unit less would take away (Gul and Stacchetti, Journal of Economic
Theory 87(1), 1999, doi:10.1006/jeth.1999.2531).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.market.clearing import certificate, clear_welfare, clearing_scratch
from hanse.market.units import Integers

UNBOUNDED: Final = 1 << 62
"""The greatest price of a sink without units: nothing is sold there at any price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceLattice:
    """The least and the greatest competitive price of each sink, in nano-USD per unit.

    Buyers like the least best, whoever owns the units the greatest. Not every column in between
    is competitive.
    """

    least_nano_usd: Integers
    greatest_nano_usd: Integers


def price_lattice(net_value: Integers, capacity: Integers) -> PriceLattice:
    """Return both ends of the competitive prices of a book, exactly.

    Parameters
    ----------
    net_value : nano-USD, shape (n_requests, n_sinks), as in `hanse.market.clearing.clear_welfare`.
    capacity : units, shape (n_sinks,).

    Examples
    --------
    >>> book = np.array([[8, 4, 7], [5, 2, 3], [9, 4, 8]])
    >>> lattice = price_lattice(book, np.array([1, 1, 1]))
    >>> lattice.least_nano_usd.tolist(), lattice.greatest_nano_usd.tolist()
    ([3, 0, 2], [6, 2, 5])
    """
    welfare, least = _welfare_and_prices(net_value, capacity)
    greatest = np.full(len(capacity), UNBOUNDED, np.int64)
    for sink in np.flatnonzero(capacity > 0):
        fewer = capacity.copy()
        fewer[sink] -= 1
        greatest[sink] = welfare - _welfare_and_prices(net_value, fewer)[0]
    return PriceLattice(least_nano_usd=least, greatest_nano_usd=greatest)


def _welfare_and_prices(net_value: Integers, capacity: Integers) -> tuple[int, Integers]:
    n_requests, n_sinks = net_value.shape
    assignment, price = np.empty(n_requests, np.int64), np.empty(n_sinks, np.int64)
    clear_welfare(net_value, capacity, assignment, price, clearing_scratch(n_requests, n_sinks))
    return int(certificate(net_value, capacity, assignment, price).primal_nano_usd), price
