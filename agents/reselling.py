"""Resale of reservations: holders sell units that they are unlikely to need to those who are short.

A double auction on unit bids and asks, cleared at one price (`hanse.market.exchange.mechanisms`).
A unit is worth to a buyer what it saves if it is needed, less what it costs if it is not.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.agents.hoarding import chance_of_shortage
from hanse.market.exchange.mechanisms import k_double_auction
from hanse.market.units import NANO_USD_PER_USD, Floats, Integers

SPREADS_MAX: Final = 4.0
"""How far beyond its expected need, in standard deviations, a buyer lists bids at all.

Where bids end, not what anybody believes: a unit that far out is needed with a chance of 3e-5, and
is bid for only where a shortage costs 30,000 times the price of a unit, or a unit costs nothing.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resale:
    """What came of a resale.

    Attributes
    ----------
    held : shape (n_buyers,), units of each afterwards; as many in all as before.
    moved : shape (n_buyers,), units bought, or sold below zero; sums to zero.
    price_usd : per unit and hour, or NaN if nothing was sold.
    """

    held: Integers
    moved: Integers
    price_usd: float

    @property
    def sold_units(self) -> int:
        """Return how many units changed hands."""
        return int(np.maximum(0, self.moved).sum())


def worth_of_units(
    unit: Floats, *, need: Floats, sd: Floats, shortage_usd: Floats, price_usd: Floats
) -> Floats:
    """Return what each buyer expects of holding a unit beyond so many others, per hour.

    It saves the loss from being short where the need exceeds what else is held, and else its price
    is paid for nothing.

    Parameters
    ----------
    unit : shape (n_buyers, ...), how many are held before this one.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.array([2.0])
    >>> worth_of_units(one, need=one, sd=one, shortage_usd=3 * one, price_usd=one).tolist()
    [2.0]
    """
    chance = chance_of_shortage(unit, need, sd)
    return np.asarray(chance * shortage_usd - (1.0 - chance) * price_usd)


def resell(
    held: Integers,
    *,
    need: Floats,
    sd: Floats,
    shortage_usd: Floats,
    price_usd: Floats,
    share: float = 1.0,
) -> Resale:
    """Let every holder offer units, and every buyer bid for more, at one price.

    Holders ask what a unit is worth to them, but nothing less than nothing. All are truthful: with
    many on either side nobody moves the price by much (Rustichini, Satterthwaite, Williams 1994).

    Parameters
    ----------
    held : shape (n_buyers,), units before.
    need, sd : what each expects to need, and how far it may be off; units.
    shortage_usd, price_usd : per unit and hour: lost where short, and paid for a held unit.
    share : of the units of each that it may offer, rounded down; those are its least needed.

    Examples
    --------
    >>> import numpy as np
    >>> ten = np.full(2, 10.0)
    >>> sale = resell(
    ...     np.array([4, 0]), need=np.array([1.0, 3.0]), sd=np.zeros(2), shortage_usd=ten,
    ...     price_usd=ten / 10,
    ... )
    >>> sale.held.tolist(), sale.price_usd
    ([1, 3], 7.25)
    """
    offered = np.floor(share * held).astype(np.int64)
    most = np.ceil(np.maximum(0.0, need + SPREADS_MAX * sd - held)).astype(np.int64)
    asker, below = _units(held - offered, offered)
    bidder, above = _units(held, most)
    of_each = {"need": need, "sd": sd, "shortage_usd": shortage_usd, "price_usd": price_usd}
    ask, bid = (
        worth_of_units(unit.astype(float), **{name: of[who] for name, of in of_each.items()})
        for who, unit in ((asker, below), (bidder, above))
    )
    wants = bid > 0.0
    bidder, bid = bidder[wants], bid[wants]
    trades = k_double_auction(_nano(bid), _nano(np.maximum(0.0, ask)))
    moved = np.bincount(bidder[trades.buyer], minlength=len(held))
    moved -= np.bincount(asker[trades.seller], minlength=len(held))
    price = trades.price_nano_usd
    return Resale(
        held=held + moved,
        moved=moved,
        price_usd=float("nan") if price is None else price / NANO_USD_PER_USD,
    )


def _units(first: Integers, n_units: Integers) -> tuple[Integers, Integers]:
    """List so many units of each buyer, from its first on: whose they are, and which of its."""
    who = np.repeat(np.arange(len(n_units)), n_units)
    rank = np.arange(len(who)) - np.repeat(np.cumsum(n_units) - n_units, n_units)
    return who, rank + first[who]


def _nano(usd: Floats) -> Integers:
    return np.floor(usd * NANO_USD_PER_USD).astype(np.int64)
