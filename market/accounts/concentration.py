"""The one place for how few hold how much, and whether demand can be served without some one."""

from collections.abc import Mapping

import numpy as np

from hanse.market.units import Flags, Floats

_SHARE_TOLERANCE = 1e-12
"""Rounding of a sum of shares: what is above a line by less than this is on it."""


def shares(holding: Floats) -> Floats:
    """Return each holder's share of all that is held; zeros where nothing is.

    Raises `ValueError` if a holding is negative or not finite.
    """
    held = np.asarray(holding, float)
    if not (np.isfinite(held).all() and held.min(initial=0.0) >= 0):
        raise ValueError(f"holdings must be finite and at least 0, got {held.min(initial=0.0)}")
    total = float(held.sum())
    return held / total if total > 0 else np.zeros(len(held))


def herfindahl(holding: Floats) -> float:
    """Return the Herfindahl-Hirschman index, the sum of squared shares in per cent: 0 to 10,000.

    For n equal holders it is 10,000 / n; 0 where nothing is held.

    Examples
    --------
    >>> herfindahl(np.array([50.0, 30.0, 20.0]))
    3800.0
    """
    return float(((100.0 * shares(holding)) ** 2).sum())


def effective_number(holding: Floats) -> float:
    """Return how many equal holders would be as concentrated; NaN where nothing is held."""
    index = herfindahl(holding)
    return 10_000.0 / index if index > 0 else float("nan")


def nakamoto(holding: Floats, *, line: float = 0.5) -> int:
    """Return the least number of holders who together have more than a share of `line`.

    A line of 1/2 is control of a majority vote; 1/3 is a veto where two thirds must agree
    (Srinivasan 2017). For n equal holders and 1/2 it is floor(n / 2) + 1. 0 where nothing is held.

    Parameters
    ----------
    line : in [0, 1).

    Examples
    --------
    >>> nakamoto(np.full(10, 1.0)), nakamoto(np.full(10, 1.0), line=1 / 3)
    (6, 4)
    """
    if not 0.0 <= line < 1.0:
        raise ValueError(f"line must be in [0, 1), got {line}")
    share = np.sort(shares(holding))[::-1]
    if share.sum() == 0:
        return 0
    return int(np.searchsorted(np.cumsum(share), line + _SHARE_TOLERANCE, side="right")) + 1


def weakest_nakamoto(subsystems: Mapping[str, Floats], *, line: float = 0.5) -> tuple[str, int]:
    """Return the subsystem that the fewest holders control, and how many they are.

    A system is as hard to capture as the easiest of the parts it cannot do without. Subsystems in
    which nothing is held are left out; ties go to the first.

    Raises `ValueError` if nothing is held anywhere.
    """
    numbers = {name: nakamoto(holding, line=line) for name, holding in subsystems.items()}
    held = {name: number for name, number in numbers.items() if number > 0}
    if not held:
        raise ValueError("nothing is held in any subsystem")
    weakest = min(held, key=lambda name: held[name])
    return weakest, held[weakest]


def residual_supply_index(supply: Floats, demand: float) -> Floats:
    """Return, for each seller, what all the others can supply over what is demanded.

    The residual supply index (Sheffrin, California ISO, 2002). For n equal sellers it is
    total (1 - 1/n) / demand.

    Parameters
    ----------
    supply : of each seller, in any unit; shape (n_sellers,).
    demand : in the same unit, above 0.

    Raises `ValueError` if demand is not positive or a supply is negative.

    Examples
    --------
    >>> residual_supply_index(np.array([30.0, 70.0]), 50.0).tolist()
    [1.4, 0.6]
    """
    units = np.asarray(supply, float)
    if not demand > 0:
        raise ValueError(f"demand must be above 0, got {demand}")
    if not units.min(initial=0.0) >= 0:
        raise ValueError(f"supply must be at least 0, got {units.min()}")
    return np.asarray((units.sum() - units) / demand)


def is_pivotal(supply: Floats, demand: float) -> Flags:
    """Say of each seller whether demand cannot be met without it: an index below 1."""
    return residual_supply_index(supply, demand) < 1.0
