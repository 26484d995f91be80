"""The one place for what verification adds to the price of work, per solver-verifier pair."""

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.verification.incentives import capital_cost_usd
from hanse.verification.protocols.interface import (
    PlacePair,
    ProtocolTerms,
    TaskShape,
    VerificationProtocol,
)
from hanse.verification.ranges import require_above, require_at_least, require_probabilities

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# This package may import no other: tests hold these equal to those of `hanse.market.units`.
MS_PER_S: Final = 1_000
US_PER_S: Final = 1_000_000
US_PER_MS: Final = 1_000
S_PER_HOUR: Final = 3_600
BITS_PER_BYTE: Final = 8
BITS_PER_GBIT: Final = 1_000_000_000
BYTES_PER_GB: Final = 1_000_000_000

SIGNATURES_PER_ROUND: Final = 2
SHARES: Final = ("audit_probability", "audit_share", "audit_detection", "wrong_share")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What the premium needs to know of n_regions places; the solver's region comes first.

    Attributes
    ----------
    rtt_ms : shape (n_regions, n_regions), > 0 also on the diagonal.
    gbps : shape (n_regions, n_regions), rate of one bulk transfer in Gbit/s.
    egress_usd_per_gb : shape (n_regions,), paid on bytes that leave a region.
    usd_per_gpu_s : shape (n_regions,), what an accelerator costs there.
    """

    rtt_ms: Floats
    gbps: Floats
    egress_usd_per_gb: Floats
    usd_per_gpu_s: Floats

    def __post_init__(self) -> None:
        n_regions = len(self.usd_per_gpu_s)
        _require_shape("rtt_ms", self.rtt_ms, (n_regions, n_regions))
        _require_shape("gbps", self.gbps, (n_regions, n_regions))
        _require_shape("egress_usd_per_gb", self.egress_usd_per_gb, (n_regions,))
        require_above(self, rtt_ms=0, gbps=0)
        require_at_least(self, egress_usd_per_gb=0, usd_per_gpu_s=0)


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

    def __post_init__(self) -> None:
        require_probabilities(self, *SHARES)
        others = [field.name for field in fields(self) if field.name not in SHARES]
        require_at_least(self, **dict.fromkeys(others, 0))

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
class Premium:
    """What verification adds to one unit of work; shape (n_regions, n_regions), solver first.

    Every term is kept apart and none is left out because it is small.

    Attributes
    ----------
    audit_compute_usd : expected re-execution, at the verifier's price.
    audit_transfer_usd : expected egress of the audited segment; 0 within a region.
    capital_usd : the stake, locked during the task and until it is final.
    receipt_cpu_usd : signing and verifying the receipt, audited or not.
    dispute_usd : expected cost of disputes. In an honest market it vanishes beside the rest, and
        nothing here may scale it up.
    finality : the delays, which a buyer pays for in time.
    """

    audit_compute_usd: Floats
    audit_transfer_usd: Floats
    capital_usd: Floats
    receipt_cpu_usd: Floats
    dispute_usd: Floats
    finality: Finality

    @property
    def total_usd(self) -> Floats:
        total: Floats = sum(self.terms().values(), np.zeros_like(self.capital_usd))
        return total

    def terms(self) -> dict[str, Floats]:
        """Return the terms by name, in the order in which they are printed."""
        return {
            "audit_compute_usd": self.audit_compute_usd,
            "audit_transfer_usd": self.audit_transfer_usd,
            "capital_usd": self.capital_usd,
            "receipt_cpu_usd": self.receipt_cpu_usd,
            "dispute_usd": self.dispute_usd,
        }


def premium(
    places: Places, policy: AuditPolicy, *, work_s: float, reward_usd: float | Floats
) -> Premium:
    """Price the verification of one unit of work for every solver-verifier region pair.

    Parameters
    ----------
    work_s : accelerator time of the work.
    reward_usd : what the solver is paid, for all or of shape (n_regions,) by its region; the stake
        is a multiple of it.
    """
    n_regions = len(places.usd_per_gpu_s)
    audit_s = policy.audit_share * work_s
    verifier_usd_per_gpu_s = np.broadcast_to(places.usd_per_gpu_s, (n_regions, n_regions))
    stake_usd = policy.stake_multiple * np.broadcast_to(reward_usd, (n_regions,))[:, None]
    delay = finality(places, policy, work_s=work_s)
    return Premium(
        audit_compute_usd=policy.audit_probability * audit_s * verifier_usd_per_gpu_s,
        audit_transfer_usd=policy.audit_probability * _egress_usd(places, policy.audit_bytes),
        capital_usd=capital_cost_usd(
            stake_usd, policy.capital_rate_per_year, work_s + _expected_s(delay, policy)
        ),
        receipt_cpu_usd=np.full((n_regions, n_regions), policy.receipt_usd),
        dispute_usd=policy.dispute_probability * dispute_usd(places, policy, stake_usd),
        finality=delay,
    )


def finality(places: Places, policy: AuditPolicy, *, work_s: float) -> Finality:
    """Time the three ways in which a result becomes final.

    Unaudited, the receipt travels one way. Audited, the receipt travels, the segment follows, the
    verifier executes it again, and the verdict travels back. Disputed, the rounds come on top.
    """
    one_way_s = places.rtt_ms / MS_PER_S / 2.0
    audited_s = one_way_s + _transfer_s(places, policy) + policy.audit_share * work_s + one_way_s
    return Finality(
        unaudited_us=_whole_us(one_way_s),
        audited_us=_whole_us(audited_s),
        disputed_us=_whole_us(audited_s + dispute_s(places, policy)),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Charges:
    """What time, capital and disputes are charged at; the same for every protocol.

    Attributes
    ----------
    capital_rate_per_year : what locked money costs.
    message_cpu_s, core_usd_per_hour : core time to sign and verify a message, and its price.
    wrong_share : share of results that are wrong; as in `AuditPolicy`, assumed and swept.
    response_s : time a party takes to answer one question.
    waiting_usd_per_s : what a second's delay of a result is worth to whoever waits for it.
    """

    capital_rate_per_year: float
    message_cpu_s: float
    core_usd_per_hour: float
    wrong_share: float
    response_s: float = 1.0
    waiting_usd_per_s: float = 0.0

    def __post_init__(self) -> None:
        require_probabilities(self, "wrong_share")
        others = [field.name for field in fields(self) if field.name != "wrong_share"]
        require_at_least(self, **dict.fromkeys(others, 0))

    @property
    def message_usd(self) -> float:
        """Cost of signing and verifying one message."""
        return self.message_cpu_s * self.core_usd_per_hour / S_PER_HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolPremium:
    """What a protocol adds to the price of one task; shape (n_regions, n_regions), solver first.

    No term is left out where it is zero, and none is scaled.

    Attributes
    ----------
    compute_usd : the solver's work, slowed down so that it can be repeated.
    audit_usd : expected re-executions, at the verifier's price.
    taxes_usd : what every task pays into a treasury.
    dispute_usd : expected disputes, their round trips left out: both parties hold an accelerator
        while they answer and replay, messages are signed, and the stake stays locked throughout.
    capital_usd : all stakes, during the work and until the result is final.
    latency_usd : the round trips that a result waits for, and those of expected disputes.
    transfer_usd : expected egress of what is executed again; 0 within a region.
    message_usd : signing and verifying.
    finality_us, dispute_us : expected delay of an undisputed result; length of a dispute.
    """

    compute_usd: Floats
    audit_usd: Floats
    taxes_usd: Floats
    dispute_usd: Floats
    capital_usd: Floats
    latency_usd: Floats
    transfer_usd: Floats
    message_usd: Floats
    finality_us: Integers
    dispute_us: Integers

    @property
    def total_usd(self) -> Floats:
        total: Floats = sum(self.terms().values(), np.zeros_like(self.capital_usd))
        return total

    def terms(self) -> dict[str, Floats]:
        """Return the terms by name, in the order in which they are printed."""
        names = [field.name for field in fields(self) if field.name.endswith("_usd")]
        return {name: getattr(self, name) for name in names}


def protocol_premium(
    protocol: VerificationProtocol,
    task: TaskShape,
    places: Places,
    *,
    stake_micro_usd: int,
    charges: Charges,
) -> ProtocolPremium:
    """Turn what a protocol declares into what it adds to the price of a task, for every pair.

    Nothing in it knows a market. A fee that a protocol pays its auditors is a transfer, and stands
    in no term: what an audit costs is its compute.
    """
    n_regions, rate = len(places.usd_per_gpu_s), charges.capital_rate_per_year
    declared = [
        [
            protocol.terms(
                task,
                _pair(places, solver, verifier, response_s=charges.response_s),
                stake_micro_usd,
            )
            for verifier in range(n_regions)
        ]
        for solver in range(n_regions)
    ]
    work_s = _column(declared, "reproducibility") * task.work_us / US_PER_S
    solver_usd_per_s, verifier_usd_per_s = np.meshgrid(
        places.usd_per_gpu_s, places.usd_per_gpu_s, indexing="ij"
    )
    held_usd_per_s = solver_usd_per_s + verifier_usd_per_s
    rtt_s = _whole_us(places.rtt_ms / MS_PER_S) / US_PER_S
    questions = _column(declared, "dispute_questions")
    lasting_s = _column(declared, "dispute_us") / US_PER_S
    disputed = charges.wrong_share * _column(declared, "detection_probability")
    one_dispute_usd = (
        (lasting_s - questions * rtt_s) * held_usd_per_s
        + _column(declared, "n_dispute_messages") * charges.message_usd
        + capital_cost_usd(stake_micro_usd / US_PER_S, rate, lasting_s)
    )
    waiting, trips = charges.waiting_usd_per_s, _column(declared, "n_round_trips")
    egress_usd = _egress_usd(places, 1.0)
    return ProtocolPremium(
        compute_usd=(work_s - task.work_us / US_PER_S) * solver_usd_per_s,
        audit_usd=_column(declared, "rerun_share") * work_s * verifier_usd_per_s,
        taxes_usd=_column(declared, "levy_usd"),
        dispute_usd=disputed * one_dispute_usd,
        capital_usd=capital_cost_usd(1.0, rate, _column(declared, "locked_usd_s")),
        latency_usd=(trips * waiting + disputed * questions * (held_usd_per_s + waiting)) * rtt_s,
        transfer_usd=_column(declared, "moved_bytes") * egress_usd,
        message_usd=_column(declared, "n_messages") * charges.message_usd,
        finality_us=np.rint(_column(declared, "finality_us")).astype(np.int64),
        dispute_us=np.rint(_column(declared, "dispute_us")).astype(np.int64),
    )


def _pair(places: Places, solver: int, verifier: int, *, response_s: float) -> PlacePair:
    return PlacePair(
        rtt_us=round(places.rtt_ms[solver, verifier] * US_PER_MS),
        gbps=float(places.gbps[solver, verifier]),
        response_us=round(response_s * US_PER_S),
    )


def _column(declared: list[list[ProtocolTerms]], name: str) -> Floats:
    return np.array([[float(getattr(terms, name)) for terms in row] for row in declared])


def _transfer_s(places: Places, policy: AuditPolicy) -> Floats:
    bits = policy.audit_bytes * BITS_PER_BYTE
    seconds: Floats = bits / (places.gbps * BITS_PER_GBIT)
    return seconds


def _egress_usd(places: Places, n_bytes: float) -> Floats:
    leaves = ~np.eye(len(places.egress_usd_per_gb), dtype=bool)
    usd: Floats = n_bytes / BYTES_PER_GB * places.egress_usd_per_gb[:, None] * leaves
    return usd


def _expected_s(delay: Finality, policy: AuditPolicy) -> Floats:
    unaudited = (1.0 - policy.audit_probability) * delay.unaudited_us
    audited = policy.audit_probability * delay.audited_us
    seconds: Floats = (unaudited + audited) / US_PER_S
    return seconds


def _whole_us(seconds: Floats) -> Integers:
    return np.rint(seconds * US_PER_S).astype(np.int64)


def _require_shape(name: str, value: Floats, shape: tuple[int, ...]) -> None:
    if value.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {value.shape}")
