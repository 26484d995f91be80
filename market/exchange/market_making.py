"""The one place for a market maker: what it quotes for its inventory, and what comes of it.

The quotes are those of Avellaneda and Stoikov, Quantitative Finance 8 (2008),
doi:10.1080/14697680701381228: with a mid price of variance sigma^2 a unit of time, and orders that
come at a rate A exp(-k d) at a distance d from it, a maker with inventory q and risk aversion g
centres its quotes at s - q g sigma^2 (T - t), and lets them lie g sigma^2 (T - t) + (2 / g)
ln(1 + g / k) apart.
"""

from dataclasses import dataclass

import numpy as np

from hanse.market.units import Flags, Floats, Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """What a market maker is willing and able to do.

    Attributes
    ----------
    risk_aversion : g, > 0, one over the unit of money.
    order_rate : A, orders at the mid price a unit of time, on each side.
    order_decay : k, > 0, one over the unit of price.
    inventory_limit : units that it may be long or short.
    capital_limit : money that it may owe, or have tied up in its inventory at the mid price.
    keeps_centred : whether quotes stay around the mid price whatever the inventory is.
    """

    risk_aversion: float
    order_rate: float
    order_decay: float
    inventory_limit: int = 2**31
    capital_limit: float = float("inf")
    keeps_centred: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketMade:
    """What came of making a market, along paths of the mid price.

    Attributes
    ----------
    profit : cash and inventory at the last mid price, shape (n_paths,).
    inventory : at the end, shape (n_paths,).
    spread : mean distance between both quotes while both were given, shape (n_paths,); else NaN.
    n_bought, n_sold : trades of the maker, shape (n_paths,).
    """

    profit: Floats
    inventory: Integers
    spread: Floats
    n_bought: Integers
    n_sold: Integers


def reservation_price(
    maker: Maker, mid: Floats, inventory: Integers, *, variance_left: float
) -> Floats:
    """Return around what a maker quotes; `variance_left` is sigma^2 (T - t)."""
    shift = 0.0 if maker.keeps_centred else maker.risk_aversion * variance_left
    return np.asarray(mid - inventory * shift, float)


def quoted_spread(maker: Maker, *, variance_left: float) -> float:
    """Return how far apart both quotes lie.

    Examples
    --------
    >>> maker = Maker(risk_aversion=0.1, order_rate=140.0, order_decay=1.5)
    >>> round(quoted_spread(maker, variance_left=2.0), 2)
    1.49
    """
    aversion = maker.risk_aversion
    rent = 2.0 / aversion * np.log1p(aversion / maker.order_decay)
    return float(aversion * variance_left + rent)


def make_market(
    maker: Maker, mid: Floats, *, variance: float, step: float, buys: Floats, sells: Floats
) -> MarketMade:
    """Let a maker quote along paths of the mid price, for one unit on each side at each step.

    Parameters
    ----------
    mid : shape (n_steps + 1, n_paths).
    variance : of the mid price a unit of time, as the maker believes it to be.
    step : unit of time between two rows.
    buys, sells : coins in [0, 1), shape (n_steps, n_paths): an order of others comes where the coin
        lies below the chance of one, A exp(-k d) step.
    """
    n_steps, n_paths = buys.shape
    inventory, cash = np.zeros(n_paths, np.int64), np.zeros(n_paths)
    apart, n_quoted = np.zeros(n_paths), np.zeros(n_paths, np.int64)
    n_bought, n_sold = np.zeros(n_paths, np.int64), np.zeros(n_paths, np.int64)
    for row in range(n_steps):
        left = variance * (n_steps - row) * step
        centre = reservation_price(maker, mid[row], inventory, variance_left=left)
        half = quoted_spread(maker, variance_left=left) / 2.0
        bid, ask = centre - half, centre + half
        may_buy, may_sell = _limits(maker, inventory, cash, mid[row])
        is_bought = may_buy & (sells[row] < _chance(maker, mid[row] - bid, step))
        is_sold = may_sell & (buys[row] < _chance(maker, ask - mid[row], step))
        cash += np.where(is_sold, ask, 0.0) - np.where(is_bought, bid, 0.0)
        inventory += is_bought.astype(np.int64) - is_sold
        n_bought += is_bought
        n_sold += is_sold
        both = may_buy & may_sell
        apart += np.where(both, 2.0 * half, 0.0)
        n_quoted += both
    spread = np.divide(apart, n_quoted, out=np.full(n_paths, np.nan), where=n_quoted > 0)
    return MarketMade(
        profit=cash + inventory * mid[-1],
        inventory=inventory,
        spread=spread,
        n_bought=n_bought,
        n_sold=n_sold,
    )


def _chance(maker: Maker, distance: Floats, step: float) -> Floats:
    chance: Floats = maker.order_rate * np.exp(-maker.order_decay * distance) * step
    return np.minimum(chance, 1.0)


def _limits(maker: Maker, inventory: Integers, cash: Floats, mid: Floats) -> tuple[Flags, Flags]:
    """Say where the maker may buy and sell one more unit."""
    long_next, short_next = (inventory + 1) * mid, (1 - inventory) * mid
    may_buy = (inventory < maker.inventory_limit) & (
        (inventory < 0) | ((long_next <= maker.capital_limit) & (-cash <= maker.capital_limit))
    )
    may_sell = (inventory > -maker.inventory_limit) & (
        (inventory > 0) | (short_next <= maker.capital_limit)
    )
    return may_buy, may_sell
