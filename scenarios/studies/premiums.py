"""What verification would add to a price, per pair of solver and verifier regions of a world."""

from typing import Final

import numpy as np

from hanse.agents.lower_fleet import usd_per_us
from hanse.agents.world import World
from hanse.market.terms import ON_FINALITY
from hanse.market.units import S_PER_HOUR, US_PER_S
from hanse.scenarios.measuring.measures import Table
from hanse.verification.audit_premium import AuditPolicy, AuditPremium, audit_premium
from hanse.verification.incentives import cheats
from hanse.verification.premium import Places

_DISPUTE_ROUNDS: Final = 14
_DISPUTE_RESPONSE_S: Final = 1.0
"""A task of 1,024 steps of 11 operators is bisected in 10 + 4 rounds, a second each; grade E."""


def regional_premium(world: World, *, work_s: float = S_PER_HOUR) -> AuditPremium:
    """Price the verification of one task of `work_s` accelerator-seconds, for each region pair.

    The reward is the mean posted price of that time. Results are wrong to the tempted share where
    cheating pays under this audit probability, and never where it does not. Somebody waits for a
    check where the scenario releases on finality, at the mean cost of delay of a job. A run slows
    no work down and levies nothing: these terms are 0.
    """
    terms, geography = world.terms, world.geography
    busy, _ = usd_per_us(world)
    usd_per_gpu_hour = float(world.fleet.node_posted_usd_per_gpu_hour.mean())
    reward_usd = usd_per_gpu_hour * work_s / S_PER_HOUR
    saving_usd = terms.saved_share * float(busy.mean()) * work_s * US_PER_S
    stake_usd = terms.stake_multiple * reward_usd
    pays = cheats(saving_usd, terms.audit_probability, terms.audit_detection, stake_usd, reward_usd)
    policy = AuditPolicy(
        audit_probability=terms.audit_probability,
        audit_share=terms.audit_share,
        audit_detection=terms.audit_detection,
        audit_bytes=terms.audit_bytes,
        stake_multiple=terms.stake_multiple,
        capital_rate_per_year=terms.capital_rate_per_year,
        receipt_cpu_s=(terms.receipt_sign_us + terms.receipt_verify_us) / US_PER_S,
        core_usd_per_hour=terms.core_usd_per_hour,
        wrong_share=terms.temptation_share if pays else 0.0,
        dispute_rounds=_DISPUTE_ROUNDS,
        dispute_response_s=_DISPUTE_RESPONSE_S,
        waiting_usd_per_s=_waiting_usd_per_s(world),
    )
    places = Places(
        rtt_ms=geography.rtt_ms,
        gbps=geography.gbps,
        egress_usd_per_gb=geography.egress_usd_per_gb,
        usd_per_gpu_s=busy * US_PER_S,
    )
    return audit_premium(places, policy, work_s=work_s, reward_usd=reward_usd)


def premium_table(world: World) -> Table:
    """Lay out the premium of one accelerator-hour: a row per solver, verifier and term."""
    result, region = regional_premium(world), np.array(world.geography.region, dtype=object)
    n_regions, terms = len(region), result.terms()
    n_pairs = n_regions * n_regions
    return {
        "solver_region": np.tile(np.repeat(region, n_regions), len(terms)),
        "verifier_region": np.tile(np.tile(region, n_regions), len(terms)),
        "term": np.repeat(np.array(list(terms), dtype=object), n_pairs),
        "usd_per_gpu_hour": np.concatenate([usd.ravel() for usd in terms.values()]),
        "finality_audited_s": np.tile(result.finality.audited_us.ravel() / US_PER_S, len(terms)),
    }


def _waiting_usd_per_s(world: World) -> float:
    delay = world.workload.job_delay_usd_per_s
    return float(delay.mean()) if world.terms.release == ON_FINALITY and len(delay) else 0.0
