"""Speculators: who trades compute forward without needing any, and the price that this makes.

Hedgers carry an exposure, hours that they will buy or sell at an unknown price; speculators carry
none. All dislike variance: with an expected price m of variance v, a trader of risk aversion a who
will buy x hours wants x + (m - F) / (a v) of them forward at F (Anderson and Danthine, Journal of
Political Economy 89(6), 1981, doi:10.1086/261028). The forward price is where what all want sums to
zero, so that hedgers pay speculators for bearing risk, the less the more of it these can bear.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import brentq

from hanse.market.units import Floats

# Of the largest premium there could be; the money at stake is far coarser.
_TOLERANCE: Final = 1e-14


@dataclass(frozen=True, slots=True, kw_only=True)
class Traders:
    """Who trades forward; every column has shape (n_traders,).

    Attributes
    ----------
    exposure_hours : hours that each will buy (above 0) or sell (below 0) at the price to come.
    risk_aversion : a, above 0, one over USD.
    limit_hours : the most that each may hold forward, long or short; infinite for no limit.
    """

    exposure_hours: Floats
    risk_aversion: Floats
    limit_hours: Floats

    def __post_init__(self) -> None:
        for name, low in (("risk_aversion", 0.0), ("limit_hours", -1.0)):
            column = getattr(self, name)
            if len(column) and not column.min() > low:
                raise ValueError(f"{name} must be above {low}, got {column.min()}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardTrade:
    """What was agreed: a price, and what each is long at it; positions sum to zero."""

    price_usd: float
    position_hours: Floats


def capital_limit_hours(
    capital_usd: float, *, margin_usd_per_hour: float, inventory_hours: float = float("inf")
) -> float:
    """Return what a speculator may hold: what its capital margins, and no more than its inventory.

    >>> capital_limit_hours(30.0, margin_usd_per_hour=1.5, inventory_hours=50.0)
    20.0
    """
    if not margin_usd_per_hour > 0.0:
        return inventory_hours
    return min(inventory_hours, capital_usd / margin_usd_per_hour)


def trade_forward(traders: Traders, *, mean_usd: float, variance: float) -> ForwardTrade:
    """Find the forward price at which what all want sums to zero.

    Without variance there is nothing to insure: the price is the mean, and nobody trades. Likewise
    where limits leave nobody who could take the other side.

    Parameters
    ----------
    mean_usd, variance : of the price to come, per hour, as everybody expects it.

    Examples
    --------
    >>> one = np.ones(2)
    >>> both = Traders(
    ...     exposure_hours=np.array([10.0, 0.0]), risk_aversion=one, limit_hours=np.inf * one
    ... )
    >>> trade = trade_forward(both, mean_usd=2.0, variance=0.1)
    >>> round(trade.price_usd, 9), trade.position_hours.round(9).tolist()
    (2.5, [5.0, -5.0])
    """
    nobody = np.zeros(len(traders.exposure_hours))
    if variance == 0.0 or len(nobody) == 0:
        return ForwardTrade(price_usd=mean_usd, position_hours=nobody)

    # In units of the largest exposure, and of the premium at which whoever has it wants nothing.
    hours = float(np.abs(traders.exposure_hours).max())
    usd = hours * float(traders.risk_aversion.max()) * variance
    if usd == 0.0:
        return ForwardTrade(price_usd=mean_usd, position_hours=nobody)
    exposure, limit = traders.exposure_hours / hours, traders.limit_hours / hours
    bearing = traders.risk_aversion.max() / traders.risk_aversion

    def wanted(premium: float) -> Floats:
        return np.asarray(np.clip(exposure - premium * bearing, -limit, limit))

    premium = brentq(lambda one: float(wanted(one).sum()), -1.0, 1.0, xtol=_TOLERANCE)
    position = wanted(premium) * hours
    return ForwardTrade(
        price_usd=mean_usd + premium * usd, position_hours=position - position.mean()
    )
