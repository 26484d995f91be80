"""The one place for how an agent moves from what it did to what it has learned pays.

Rules are pure functions on columns: a row is an agent, or a strategy. Populations that play a whole
game against one another, in the mean, are `hanse.verification.learning`.

References
----------
.. [ErevRoth] I. Erev and A. Roth, American Economic Review 88 (1998): reinforcement, with
   forgetting and experimentation.
.. [Exp3] P. Auer, N. Cesa-Bianchi, Y. Freund and R. Schapire, SIAM Journal on Computing 32 (2002).
"""

from math import exp
from typing import Final

import numpy as np

from hanse.market.units import Floats

_STEEPEST: Final = 600.0
"""Log-odds beyond this differ no more in a float."""


def move_towards(current: Floats, best: Floats, *, share: float) -> Floats:
    """Go a share of the way to a best response, so that what all do at once need not overshoot.

    Where `best` is NaN there is nothing to go by, and the row stays. With `share` 1 this is best
    response itself, which cycles where everybody answers the same stale price.

    Examples
    --------
    >>> move_towards(np.array([0.0, 3.0]), np.array([8.0, np.nan]), share=0.25).tolist()
    [2.0, 3.0]
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share must be from 0 to 1, got {share}")
    return np.where(np.isnan(best), current, current + share * (best - current))


def smoothed(forecast: Floats, observed: Floats, *, memory: float) -> Floats:
    """Return the next forecast by exponential smoothing: `memory` is the weight of the old one.

    Examples
    --------
    >>> smoothed(np.array([4.0, 4.0]), np.array([8.0, np.nan]), memory=0.75).tolist()
    [5.0, 4.0]
    """
    return move_towards(forecast, observed, share=1.0 - memory)


def shift_odds(share: float, gain: float, *, rate: float, least: float) -> float:
    """Move the share that plays the first of two strategies by what it has paid more.

    Discrete replication, or exponential weights: log-odds move by `rate` times the gain. Either
    strategy keeps at least the share `least`. Where the gain is not known nothing is learned.

    Examples
    --------
    >>> shift_odds(0.5, 1.0, rate=0.0, least=0.01), shift_odds(0.5, 9.9, rate=9.0, least=0.01)
    (0.5, 0.99)
    """
    if not np.isfinite(gain):
        return share
    odds = share / (1.0 - share) * exp(min(rate * gain, _STEEPEST))
    return min(max(odds / (1.0 + odds), least), 1.0 - least)


def replicated(share: Floats, payoff: Floats, *, rate: float) -> Floats:
    """Return shares of strategies after one round of exponential weights; they sum to 1.

    Examples
    --------
    >>> replicated(np.array([0.5, 0.5]), np.array([np.log(3.0), 0.0]), rate=1.0).tolist()
    [0.75, 0.25]
    """
    weight = share * np.exp(rate * (payoff - payoff.max()))
    return np.asarray(weight / weight.sum())


def reinforced(
    propensity: Floats, played: int, payoff: float, *, forgetting: float, experimentation: float
) -> Floats:
    """Return propensities after one pay-off >= 0, of which others than the played get a part.

    Choice is in proportion to propensities [ErevRoth]_.

    Examples
    --------
    >>> reinforced(
    ...     np.array([1.0, 1.0, 1.0]), 0, 2.0, forgetting=0.5, experimentation=0.2
    ... ).tolist()
    [2.1, 0.7, 0.7]
    """
    if payoff < 0.0:
        raise ValueError(f"payoff must be at least 0, got {payoff}")
    n = len(propensity)
    part = np.full(n, payoff * experimentation / max(1, n - 1))
    part[played] = payoff * (1.0 - experimentation)
    return np.asarray((1.0 - forgetting) * propensity + part)


def exp3_shares(log_weight: Floats, *, exploration: float) -> Floats:
    """Return with which probability each arm is pulled [Exp3]_."""
    weight = np.exp(log_weight - log_weight.max())
    return np.asarray((1.0 - exploration) * weight / weight.sum() + exploration / len(weight))


def exp3_learned(log_weight: Floats, pulled: int, payoff: float, *, exploration: float) -> Floats:
    """Return log-weights after one pull that paid, from 0 to 1, and told nothing of other arms."""
    if not 0.0 <= payoff <= 1.0:
        raise ValueError(f"payoff must be from 0 to 1, got {payoff}")
    learned = log_weight.copy()
    probability = exp3_shares(log_weight, exploration=exploration)[pulled]
    learned[pulled] += exploration * payoff / probability / len(log_weight)
    return learned
