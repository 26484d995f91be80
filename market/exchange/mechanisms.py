"""The one place for the field's price mechanisms: who trades with whom, and what each one pays.

Pure functions over columns of bids and asks, each for one unit. All money is int64 nano-USD, so
that what is paid is what is received, to the last digit. No function returns welfare: bids are
what people say, and only under a truthful mechanism is that what a unit is worth to them.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import floor

import numpy as np

from hanse.market.exchange.bid_columns import NO_ASK, money_column, whole_column
from hanse.market.units import Flags, Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Trades:
    """Who trades one unit with whom; row by row, in the order of the mechanism.

    `buyer` and `seller` are rows of the bids and of the asks; `price_nano_usd` is the one price of
    a uniform-price mechanism, and `None` where prices differ or nobody trades.
    """

    buyer: Integers
    seller: Integers
    paid_nano_usd: Integers
    received_nano_usd: Integers
    price_nano_usd: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotRuns:
    """When interruptible bids run, and what is paid for it.

    `runs` has shape (n_periods, n_bids); `paid_nano_usd` and `interruptions` are by bid,
    `received_nano_usd` is by period.
    """

    runs: Flags
    paid_nano_usd: Integers
    received_nano_usd: Integers
    interruptions: Integers


def k_double_auction(
    bid_nano_usd: Integers, ask_nano_usd: Integers, *, k: float | Fraction = Fraction(1, 2)
) -> Trades:
    """Call all bids and asks at once and let the efficient ones trade at one price.

    The k-double auction (Chatterjee and Samuelson, Operations Research 31(5), 1983,
    doi:10.1287/opre.31.5.835; for many traders Rustichini, Satterthwaite and Williams, Econometrica
    62(5), 1994). With m asks, the prices that clear the market reach from the (m + 1)-th largest of
    all bids and asks (k = 0, truthful for a buyer of one unit) to the m-th largest (k = 1, truthful
    for a seller of one unit); the price is low + k (high - low), rounded down to a nano-USD.

    Budget: balanced exactly. Individual rationality: no bid pays more and no ask receives less
    than it says. Ties: a bid and an ask that are equal trade; of equal ones the first row.

    Parameters
    ----------
    bid_nano_usd, ask_nano_usd : one unit each; shapes (n_bids,) and (n_asks,).
    k : from 0 to 1.

    Raises `ValueError` if money is negative or not whole, or k is out of bounds.

    Examples
    --------
    >>> trades = k_double_auction(np.array([10, 6, 3]), np.array([2, 5, 8]), k=0.5)
    >>> trades.buyer.tolist(), trades.seller.tolist(), trades.price_nano_usd
    ([0, 1], [0, 1], 5)
    """
    bid, ask = (
        money_column("bid_nano_usd", bid_nano_usd),
        money_column("ask_nano_usd", ask_nano_usd),
    )
    if not 0 <= k <= 1:
        raise ValueError(f"k must be from 0 to 1, got {k}")
    buyer, seller = np.argsort(-bid, kind="stable"), np.argsort(ask, kind="stable")
    most = min(len(bid), len(ask))
    n_trades = int((bid[buyer[:most]] >= ask[seller[:most]]).sum())
    if n_trades == 0:
        return _uniform(buyer[:0], seller[:0], None)
    falling = np.sort(np.concatenate([bid, ask]))[::-1]
    high, low = int(falling[len(ask) - 1]), int(falling[len(ask)])
    price = low + floor(Fraction(k) * (high - low))
    return _uniform(buyer[:n_trades], seller[:n_trades], price)


def highest_losing_bid_auction(
    bid_nano_usd: Integers, *, n_units: int, reserve_nano_usd: int = 0
) -> Trades:
    """Sell equal units to the highest bids, all at the highest bid that loses.

    The (k+1)-price sealed-bid auction for k units (Vickrey, Journal of Finance 16(1), 1961,
    doi:10.1111/j.1540-6261.1961.tb02789.x; as (M+1)-st price auction: Wurman, Walsh and Wellman,
    Decision Support Systems 24(1), 1998, doi:10.1016/S0167-9236(98)00060-8). To bid what a unit is
    worth is a dominant strategy for whoever wants one unit; not so for whoever wants several.

    Budget: balanced exactly, the seller (row 0) receives what is paid. Individual rationality: no
    winner pays more than its bid, no unit goes below the reserve. Ties: of equal bids the first
    row wins, and pays its own bid if an equal one loses.

    Parameters
    ----------
    bid_nano_usd : one unit each; shape (n_bids,).
    n_units : k, at least 0.
    reserve_nano_usd : bids below it lose and set no price; the price is never below it.

    Raises `ValueError` if money is negative or not whole, or `n_units` is negative.

    Examples
    --------
    >>> trades = highest_losing_bid_auction(np.array([4, 9, 7, 5]), n_units=2)
    >>> trades.buyer.tolist(), trades.price_nano_usd
    ([1, 2], 5)
    """
    bid = money_column("bid_nano_usd", bid_nano_usd)
    if n_units < 0 or reserve_nano_usd < 0:
        raise ValueError(
            f"n_units and reserve_nano_usd must be at least 0, got {n_units}, {reserve_nano_usd}"
        )
    ranked = np.argsort(-bid, kind="stable")
    ranked = ranked[bid[ranked] >= reserve_nano_usd]
    winner, loser = ranked[:n_units], ranked[n_units:]
    price = int(bid[loser[0]]) if len(loser) else reserve_nano_usd
    return _uniform(winner, np.zeros_like(winner), price if len(winner) else None)


def second_price_auction(bid_nano_usd: Integers, *, reserve_nano_usd: int = 0) -> Trades:
    """Sell one unit to the highest bid at the second highest.

    The Vickrey auction (Vickrey 1961): `highest_losing_bid_auction` of one unit, with its budget,
    ties and errors. Truthful.

    Examples
    --------
    >>> second_price_auction(np.array([4, 9, 7])).price_nano_usd
    7
    """
    return highest_losing_bid_auction(bid_nano_usd, n_units=1, reserve_nano_usd=reserve_nano_usd)


def pay_as_bid_reverse_auction(
    ask_nano_usd: Integers,
    limit_nano_usd: Integers,
    *,
    n_units: Integers,
    preference: Integers | None = None,
) -> Trades:
    """Let each tenant pick among the asks for its order, and pay the ask that it picks.

    The pay-as-bid reverse auction with tenant's choice, the rule of the Akash network: providers
    answer an order that names a limit, and the tenant takes the one it likes, which need not be
    the cheapest. Not truthful: an ask above cost is paid in full, so reports say little of costs.

    Budget: balanced exactly. Individual rationality: nobody pays more than its limit or receives
    less than its ask. Order: tenants pick one after the other, by row. Ties: of asks preferred
    alike the lowest, then the first provider.

    Parameters
    ----------
    ask_nano_usd : shape (n_orders, n_providers); `NO_ASK` where a provider does not answer.
    limit_nano_usd : the most that a tenant pays; shape (n_orders,).
    n_units : what each provider has; shape (n_providers,).
    preference : shape (n_orders, n_providers); the largest is liked best. By default only the ask
        counts.

    Raises `ValueError` if shapes disagree, or money or units are negative or not whole.

    Examples
    --------
    >>> trades = pay_as_bid_reverse_auction(
    ...     np.array([[5, 3], [5, 3]]), np.array([6, 6]), n_units=np.array([1, 1])
    ... )
    >>> trades.seller.tolist(), trades.paid_nano_usd.tolist()
    ([1, 0], [3, 5])
    """
    limit = money_column("limit_nano_usd", limit_nano_usd)
    left = whole_column("n_units", n_units).copy()
    ask = money_column("ask_nano_usd", ask_nano_usd, (len(limit), len(left)))
    liking = np.zeros(ask.shape, np.int64) if preference is None else np.asarray(preference)
    if liking.shape != ask.shape:
        raise ValueError(f"preference must have shape {ask.shape}, got {liking.shape}")
    buyer, seller = [], []
    for order in range(len(limit)):
        open_ask = np.flatnonzero((ask[order] <= limit[order]) & (ask[order] < NO_ASK) & (left > 0))
        if len(open_ask):
            ranked = np.lexsort((open_ask, ask[order, open_ask], -liking[order, open_ask]))
            choice = int(open_ask[ranked[0]])
            left[choice] -= 1
            buyer.append(order)
            seller.append(choice)
    taken = np.array(buyer, np.int64), np.array(seller, np.int64)
    paid = ask[taken]
    return Trades(
        buyer=taken[0],
        seller=taken[1],
        paid_nano_usd=paid,
        received_nano_usd=paid.copy(),
        price_nano_usd=None,
    )


def interruptible_bids(
    price_nano_usd: Integers, bid_nano_usd: Integers, *, n_units: Integers
) -> SpotRuns:
    """Run standing bids while the posted price allows, and interrupt them while it does not.

    The spot market: the seller posts a price for each period; a bid runs while the price is not
    above it and there is a unit for it, the highest bids first, and pays the posted price (Amazon
    EC2 spot instances: Agmon Ben-Yehuda et al., ACM Transactions on Economics and Computation 1(3),
    2013, doi:10.1145/2509413.2509416). Where units are plenty a bid cannot change what it pays;
    where they are short, to bid more keeps a unit without paying more: then it is not truthful.

    Budget: balanced exactly. Individual rationality: in no period is more paid than the bid, or
    less received than the posted price. Ties: of equal bids the first row keeps its unit.

    Parameters
    ----------
    price_nano_usd, n_units : what is posted for each period; shape (n_periods,).
    bid_nano_usd : the most that is paid for one unit for one period; shape (n_bids,).

    Raises `ValueError` if shapes disagree, or money or units are negative or not whole.

    Examples
    --------
    >>> two = np.array([2, 2, 2])
    >>> spot = interruptible_bids(np.array([2, 6, 3]), np.array([5, 7]), n_units=two)
    >>> spot.runs[:, 0].tolist(), spot.interruptions.tolist(), spot.paid_nano_usd.tolist()
    ([True, False, True], [1, 0], [5, 11])
    """
    price, bid = (
        money_column("price_nano_usd", price_nano_usd),
        money_column("bid_nano_usd", bid_nano_usd),
    )
    units = whole_column("n_units", n_units, price.shape)
    rank = np.empty(len(bid), np.int64)
    rank[np.argsort(-bid, kind="stable")] = np.arange(len(bid))
    runs = (bid >= price[:, None]) & (rank < units[:, None])
    paid = runs * price[:, None]
    return SpotRuns(
        runs=runs,
        paid_nano_usd=paid.sum(axis=0),
        received_nano_usd=paid.sum(axis=1),
        interruptions=(runs[:-1] & ~runs[1:]).sum(axis=0),
    )


def fixed_price_in_order(
    limit_nano_usd: Integers, ask_nano_usd: Integers, *, price_nano_usd: int
) -> Trades:
    """Match buyers and sellers who accept a fixed price, first come, first served.

    The fixed-price mechanism with a queue on either side, as in Nosana's markets. Truthful: what
    one says moves neither the price nor the place in the queue (Hagerty and Rogerson, Journal of
    Economic Theory 42(1), 1987). Not efficient: who comes late goes without, however much it would
    pay.

    Budget: balanced exactly. Individual rationality: nobody is matched against its limit or ask.
    Ties: rows are the order of arrival, and decide.

    Parameters
    ----------
    limit_nano_usd, ask_nano_usd : in order of arrival, one unit each; shapes (n_bids,), (n_asks,).
    price_nano_usd : at least 0.

    Raises `ValueError` if money is negative or not whole.

    Examples
    --------
    >>> trades = fixed_price_in_order(np.array([3, 9, 5]), np.array([6, 2, 4]), price_nano_usd=4)
    >>> trades.buyer.tolist(), trades.seller.tolist()
    ([1, 2], [1, 2])
    """
    limit, ask = (
        money_column("limit_nano_usd", limit_nano_usd),
        money_column("ask_nano_usd", ask_nano_usd),
    )
    if price_nano_usd < 0:
        raise ValueError(f"price_nano_usd must be at least 0, got {price_nano_usd}")
    buyer, seller = np.flatnonzero(limit >= price_nano_usd), np.flatnonzero(ask <= price_nano_usd)
    n_trades = min(len(buyer), len(seller))
    return _uniform(buyer[:n_trades], seller[:n_trades], price_nano_usd if n_trades else None)


def _uniform(buyer: Integers, seller: Integers, price_nano_usd: int | None) -> Trades:
    amount = np.full(len(buyer), price_nano_usd or 0, np.int64)
    return Trades(
        buyer=buyer,
        seller=seller,
        paid_nano_usd=amount,
        received_nano_usd=amount.copy(),
        price_nano_usd=price_nano_usd,
    )
