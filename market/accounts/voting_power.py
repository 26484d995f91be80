"""The one place for power in weighted votes: how often a voter decides, by two classical counts.

A share of votes is not a share of power: with 51 of 100 votes one holder decides everything. Both
indices count coalitions that win with a voter and lose without it. Banzhaf counts all coalitions
alike, Shapley and Shubik all orders of voters. Both are exact by generating functions, in time
n x n x quota; for many voters or large weights they are sampled, with their standard error.

References
----------
.. [Banzhaf] J. F. Banzhaf, Rutgers Law Review 19 (1965). .. [ShapleyShubik] L. S. Shapley and
   M. Shubik, American Political Science Review 48 (1954). The generating functions are those of
   Cantor and of Mann and Shapley (RAND RM-3158, 1962).
"""

from dataclasses import dataclass

import numpy as np

from hanse.market.units import Floats, Integers

SAMPLES_AT_ONCE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledPower:
    """An estimate of a power index, and the standard error of each entry; shape (n_voters,)."""

    power: Floats
    standard_error: Floats


def banzhaf_power(weight: Integers, quota: int) -> Floats:
    """Return the normalised Banzhaf index: each voter's share of all swings; shape (n_voters,).

    Parameters
    ----------
    weight : whole numbers, at least 0.
    quota : weight that wins, above 0 and at most the sum of weights.

    Examples
    --------
    >>> banzhaf_power(np.array([50, 49, 1]), 51).tolist()
    [0.6, 0.2, 0.2]
    """
    votes = _checked(weight, quota)
    ways = np.zeros(quota)
    ways[0] = 1.0
    for vote in votes:
        ways = _with_voter(ways, vote)
    swings = np.array([_without_voter(ways, vote)[max(0, quota - vote) :].sum() for vote in votes])
    swings = np.where(votes > 0, swings, 0.0)
    return np.asarray(swings / swings.sum())


def shapley_shubik_power(weight: Integers, quota: int) -> Floats:
    """Return the Shapley-Shubik index: the share of orders in which a voter decides.

    Parameters
    ----------
    weight : whole numbers, at least 0.
    quota : weight that wins, above 0 and at most the sum of weights.

    Examples
    --------
    >>> shapley_shubik_power(np.array([40, 30, 20, 10]), 51).round(4).tolist()
    [0.4167, 0.25, 0.25, 0.0833]
    """
    votes = _checked(weight, quota)
    n_voters = len(votes)
    power = np.zeros(n_voters)
    for voter, vote in enumerate(votes):
        if vote == 0:
            continue
        # Row s: how likely s of the others, drawn at random, are to weigh so much.
        ways = np.zeros((n_voters, quota))
        ways[0, 0] = 1.0
        for n_before, other in enumerate(np.delete(votes, voter)):
            ways = _draw_in(ways, int(other), n_before)
        swings = ways[:, max(0, quota - vote) :].sum(axis=1)
        # All numbers of voters before this one are alike.
        power[voter] = float(swings.mean())
    return power


def sampled_power(
    weight: Floats, quota: float, *, rng: np.random.Generator, n_orders: int = 20_000
) -> SampledPower:
    """Estimate the Shapley-Shubik index from random orders of the voters.

    Parameters
    ----------
    weight : any numbers, at least 0; shape (n_voters,).
    quota : weight that wins, above 0 and at most the sum of weights.
    n_orders : at least 2.
    """
    votes = np.asarray(weight, float)
    if n_orders < 2:
        raise ValueError(f"n_orders must be at least 2, got {n_orders}")
    if not 0 < quota <= votes.sum():
        raise ValueError(f"quota must be above 0 and at most {votes.sum()}, got {quota}")
    decided = np.zeros(len(votes))
    for begin in range(0, n_orders, SAMPLES_AT_ONCE):
        size = min(SAMPLES_AT_ONCE, n_orders - begin)
        order = rng.random((size, len(votes))).argsort(axis=1)
        reached = np.cumsum(votes[order], axis=1) >= quota
        # The last reaches it whatever rounding says.
        reached[:, -1] = True
        pivot = order[np.arange(size), reached.argmax(axis=1)]
        decided += np.bincount(pivot, minlength=len(votes))
    share = decided / n_orders
    error = np.sqrt(share * (1.0 - share) / (n_orders - 1))
    return SampledPower(power=share, standard_error=error)


def _with_voter(ways: Floats, vote: int) -> Floats:
    """Let one more voter join or not, each with chance 1/2: counts of coalitions would overflow."""
    more = ways / 2.0
    if vote < len(ways):
        more[vote:] += ways[: len(ways) - vote] / 2.0
    return more


def _without_voter(ways: Floats, vote: int) -> Floats:
    """Return the weights of coalitions of the others: divide by the voter's own factor."""
    if vote == 0:
        return ways
    less = 2.0 * ways
    for begin in range(vote, len(ways), vote):
        end = min(begin + vote, len(ways))
        less[begin:end] -= less[begin - vote : end - vote]
    return less


def _draw_in(ways: Floats, other: int, n_before: int) -> Floats:
    """Let one more of the others join or not; each row stays a distribution over coalitions.

    A coalition of s among n + 1 is a uniform draw: it has the last one with chance s / (n + 1).
    """
    size = np.arange(ways.shape[0])[:, None]
    joins = np.clip(size / (n_before + 1.0), 0.0, 1.0)
    more = (1.0 - joins) * ways
    if other < ways.shape[1]:
        width = ways.shape[1] - other
        more[1:, other:] += joins[1:] * ways[:-1, :width]
    return more


def _checked(weight: Integers, quota: int) -> Integers:
    votes = np.asarray(weight)
    if votes.dtype.kind not in "iu" or votes.min(initial=0) < 0:
        raise ValueError(f"weights must be whole numbers of at least 0, got {votes.tolist()}")
    if not 0 < quota <= votes.sum():
        raise ValueError(f"quota must be above 0 and at most {votes.sum()}, got {quota}")
    return votes.astype(np.int64)
