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
.. [Felten] E. Felten, articles of 4 and 5 September 2019 on the cheater checking problem: a checker
   that is paid by its finds stops checking where frauds are rare.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """The mixed equilibrium of solvers that may cheat and verifiers that may look away.

    Attributes
    ----------
    cheating : share of solvers that cheat: verifiers do not care whether they check.
    checking : share of results that are checked: solvers do not care whether they cheat.
    """

    cheating: float
    checking: float

    @property
    def accepted_fraud(self) -> float:
        """Share of all results that are wrong and accepted."""
        return self.cheating * (1.0 - self.checking)


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


def payoff_of_checking(fraud: float, *, checking_cost: float, bounty: float) -> float:
    """Return X R_v - C_v: what checking a result is worth if a share X is fraud."""
    return fraud * bounty - checking_cost


def payoff_of_trusting(
    fraud: float, *, loss: float, attention_probability: float = 0.0, deposit: float = 0.0
) -> float:
    """Return -X L - a D: what not checking is worth.

    A share X of results is fraud; not checking is found out with probability a by an attention
    challenge, and then forfeits the deposit D.
    """
    return -fraud * loss - attention_probability * deposit


def fraud_worth_checking(*, checking_cost: float, bounty: float, loss: float) -> float:
    """Return the share of fraud above which checking pays, X* = C_v / (R_v + L) [Felten]_.

    >>> fraud_worth_checking(checking_cost=5.0, bounty=200.0, loss=50.0)
    0.02
    """
    return checking_cost / (bounty + loss) if bounty + loss > 0.0 else inf


def inspection_equilibrium(
    *, saving: float, at_risk: float, checking_cost: float, bounty: float, loss: float
) -> Inspection:
    """Return the one equilibrium where cheats and checkers keep each other indifferent.

    Raises
    ------
    ValueError
        If one of the two does not depend on the other: C >= S + R, or C_v >= R_v + L.
    """
    cheating = fraud_worth_checking(checking_cost=checking_cost, bounty=bounty, loss=loss)
    checking = deterrent_audit_probability(saving=saving, at_risk=at_risk)
    for name, share in (("cheating", cheating), ("checking", checking)):
        if not 0.0 < share < 1.0:
            raise ValueError(f"the share of {name} must be strictly between 0 and 1, got {share}")
    return Inspection(cheating=cheating, checking=checking)


def least_attention_deposit(*, checking_cost: float, attention_probability: float) -> float:
    """Return the deposit from which checking pays however little fraud there is, C_v / a.

    >>> least_attention_deposit(checking_cost=5.0, attention_probability=0.05)
    100.0
    """
    return checking_cost / attention_probability if attention_probability > 0.0 else inf


def all_bad(*, n_pool: int, n_bad: int, n_drawn: int) -> float:
    """Return C(K, n) / C(N, n): only then does refereed delegation accept a wrong result."""
    return comb(n_bad, n_drawn) / comb(n_pool, n_drawn)


def majority_bad(*, n_pool: int, n_bad: int, n_drawn: int) -> float:
    """Return the probability that more than half of a committee, drawn from a pool, are bad.

    >>> round(majority_bad(n_pool=100, n_bad=30, n_drawn=3), 5)
    0.21342
    """
    ways = sum(
        comb(n_bad, bad) * comb(n_pool - n_bad, n_drawn - bad)
        for bad in range(n_drawn // 2 + 1, n_drawn + 1)
    )
    return ways / comb(n_pool, n_drawn)


def bisection_rounds(n_units: int, *, n_parts: int = 2) -> int:
    """Return how many questions leave one unit of n, each cutting what is left into parts.

    The least r with n_parts**r >= n_units, in whole numbers.

    Raises
    ------
    ValueError
        If there is no unit, or a question does not cut.

    >>> bisection_rounds(1024), bisection_rounds(80_957), bisection_rounds(80_957, n_parts=8)
    (10, 17, 6)
    """
    if n_units < 1 or n_parts < 2:
        raise ValueError(
            f"n_units must be at least 1 and n_parts at least 2, got {n_units} and {n_parts}"
        )
    rounds, reach = 0, 1
    while reach < n_units:
        rounds, reach = rounds + 1, reach * n_parts
    return rounds


def dispute_duration_s(
    *, n_rounds: int, round_trip_s: float, response_s: float, replay_s: float = 0.0
) -> float:
    """Return rounds x (round trip + response) + replay: a dispute in which nobody stalls.

    `replay_s` is the re-execution from the last checkpoint, and of the one operator.
    """
    return n_rounds * (round_trip_s + response_s) + replay_s


def stalled_s(*, n_rounds: int, move_deadline_s: float, clock_s: float = inf) -> float:
    """Return by how much a party can delay: every move to its deadline, up to its clock."""
    return min(n_rounds * move_deadline_s, clock_s)


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
