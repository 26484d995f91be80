"""The one place for the auction algorithm: bidders outbid each other for what they like.

A small reference for `hanse.market.clearing`, which clears exactly and at the least prices; this
one arrives at nearly competitive prices by bidding (Bertsekas, Annals of Operations Research 14,
1988, doi:10.1007/BF02186476). They need not be near the least: a bid leaps to where its bidder
would as soon have its second best, wanted by others or not. So the auction is not truthful.
"""

from dataclasses import dataclass

import numpy as np

from hanse.market.units import Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class AscendingAuction:
    """The item of each bidder, the price of each item, and how many bids it took."""

    item: Integers
    price_nano_usd: Integers
    total_nano_usd: int
    n_bids: int


def ascending_auction(value_nano_usd: Integers, *, increment_nano_usd: int) -> AscendingAuction:
    """Let bidders who hold nothing bid for the item they like best, until all hold one.

    A bid raises the price by how much better the best item is than the second best, plus the
    increment. Prices start at nothing, and an item that nobody bids for stays there. Every bidder
    ends within one increment of its best item, so that

        total >= optimum - n_bidders * increment,

    and the total is the optimum if values are multiples of more than n_bidders increments: to be
    exact, multiply all values by n_bidders + 1 and let the increment be 1.

    Budget: winners pay the prices. Individual rationality is not promised: every bidder must end
    with an item, also one that it likes less than its price; add an item of no value for each who
    may stay out. Ties: the first bidder without an item bids, for the first of its best items.

    Parameters
    ----------
    value_nano_usd : shape (n_bidders, n_items), with at least as many items as bidders.
    increment_nano_usd : at least 1.

    Raises `ValueError` if items are too few or the increment is.

    Examples
    --------
    >>> value = 4 * np.array([[8, 4, 7], [5, 2, 3], [9, 4, 8]])
    >>> auction = ascending_auction(value, increment_nano_usd=1)
    >>> auction.item.tolist(), auction.total_nano_usd // 4
    ([0, 1, 2], 18)
    """
    value = np.asarray(value_nano_usd, np.int64)
    n_bidders, n_items = value.shape
    if n_items < n_bidders:
        raise ValueError(f"n_items must be at least n_bidders = {n_bidders}, got {n_items}")
    if increment_nano_usd < 1:
        raise ValueError(f"increment_nano_usd must be at least 1, got {increment_nano_usd}")
    price = np.zeros(n_items, np.int64)
    holder, item = np.full(n_items, -1), np.full(n_bidders, -1)
    waiting, n_bids = list(range(n_bidders))[::-1], 0
    while waiting:
        bidder, n_bids = waiting.pop(), n_bids + 1
        surplus = value[bidder] - price
        best = int(surplus.argmax())
        second = np.delete(surplus, best).max(initial=surplus[best] if n_items == 1 else -(1 << 62))
        price[best] += surplus[best] - second + increment_nano_usd
        if holder[best] >= 0:
            item[holder[best]] = -1
            waiting.append(int(holder[best]))
        holder[best], item[bidder] = bidder, best
    total = int(value[np.arange(n_bidders), item].sum())
    return AscendingAuction(item=item, price_nano_usd=price, total_nano_usd=total, n_bids=n_bids)
