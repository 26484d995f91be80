"""The one place for bids on packages: what is sold exactly, and whether item prices explain it.

With complements, prices of single items that support the best allocation need not exist; they do
if and only if the linear relaxation is worth no more than the best allocation (Bikhchandani and
Mamer, Journal of Economic Theory 74(2), 1997, doi:10.1006/jeth.1996.2269). Where they do not, none
are reported: a price that nobody would trade at is not a price.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from hanse.market.exchange.bid_columns import money_column, whole_column
from hanse.market.units import Floats, Integers

_EXACT_LIMIT: Final = 1 << 53
_INFEASIBLE: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageClearing:
    """Which package bids win, and how far item prices are from explaining it.

    `integer_nano_usd` is the value of the best allocation, `relaxed_nano_usd` that of the linear
    relaxation, in which shares of bids could win; the gap is what they differ by.
    `item_price_nano_usd` supports the winners, or is `None` because no item prices do.
    """

    winner: Integers
    integer_nano_usd: int
    relaxed_nano_usd: float
    gap_nano_usd: float
    item_price_nano_usd: Floats | None


def clear_packages(
    package: Integers, value_nano_usd: Integers, *, bidder: Integers, supply: Integers
) -> PackageClearing:
    """Choose the bids of greatest total value, at most one of each bidder, by integer program.

    The winner determination of a combinatorial auction with exclusive bids (Rassenti, Smith and
    Bulfin, Bell Journal of Economics 13(2), 1982). It says who wins and whether linear prices
    exist, not what is paid: that is for a payment rule.

    Supporting prices are the least in total at which each bidder's winning bid, or staying out, is
    what it likes best, to within the solver's 1e-7 of the largest value, and what is not sold costs
    nothing. Ties between equally good allocations are the solver's (HiGHS), the same on every run.

    Parameters
    ----------
    package : units of each item in each bid; shape (n_bids, n_items).
    value_nano_usd : of the whole package; shape (n_bids,).
    bidder : whose bid it is; shape (n_bids,).
    supply : units of each item; shape (n_items,).

    Raises `ValueError` if shapes disagree, anything is negative or not whole, or values sum to
    2**53 or more, beyond which the solver's numbers are not exact.

    Examples
    --------
    The first bidder wants both items, the second either one:

    >>> sold = clear_packages(
    ...     np.array([[1, 1], [1, 0], [0, 1]]),
    ...     np.array([3, 2, 2]),
    ...     bidder=np.array([0, 1, 1]),
    ...     supply=np.array([1, 1]),
    ... )
    >>> sold.winner.tolist(), sold.integer_nano_usd, sold.relaxed_nano_usd
    ([0], 3, 3.5)
    >>> sold.item_price_nano_usd is None
    True
    """
    value = money_column("value_nano_usd", value_nano_usd)
    units = whole_column("supply", supply)
    bundle = whole_column("package", package, (len(value), len(units)))
    names = whole_column("bidder", bidder, value.shape)
    if sum(value.tolist()) >= _EXACT_LIMIT:
        raise ValueError(f"value_nano_usd must sum to less than 2**53, got {sum(value.tolist())}")
    if len(value) == 0:
        return _cleared(value, np.zeros(0, np.int64), 0.0, np.zeros(len(units)))
    is_of_bidder = (names == np.unique(names)[:, None]).astype(np.int64)
    rows = LinearConstraint(
        np.vstack([bundle.T, is_of_bidder]), -np.inf, np.append(units, np.ones(len(is_of_bidder)))
    )
    shares = milp(-value, constraints=rows, bounds=Bounds(0, 1))
    whole = milp(
        -value,
        constraints=rows,
        bounds=Bounds(0, 1),
        integrality=np.ones(len(value)),
        options={"mip_rel_gap": 0.0},
    )
    assert shares.success, shares.message
    assert whole.success, whole.message
    winner = np.flatnonzero(whole.x > 0.5)
    assert (bundle[winner].sum(axis=0) <= units).all(), "more is sold than there is"
    price = _supporting_prices(
        bundle, value, is_of_bidder, units - bundle[winner].sum(axis=0), winner
    )
    return _cleared(value, winner, -float(shares.fun), price)


def _cleared(
    value: Integers, winner: Integers, relaxed_nano_usd: float, price: Floats | None
) -> PackageClearing:
    integer = int(value[winner].sum())
    return PackageClearing(
        winner=winner,
        integer_nano_usd=integer,
        relaxed_nano_usd=relaxed_nano_usd,
        gap_nano_usd=relaxed_nano_usd - integer,
        item_price_nano_usd=price,
    )


def _supporting_prices(
    bundle: Integers, value: Integers, is_of_bidder: Integers, left: Integers, winner: Integers
) -> Floats | None:
    """Look for item prices and surpluses of bidders that support the winners; `None` if none do.

    Unknowns are the prices, then each bidder's surplus: no bid may be worth more than its package
    costs plus its bidder's surplus, a winning bid exactly that; who loses has no surplus.
    """
    costs = np.hstack([bundle, is_of_bidder.T])
    n_items, n_bidders = bundle.shape[1], len(is_of_bidder)
    has_won = is_of_bidder[:, winner].any(axis=1)
    largest = np.append(np.where(left > 0, 0.0, np.inf), np.where(has_won, np.inf, 0.0))
    scale = max(1, int(value.max()))
    support = linprog(
        np.append(np.ones(n_items), np.zeros(n_bidders)),
        A_ub=-costs,
        b_ub=-value / scale,
        A_eq=costs[winner] if len(winner) else None,
        b_eq=value[winner] / scale if len(winner) else None,
        bounds=np.column_stack([np.zeros(n_items + n_bidders), largest]),
        method="highs",
    )
    assert support.success or support.status == _INFEASIBLE, support.message
    return np.asarray(support.x[:n_items] * scale) if support.success else None
