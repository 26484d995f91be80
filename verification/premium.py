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
from hanse.verification.ranges import (
    require_above,
    require_at_least,
    require_no_negative,
    require_probabilities,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# This package may import no other: tests hold these equal to those of `hanse.market.units`.
MS_PER_S: Final = 1_000
US_PER_S: Final = 1_000_000
US_PER_MS: Final = 1_000
S_PER_HOUR: Final = 3_600
BYTES_PER_GB: Final = 1_000_000_000


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
class Charges:
    """What time, capital and disputes are charged at; the same for every protocol.

    Attributes
    ----------
    capital_rate_per_year : what locked money costs.
    message_cpu_s, core_usd_per_hour : core time to sign and verify a message, and its price.
    wrong_share : share of results that are wrong; assumed and swept.
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
        require_no_negative(self, besides=("wrong_share",))

    @property
    def message_usd(self) -> float:
        """Cost of signing and verifying one message."""
        return self.message_cpu_s * self.core_usd_per_hour / S_PER_HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTerms:
    """What checking adds to the price of one task; shape (n_regions, n_regions), solver first.

    No term is left out where it is zero, and none is scaled.

    Attributes
    ----------
    compute_usd : the solver's work, slowed down so that it can be repeated.
    audit_usd : expected re-executions, at the verifier's price.
    taxes_usd : what every task pays into a treasury.
    dispute_usd : expected disputes: both parties hold an accelerator, messages are signed, and the
        stake stays locked throughout.
    capital_usd : all stakes, during the work and until the result is final.
    latency_usd : the round trips that somebody waits for.
    transfer_usd : expected egress of what is executed again; 0 within a region.
    message_usd : signing and verifying.
    """

    compute_usd: Floats
    audit_usd: Floats
    taxes_usd: Floats
    dispute_usd: Floats
    capital_usd: Floats
    latency_usd: Floats
    transfer_usd: Floats
    message_usd: Floats

    @property
    def total_usd(self) -> Floats:
        total: Floats = sum(self.terms().values(), np.zeros_like(self.capital_usd))
        return total

    def terms(self) -> dict[str, Floats]:
        """Return the terms by name, in the order in which they are printed."""
        return {field.name: getattr(self, field.name) for field in fields(PriceTerms)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolPremium(PriceTerms):
    """What a protocol adds. In it all round trips are latency, those of expected disputes too.

    Attributes
    ----------
    finality_us, dispute_us : expected delay of an undisputed result; length of a dispute.
    """

    finality_us: Integers
    dispute_us: Integers


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
    rtt_s = whole_us(places.rtt_ms / MS_PER_S) / US_PER_S
    questions = _column(declared, "dispute_questions")
    lasting_s = _column(declared, "dispute_us") / US_PER_S
    disputed = charges.wrong_share * _column(declared, "detection_probability")
    one_dispute_usd = (
        (lasting_s - questions * rtt_s) * held_usd_per_s
        + _column(declared, "n_dispute_messages") * charges.message_usd
        + capital_cost_usd(stake_micro_usd / US_PER_S, rate, lasting_s)
    )
    waiting, trips = charges.waiting_usd_per_s, _column(declared, "n_round_trips")
    usd_per_byte = egress_usd(places, 1.0)
    return ProtocolPremium(
        compute_usd=(work_s - task.work_us / US_PER_S) * solver_usd_per_s,
        audit_usd=_column(declared, "rerun_share") * work_s * verifier_usd_per_s,
        taxes_usd=_column(declared, "levy_usd"),
        dispute_usd=disputed * one_dispute_usd,
        capital_usd=capital_cost_usd(1.0, rate, _column(declared, "locked_usd_s")),
        latency_usd=(trips * waiting + disputed * questions * (held_usd_per_s + waiting)) * rtt_s,
        transfer_usd=_column(declared, "moved_bytes") * usd_per_byte,
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


def egress_usd(places: Places, n_bytes: float) -> Floats:
    """Return what it costs to send bytes, by pair of regions; 0 within one."""
    leaves = ~np.eye(len(places.egress_usd_per_gb), dtype=bool)
    usd: Floats = n_bytes / BYTES_PER_GB * places.egress_usd_per_gb[:, None] * leaves
    return usd


def whole_us(seconds: Floats) -> Integers:
    """Round seconds to whole microseconds."""
    return np.rint(seconds * US_PER_S).astype(np.int64)


def _require_shape(name: str, value: Floats, shape: tuple[int, ...]) -> None:
    if value.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {value.shape}")
