"""The one place for what a contract on compute pays: forwards, calls and puts, settled in cash.

Pure functions over columns. Quantities are whole GPU-seconds, prices whole micro-USD per GPU-hour,
payments whole micro-USD, rounded once, when a contract is settled: what one side pays the other
receives. Contracts move money alone; they allocate no unit and are no cost.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import ndtr

from hanse.market.units import MICRO_USD_PER_USD, S_PER_HOUR, S_PER_YEAR, Floats, Integers

KINDS: Final = ("forward", "call", "put")
FORWARD, CALL, PUT = range(len(KINDS))

_EXACT: Final = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class Contracts:
    """Contracts, one row each: `long` receives what it pays at the settlement price, from `short`.

    Attributes
    ----------
    long, short : parties, indices from 0; a contract with oneself pays nothing to anybody.
    kind : index into `KINDS`.
    quantity_gpu_s : >= 0.
    strike_micro_usd_per_gpu_hour : price at which a forward buys, or an option may.
    premium_micro_usd : what long pays short when the contract is made; 0 for a forward.
    """

    long: Integers
    short: Integers
    kind: Integers
    quantity_gpu_s: Integers
    strike_micro_usd_per_gpu_hour: Integers
    premium_micro_usd: Integers


def value_of(quantity_gpu_s: Integers, price_micro_usd_per_gpu_hour: Integers) -> Integers:
    """Return what a quantity is worth at a price, to the nearest micro-USD, halves upwards.

    Raises `ValueError` if a product is too large to be exact.

    Examples
    --------
    >>> value_of(np.array([3600, 1800]), np.array([2_000_000, -1])).tolist()
    [2000000, 0]
    """
    size = np.abs(np.asarray(quantity_gpu_s, float) * price_micro_usd_per_gpu_hour)
    if size.size and size.max() >= _EXACT * S_PER_HOUR:
        raise ValueError("quantity_gpu_s times price is too large to be settled exactly")
    product = np.asarray(quantity_gpu_s, np.int64) * price_micro_usd_per_gpu_hour
    return np.asarray((2 * product + S_PER_HOUR) // (2 * S_PER_HOUR), np.int64)


def settlement(contracts: Contracts, price_micro_usd_per_gpu_hour: Integers) -> Integers:
    """Return what each contract pays long at a settlement price; below zero, long pays short.

    A forward pays price minus strike, a call that or nothing, a put strike minus price or nothing.
    A call less a put of one strike is a forward, to the micro-USD (put-call parity).
    """
    gain = value_of(
        contracts.quantity_gpu_s,
        price_micro_usd_per_gpu_hour - contracts.strike_micro_usd_per_gpu_hour,
    )
    call, put = np.maximum(gain, 0), np.maximum(-gain, 0)
    return np.asarray(np.choose(contracts.kind, (gain, call, put)), np.int64)


def cash_flows(
    contracts: Contracts, price_micro_usd_per_gpu_hour: Integers, *, n_parties: int
) -> Integers:
    """Return what each party has received less paid, premiums and settlements; they sum to zero."""
    to_long = settlement(contracts, price_micro_usd_per_gpu_hour) - contracts.premium_micro_usd
    flow = np.zeros(n_parties, np.int64)
    np.add.at(flow, contracts.long, to_long)
    np.subtract.at(flow, contracts.short, to_long)
    assert flow.sum() == 0, "money was made or lost"
    return flow


def sold_on(contracts: Contracts, row: int, *, buyer: int, quantity_gpu_s: int) -> Contracts:
    """Sell a part of a contract on: its buyer takes the place of long for that part.

    The writer owes what it owed, up to the rounding of two settlements in the place of one. What
    the buyer pays for it is between the two, and no term of the contract.

    Raises `ValueError` if more is sold than is held.
    """
    held = int(contracts.quantity_gpu_s[row])
    if not 0 <= quantity_gpu_s <= held:
        raise ValueError(f"quantity_gpu_s must be from 0 to {held}, got {quantity_gpu_s}")
    kept = contracts.quantity_gpu_s.copy()
    kept[row] -= quantity_gpu_s
    return Contracts(
        long=np.append(contracts.long, buyer),
        short=np.append(contracts.short, contracts.short[row]),
        kind=np.append(contracts.kind, contracts.kind[row]),
        quantity_gpu_s=np.append(kept, quantity_gpu_s),
        strike_micro_usd_per_gpu_hour=np.append(
            contracts.strike_micro_usd_per_gpu_hour, contracts.strike_micro_usd_per_gpu_hour[row]
        ),
        premium_micro_usd=np.append(contracts.premium_micro_usd, 0),
    )


def black_76(
    forward: Floats, strike: Floats, *, sigma: float, years: float, rate: float = 0.0
) -> tuple[Floats, Floats]:
    """Return the prices of a call and a put on a forward price that is log-normal at expiry.

    F. Black, Journal of Financial Economics 3 (1976), doi:10.1016/0304-405X(76)90024-6. A yardstick
    for options whose prices are made elsewhere; nothing in a run assumes log-normal prices.

    Parameters
    ----------
    forward, strike : above 0, in one unit.
    sigma : annual volatility of the logarithm of the forward price, > 0.
    years : to expiry, > 0.

    Examples
    --------
    >>> call, put = black_76(np.array([2.0]), np.array([2.0]), sigma=0.5, years=1.0)
    >>> bool(call[0] == put[0]), round(float(call[0]), 4)
    (True, 0.3948)
    """
    spread = sigma * years**0.5
    upper = np.log(np.asarray(forward) / strike) / spread + spread / 2.0
    lower, discount = upper - spread, np.exp(-rate * years)
    call: Floats = discount * (forward * ndtr(upper) - strike * ndtr(lower))
    put: Floats = discount * (strike * ndtr(-lower) - forward * ndtr(-upper))
    return call, put


def capital_usd(locked_micro_usd: Integers, held_s: Floats, *, rate_per_year: float) -> float:
    """Return what money that is locked for a time costs at the world's rate: a resource."""
    locked = np.asarray(locked_micro_usd, float) @ np.asarray(held_s, float)
    return float(locked) * rate_per_year / S_PER_YEAR / MICRO_USD_PER_USD
