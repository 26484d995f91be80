"""The one place for what a policy of random audits adds to a price, as a world's terms say it.

Unlike a protocol it says in shares what is executed again, and knows no steps and no segments.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.verification.incentives import capital_cost_usd
from hanse.verification.premium import (
    MS_PER_S,
    S_PER_HOUR,
    US_PER_S,
    Floats,
    Integers,
    Places,
    PriceTerms,
    egress_usd,
    whole_us,
)
from hanse.verification.ranges import require_at_least, require_no_negative, require_probabilities

BITS_PER_BYTE: Final = 8
BITS_PER_GBIT: Final = 1_000_000_000
SIGNATURES_PER_ROUND: Final = 2
SHARES: Final = ("audit_probability", "audit_share", "audit_detection", "wrong_share")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPolicy:
    """How results are checked, and what checking is charged at.

    Attributes
    ----------
    audit_probability : share of results that are audited.
    audit_share : share of an audited task that is executed again.
    audit_detection : probability that an audit of a wrong result finds it wrong.
    audit_bytes : size of the audited segment, sent from the solver to the verifier.
    stake_multiple : stake over reward.
    capital_rate_per_year : what locked money costs.
    receipt_cpu_s : core time to sign one message and to verify it.
    core_usd_per_hour : price of that core time.
    wrong_share : share of results that are wrong, from error or intent, and so would be disputed
        once found. Grade E: assumed; swept.
    dispute_rounds : questions until one operator is left (log2 of steps, plus of operators).
    dispute_response_s : time a party takes to answer one of them.
    slowdown : of work whose bytes must repeat, at least 1.
    levy_usd : what every task pays into a treasury.
    waiting_usd_per_s : what a second's delay of a result is worth to whoever waits for it.
    """

    audit_probability: float
    audit_share: float
    audit_detection: float
    audit_bytes: float
    stake_multiple: float
    capital_rate_per_year: float
    receipt_cpu_s: float
    core_usd_per_hour: float
    wrong_share: float
    dispute_rounds: int
    dispute_response_s: float
    slowdown: float = 1.0
    levy_usd: float = 0.0
    waiting_usd_per_s: float = 0.0

    def __post_init__(self) -> None:
        require_probabilities(self, *SHARES)
        require_no_negative(self, besides=SHARES)
        require_at_least(self, slowdown=1)

    @property
    def receipt_usd(self) -> float:
        """Cost of signing and verifying one message."""
        return self.receipt_cpu_s * self.core_usd_per_hour / S_PER_HOUR

    @property
    def dispute_probability(self) -> float:
        """Probability that a result is wrong, audited, found out, and disputed: very small."""
        return self.audit_probability * self.audit_detection * self.wrong_share


@dataclass(frozen=True, slots=True, kw_only=True)
class Finality:
    """How long after the end of execution a result is final; shape (n_regions, n_regions).

    Whole microseconds, rounded once. `unaudited_us`: the receipt has reached the verifier.
    `audited_us`: the verdict has come back. `disputed_us`: the dispute is over.
    """

    unaudited_us: Integers
    audited_us: Integers
    disputed_us: Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPremium(PriceTerms):
    """What an audit policy adds. In it the round trips of a dispute hold accelerators, too.

    Attributes
    ----------
    finality : the delays; `latency_usd` is what their round trips are worth to who waits for them.
    """

    finality: Finality


def audit_premium(
    places: Places, policy: AuditPolicy, *, work_s: float, reward_usd: float | Floats
) -> AuditPremium:
    """Price the verification of one unit of work for every solver-verifier region pair.

    Parameters
    ----------
    work_s : accelerator time of the work.
    reward_usd : what the solver is paid, for all or of shape (n_regions,) by its region; the stake
        is a multiple of it.
    """
    n_regions = len(places.usd_per_gpu_s)
    pairs = (n_regions, n_regions)
    solver_usd_per_gpu_s = np.broadcast_to(places.usd_per_gpu_s[:, None], pairs)
    verifier_usd_per_gpu_s = np.broadcast_to(places.usd_per_gpu_s, pairs)
    held_s = policy.slowdown * work_s
    stake_usd = policy.stake_multiple * np.broadcast_to(reward_usd, (n_regions,))[:, None]
    delay = finality(places, policy, work_s=work_s)
    audit_s = policy.audit_probability * policy.audit_share * held_s
    return AuditPremium(
        compute_usd=(held_s - work_s) * solver_usd_per_gpu_s,
        audit_usd=audit_s * verifier_usd_per_gpu_s,
        taxes_usd=np.full(pairs, policy.levy_usd),
        dispute_usd=policy.dispute_probability * dispute_usd(places, policy, stake_usd),
        capital_usd=capital_cost_usd(
            stake_usd, policy.capital_rate_per_year, held_s + _expected_s(delay, policy)
        ),
        latency_usd=policy.waiting_usd_per_s * _trips_s(places, policy),
        transfer_usd=policy.audit_probability * egress_usd(places, policy.audit_bytes),
        message_usd=np.full(pairs, policy.receipt_usd),
        finality=delay,
    )


def finality(places: Places, policy: AuditPolicy, *, work_s: float) -> Finality:
    """Time the three ways in which a result becomes final.

    Unaudited, the receipt travels one way. Audited, the receipt travels, the segment follows, the
    verifier executes it again, and the verdict travels back. Disputed, the rounds come on top.
    """
    one_way_s = places.rtt_ms / MS_PER_S / 2.0
    again_s = policy.audit_share * policy.slowdown * work_s
    audited_s = one_way_s + _transfer_s(places, policy) + again_s + one_way_s
    return Finality(
        unaudited_us=whole_us(one_way_s),
        audited_us=whole_us(audited_s),
        disputed_us=whole_us(audited_s + dispute_s(places, policy)),
    )


def dispute_s(places: Places, policy: AuditPolicy) -> Floats:
    """Return how long a dispute lasts, rounds x (round trip + response); shape as `rtt_ms`.

    The referee's own work is left out: one operator, under 1e-4 of an execution.
    """
    round_s: Floats = places.rtt_ms / MS_PER_S + policy.dispute_response_s
    return policy.dispute_rounds * round_s


def dispute_usd(places: Places, policy: AuditPolicy, stake_usd: Floats) -> Floats:
    """Return what one dispute costs if it happens, not its expectation.

    An upper bound: both parties hold an accelerator throughout. Added are the signed moves and the
    stake that stays locked. `stake_usd` broadcasts to shape (n_regions, n_regions).
    """
    duration_s = dispute_s(places, policy)
    price = places.usd_per_gpu_s
    held_usd = duration_s * (price[:, None] + price[None, :])
    moves_usd = policy.dispute_rounds * SIGNATURES_PER_ROUND * policy.receipt_usd
    locked_usd = capital_cost_usd(stake_usd, policy.capital_rate_per_year, duration_s)
    total: Floats = held_usd + moves_usd + locked_usd
    return total


def _trips_s(places: Places, policy: AuditPolicy) -> Floats:
    """Return the time on the way that a result waits for: one way, back if audited, disputes."""
    n_trips = (1.0 + policy.audit_probability) / 2.0
    n_trips += policy.dispute_probability * policy.dispute_rounds
    seconds: Floats = n_trips * places.rtt_ms / MS_PER_S
    return seconds


def _transfer_s(places: Places, policy: AuditPolicy) -> Floats:
    bits = policy.audit_bytes * BITS_PER_BYTE
    seconds: Floats = bits / (places.gbps * BITS_PER_GBIT)
    return seconds


def _expected_s(delay: Finality, policy: AuditPolicy) -> Floats:
    unaudited = (1.0 - policy.audit_probability) * delay.unaudited_us
    audited = policy.audit_probability * delay.audited_us
    seconds: Floats = (unaudited + audited) / US_PER_S
    return seconds
