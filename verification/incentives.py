"""The one place for the closed forms of cheating and checking: who is tempted, what deters.

Symbols of the literature and the names used here: reward R, stake S, what a caught cheat loses
(`at_risk`) S + R, saving C = honest cost - lazy cost, audit probability p, detection d (probability
that an audit by a non-colluder finds the fault), collusion r (probability that the auditor is on
the solver's side), and the probability of being caught q = p d (1 - r). Money may be in any one
currency, unless a name says which.

References
----------
.. [PoSP] arXiv:2405.00295: random audits of rational nodes, and the condition under collusion, in
   two versions. Derived again here; the results agree with second-hand reports of the paper.
.. [Truebit] J. Teutsch and C. Reitwiessner, arXiv:1908.04756, and the rules in the project's wiki:
   a losing solver pays at most half its deposit to the challenger, the rest to the treasury.
.. [Verde] arXiv:2502.19405: refereed delegation over bitwise reproducible operators.
"""

from dataclasses import dataclass
from math import ceil, comb, inf, log1p
from typing import Final, overload

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

S_PER_YEAR: Final = 31_536_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Payoffs:
    """What one task is worth to a solver that works, and to one that only pretends to."""

    honest_usd: float
    lazy_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Slash:
    """Where the stake of a caught cheat goes; the two parts sum to the stake."""

    treasury_micro_usd: int
    verifier_micro_usd: int


@overload
def cheats(
    saving: float, audit_probability: float, detection: float, stake: float, reward: float
) -> bool: ...
@overload
def cheats(
    saving: Floats,
    audit_probability: float | Floats,
    detection: float | Floats,
    stake: float | Floats,
    reward: float | Floats,
) -> Flags: ...
@register_jitable
def cheats(  # noqa: PLR0917 - kernels call it, and numba compiles no keyword-only arguments
    saving: float | Floats,
    audit_probability: float | Floats,
    detection: float | Floats,
    stake: float | Floats,
    reward: float | Floats,
) -> bool | Flags:
    """Say whether cheating pays: the saving exceeds what it is expected to lose.

    The loss is p d (S + R): a caught cheat forfeits the stake and the reward it would have had
    (the core of [PoSP]_). An indifferent agent is honest.

    >>> cheats(60.0, 0.10, 1.0, 400.0, 100.0), cheats(60.0, 0.15, 1.0, 400.0, 100.0)
    (True, False)
    """
    return saving > audit_probability * detection * (stake + reward)


@register_jitable
def caught_probability(audit_probability: float, detection: float, collusion: float) -> float:
    """Return q = p d (1 - r), the probability that one cheated task is caught."""
    return audit_probability * detection * (1.0 - collusion)


def payoffs(
    *,
    reward_usd: float,
    honest_cost_usd: float,
    lazy_cost_usd: float,
    stake_usd: float,
    caught_probability: float,
) -> Payoffs:
    """Compare the two ways to answer one task: R - c_h against (1 - q) R - q S - c_l."""
    paid = (1.0 - caught_probability) * reward_usd
    slashed = caught_probability * stake_usd
    return Payoffs(honest_usd=reward_usd - honest_cost_usd, lazy_usd=paid - slashed - lazy_cost_usd)


def deterrent_audit_probability(
    *,
    saving: float,
    at_risk: float,
    detection: float = 1.0,
    collusion: float = 0.0,
    audit_reward: float = 0.0,
) -> float:
    """Return the least audit probability at which cheating does not pay.

    C / (d (1 - r)(S + R) - r A), where A is what a colluding auditor is paid for the audit and
    shares with the solver: with A = 0 and A = R these are the two versions of [PoSP]_. Above 1
    or infinite, no audit rate deters.

    Parameters
    ----------
    saving, at_risk, audit_reward : C, S + R and A.
    detection, collusion : probabilities d and r.

    >>> deterrent_audit_probability(saving=60.0, at_risk=500.0)
    0.12
    """
    loss = detection * (1.0 - collusion) * at_risk - collusion * audit_reward
    return saving / loss if loss > 0.0 else inf


def deterrent_stake(*, saving: float, caught_probability: float, reward: float) -> float:
    """Return the least stake at which cheating does not pay, C / q - R, and never less than 0.

    >>> deterrent_stake(saving=60.0, caught_probability=0.05, reward=100.0)
    1100.0
    """
    if caught_probability <= 0.0:
        return inf
    return max(0.0, saving / caught_probability - reward)


def detection_without_replacement(*, n_units: int, n_cheated: int, n_sampled: int) -> float:
    """Return the probability that a sample of distinct units contains a cheated one.

    1 - C(n - k, m) / C(n, m), in whole numbers up to one correctly rounded division.

    Raises
    ------
    ValueError
        If more units are cheated or sampled than there are.

    >>> detection_without_replacement(n_units=1024, n_cheated=1, n_sampled=32)
    0.03125
    """
    for name, value in (("n_cheated", n_cheated), ("n_sampled", n_sampled)):
        if not 0 <= value <= n_units:
            raise ValueError(f"{name} must be from 0 to n_units = {n_units}, got {value}")
    samples = comb(n_units, n_sampled)
    return (samples - comb(n_units - n_cheated, n_sampled)) / samples


def samples_needed(*, cheated_share: float, detection: float) -> int:
    """Return the least sample, with replacement, that catches a share with some probability.

    The least m with 1 - (1 - f)**m >= t; enough without replacement too, where it is more likely.

    Raises
    ------
    ValueError
        If `cheated_share` or `detection` is not strictly between 0 and 1.

    >>> samples_needed(cheated_share=0.01, detection=0.99)
    459
    """
    for name, value in (("cheated_share", cheated_share), ("detection", detection)):
        if not 0.0 < value < 1.0:
            raise ValueError(f"{name} must be strictly between 0 and 1, got {value}")
    return ceil(log1p(-detection) / log1p(-cheated_share))


def gain_from_cheating(
    cheated_share: Floats,
    *,
    saving: float,
    caught_probability: float,
    n_sampled: int,
    at_risk: float,
) -> Floats:
    """Return what cheating on a share f of a task gains over honest work.

    g(f) = f C - q (1 - (1 - f)**m)(R + S) is convex in f, so that its maximum is at f = 0 or f = 1
    however many units are sampled: a cheat that saves cost cheats wholly or not at all, and the
    condition of `cheats` stands. It would not if the slash were proportional to f.

    Parameters
    ----------
    cheated_share : any shape, from 0 to 1.
    n_sampled : units re-executed in one audit, at least 1.
    at_risk : S + R.
    """
    caught = caught_probability * (1.0 - (1.0 - cheated_share) ** n_sampled)
    gain: Floats = cheated_share * saving - caught * at_risk
    return gain


def expected_tasks_until_caught(caught_probability: float) -> float:
    """Return the mean number of tasks up to the one that is caught: geometric, 1 / q."""
    return 1.0 / caught_probability if caught_probability > 0.0 else inf


def gain_from_cheating_until_caught(
    *, saving: float, caught_probability: float, at_risk: float, continuation: float
) -> float:
    """Return C / q - (S + R) - V: what a cheat gains over honesty before it is thrown out.

    `continuation` is V, what being allowed to go on is worth; an agent that may return under a new
    name has V = 0.
    """
    savings = saving * expected_tasks_until_caught(caught_probability)
    return savings - at_risk - continuation


def compute_multiplier_of_audits(audit_probability: float, audit_share: float) -> float:
    """Return 1 + p s: all compute over useful compute if audits re-execute a share s of a task."""
    return 1.0 + audit_probability * audit_share


def compute_multiplier_of_replication(n_verifiers: int) -> float:
    """Return n + 1: everybody executes everything."""
    return n_verifiers + 1.0


def compute_multiplier_of_delegation(n_providers: int, reproducibility: float) -> float:
    """Return k times the slowdown of bitwise reproducible operators [Verde]_."""
    return n_providers * reproducibility


@overload
def capital_cost_usd(stake_usd: float, rate_per_year: float, duration_s: float) -> float: ...
@overload
def capital_cost_usd(
    stake_usd: float | Floats, rate_per_year: float, duration_s: Floats
) -> Floats: ...
@register_jitable
def capital_cost_usd(
    stake_usd: float | Floats, rate_per_year: float, duration_s: float | Floats
) -> float | Floats:
    """Return what locking a stake for a while costs: simple interest, years of 365 days.

    >>> round(capital_cost_usd(1100.0, 0.10, 7 * 86_400.0), 3)
    2.11
    """
    return stake_usd * rate_per_year * duration_s / S_PER_YEAR


def slash(stake_micro_usd: int) -> Slash:
    """Split a forfeited stake in halves; the odd micro-dollar goes to the treasury.

    The finder gets at most half, as in [Truebit]_, so that a cheat who is caught by a friend under
    another name still loses half.

    Raises
    ------
    ValueError
        If the stake is negative.

    >>> slash(7)
    Slash(treasury_micro_usd=4, verifier_micro_usd=3)
    """
    if stake_micro_usd < 0:
        raise ValueError(f"stake_micro_usd must be at least 0, got {stake_micro_usd}")
    verifier = stake_micro_usd // 2
    return Slash(treasury_micro_usd=stake_micro_usd - verifier, verifier_micro_usd=verifier)
