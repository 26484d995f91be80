"""The one place for margin and default: who is called, who fails, and who bears what is left.

A clearing house stands between both sides of forwards. After each move of the price it collects
from those who lost and pays those who gained. Who cannot pay defaults, and what is missing is taken
from a waterfall: the defaulter's margin, its part of the default fund, the house's own capital, the
others' parts of the fund, and what is still missing from the gains of those who gained. All money
is whole micro-USD; nothing is made or lost.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.market.exchange.contracts import value_of
from hanse.market.units import Flags, Integers

LAYERS: Final = ("margin", "own fund", "house", "others' fund", "gains")


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What a clearing house asks for, and has.

    Attributes
    ----------
    margin_micro_usd : shape (n_parties,), initial margin that each has posted.
    fund_micro_usd : shape (n_parties,), what each has paid into the default fund.
    capital_micro_usd : the house's own, which is lost before the others' parts of the fund.
    """

    margin_micro_usd: Integers
    fund_micro_usd: Integers
    capital_micro_usd: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """What has come of positions along a path of prices.

    Attributes
    ----------
    cash_micro_usd : shape (n_parties,), what each has beside margin and fund, at the end.
    margin_micro_usd, fund_micro_usd : shape (n_parties,), what is left of both.
    house_micro_usd : what is left of the house's capital.
    called_micro_usd : shape (n_steps,), what was called for from those who lost.
    n_calls : shape (n_steps,), from how many.
    defaulted_at : shape (n_parties,), the step in which each defaulted, or -1.
    borne_micro_usd : shape (n_steps, n_layers), what each layer of `LAYERS` bore.
    """

    cash_micro_usd: Integers
    margin_micro_usd: Integers
    fund_micro_usd: Integers
    house_micro_usd: int
    called_micro_usd: Integers
    n_calls: Integers
    defaulted_at: Integers
    borne_micro_usd: Integers


def shared_out(amount: int, weight: Integers) -> Integers:
    """Split whole money in proportion to weights by largest remainders, ties by index; exactly.

    Examples
    --------
    >>> shared_out(10, np.array([1, 1, 1])).tolist()
    [4, 3, 3]
    """
    weights = [int(one) for one in weight]
    total = sum(weights)
    if amount == 0 or total == 0:
        return np.zeros(len(weights), np.int64)
    part = [amount * one // total for one in weights]
    rest = [-(amount * one % total) for one in weights]
    for row in np.argsort(np.array(rest, object), kind="stable")[: amount - sum(part)]:
        part[row] += 1
    return np.array(part, np.int64)


def clear_path(
    house: House, position_gpu_s: Integers, price: Integers, *, cash_micro_usd: Integers
) -> Cleared:
    """Mark positions to a path of prices, call, and let those default who cannot pay.

    A defaulter's position is closed at the price of that step, at no further cost, and so is as
    much of the other side, in proportion: the book stays balanced.

    Parameters
    ----------
    position_gpu_s : shape (n_parties,), long above zero; they sum to zero.
    price : shape (n_steps + 1,), micro-USD per GPU-hour.
    cash_micro_usd : shape (n_parties,), what each can pay calls with, beside margin and fund.

    Raises `ValueError` if positions do not sum to zero, or money is negative.
    """
    if position_gpu_s.sum() != 0:
        raise ValueError("position_gpu_s must sum to zero")
    if min(cash_micro_usd.min(), house.margin_micro_usd.min(), house.fund_micro_usd.min()) < 0:
        raise ValueError("money must not be negative")
    cash, position = cash_micro_usd.astype(np.int64), position_gpu_s.astype(np.int64)
    margin, fund = house.margin_micro_usd.copy(), house.fund_micro_usd.copy()
    own, n_steps = house.capital_micro_usd, len(price) - 1
    called, n_calls = np.zeros(n_steps, np.int64), np.zeros(n_steps, np.int64)
    borne = np.zeros((n_steps, len(LAYERS)), np.int64)
    defaulted_at = np.full(len(cash), -1)
    for step in range(n_steps):
        gain = _balanced_gains(position, int(price[step + 1]) - int(price[step]))
        owed, due = np.maximum(-gain, 0), np.maximum(gain, 0)
        called[step], n_calls[step] = owed.sum(), (owed > 0).sum()
        paid = np.minimum(owed, cash)
        fails = paid < owed
        defaulted_at[fails] = step
        cash -= paid
        missing = int((owed - paid).sum())
        own, borne[step] = _bear(owed - paid, margin, fund, own, fails)
        cash += due - shared_out(int(borne[step, -1]), due)
        assert borne[step].sum() == missing, "what was missing was not borne"
        position = _without(position, fails)
    return Cleared(
        cash_micro_usd=cash,
        margin_micro_usd=margin,
        fund_micro_usd=fund,
        house_micro_usd=own,
        called_micro_usd=called,
        n_calls=n_calls,
        defaulted_at=defaulted_at,
        borne_micro_usd=borne,
    )


def _balanced_gains(position: Integers, move: int) -> Integers:
    """Value a move of the price; what rounding leaves over is taken from those who gain."""
    gain = value_of(position, np.full(len(position), move, np.int64))
    winners, lost = np.maximum(gain, 0), int(np.maximum(-gain, 0).sum())
    if not winners.any():
        return np.zeros_like(gain)
    return np.asarray(np.where(gain < 0, gain, shared_out(lost, winners)), np.int64)


def _bear(
    short: Integers, margin: Integers, fund: Integers, own: int, fails: Flags
) -> tuple[int, Integers]:
    """Take what is missing from the layers in order, in place; return the house's rest, and who."""
    borne = np.zeros(len(LAYERS), np.int64)
    for layer, purse in enumerate((margin, fund)):
        taken = np.minimum(short, purse)
        np.subtract(purse, taken, out=purse)
        short = short - taken
        borne[layer] = taken.sum()
    missing = int(short.sum())
    borne[2] = min(missing, own)
    others = np.where(fails, 0, fund)
    borne[3] = min(missing - int(borne[2]), int(others.sum()))
    fund -= shared_out(int(borne[3]), others)
    borne[4] = missing - int(borne[2]) - int(borne[3])
    return own - int(borne[2]), borne


def _without(position: Integers, fails: Flags) -> Integers:
    """Close the positions of those who failed, and as much of the other side in proportion."""
    left = np.where(fails, 0, position)
    surplus = int(left.sum())
    side = np.maximum(left, 0) if surplus > 0 else np.maximum(-left, 0)
    closed = shared_out(abs(surplus), side)
    return np.asarray(left - closed if surplus > 0 else left + closed, np.int64)


def bilateral_payments(owed: Integers, cash_micro_usd: Integers) -> Integers:
    """Return what each pays whom where nobody stands between: debts are paid in proportion.

    L. Eisenberg and T. Noe, Management Science 47 (2001), doi:10.1287/mnsc.47.2.236.9835: the
    greatest vector of payments in which each pays all that it owes, or all that it has, shared out
    among whom it owes; here in whole micro-USD. Who does not pay in full has defaulted, and those
    whom it owes may default by it.

    Parameters
    ----------
    owed : shape (n_parties, n_parties), what row owes column.
    cash_micro_usd : shape (n_parties,), what each has before it is paid anything.
    """
    total = owed.sum(axis=1)
    paid = owed.astype(np.int64)
    while True:
        able = np.minimum(total, cash_micro_usd + paid.sum(axis=0))
        lower = np.array([shared_out(int(a), row) for a, row in zip(able, owed, strict=True)])
        lower = np.minimum(paid, lower.reshape(paid.shape))
        if (lower == paid).all():
            return paid
        paid = lower
