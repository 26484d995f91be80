"""The numbers that every regime shares; none of them may depend on which regime is running."""

from dataclasses import dataclass

from hanse.market.failure_terms import NOTHING_FAILS, FailureTerms
from hanse.market.rails import AT_ONCE, SettlementTerms

ON_RECEIPT = "receipt"
ON_FINALITY = "finality"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """How those who cheat and those who check behave, in tasks that are really executed.

    To the ledger a cheat is a cheat, and `Terms.audit_detection` has the ring in it already.
    `ring_share` is that of audits done by friends of whoever cheats.
    """

    cheat: str = "lazy"
    checker: str = "honest"
    ring_share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Scalars of a world that decisions and accounts are made of.

    Units are in the names. `control_cores` is the whole control capacity: a hub has all of it,
    each of n planes an n-th. Service coefficients belong to rules and messages. `release`
    says whether a successor stage may start on an unverified result (`ON_RECEIPT`) or not.
    """

    control_cores: float
    clearing_interval_us: int
    refresh_interval_us: int
    bounce_limit: int
    redo_limit: int
    hub_region: int
    quota_share: float
    shards: int
    peer_regions: int
    control_delay_scale: float
    service_posted_us: float
    service_welfare_us: float
    service_message_us: float
    service_edge_us: float
    service_solve_us: float
    receipt_sign_us: float
    receipt_verify_us: float
    settlement_us: float
    audit_probability: float
    audit_share: float
    challenge_window_us: int
    audit_detection: float
    audit_bytes: float
    stake_multiple: float
    saved_share: float
    temptation_share: float
    capital_rate_per_year: float
    invoice_lag_us: int
    release: str
    hardware_usd_per_gpu_hour: float
    core_usd_per_hour: float
    active_w: float
    idle_w: float
    core_w: float
    pue: float = 1.0
    network_standing_w: float = 0.0
    network_j_per_gb: float = 0.0
    credential_ttl_us: int
    authority_ttl_us: int
    context_ttl_us: int
    context_tokens_per_gpu_s: float
    approval_person_hours: float = 0.0
    procurement_person_hours: float = 0.0
    dispute_person_hours: float = 0.0
    person_usd_per_hour: float = 0.0
    failures: FailureTerms = NOTHING_FAILS
    settlement: SettlementTerms = AT_ONCE
    conduct: Conduct = Conduct()
