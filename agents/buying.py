"""The one place for how much work buyers bring: what it cost them last, and what they can spend."""

import numpy as np

from hanse.market.units import Floats


def full_price(
    price: Floats, *, wait_s: Floats, delay_usd_per_s: Floats, job_hours: Floats
) -> Floats:
    """Return what a GPU-hour costs with the wait for it: USD paid, and worth lost by waiting.

    Examples
    --------
    >>> full_price(
    ...     np.array([2.0]), wait_s=np.array([10.0]), delay_usd_per_s=np.array([0.05]),
    ...     job_hours=np.array([0.5]),
    ... ).tolist()
    [3.0]
    """
    waiting = np.divide(
        wait_s * delay_usd_per_s, job_hours, out=np.zeros_like(price), where=job_hours > 0
    )
    return np.asarray(price + waiting)


def wanted_activity(first: Floats, full: Floats, reference: Floats, *, elasticity: float) -> Floats:
    """Return the share of its jobs that each buyer brings, at a constant elasticity, at most all.

    Examples
    --------
    >>> wanted_activity(
    ...     np.array([0.5, 0.5]), np.array([4.0, 1.0]), np.array([1.0, 4.0]), elasticity=0.5
    ... ).tolist()
    [0.25, 1.0]
    """
    return np.clip(first * (full / reference) ** -elasticity, 0.0, 1.0)


def within_budget(activity: Floats, spend_usd: Floats, budget_usd: Floats) -> Floats:
    """Cut activity where what it is expected to cost exceeds the budget.

    Examples
    --------
    >>> within_budget(np.array([0.5, 0.5]), np.array([4.0, 1.0]), np.array([2.0, 2.0])).tolist()
    [0.25, 0.5]
    """
    share = np.divide(budget_usd, spend_usd, out=np.ones_like(activity), where=spend_usd > 0)
    return np.asarray(activity * np.minimum(1.0, share))
