"""From what a world says of boundary crossings to the columns of the engine."""

from dataclasses import fields, replace
from typing import Final

import numpy as np

from hanse.agents.world import World
from hanse.market.crossings import (
    ALL_STEPS,
    EXECUTION_COVERS,
    STEPS,
    Boundaries,
    crosses,
    crossing_tables,
    own_boundaries,
)
from hanse.market.engine.columns import Rows
from hanse.market.engine.crossing_columns import CROSSING, LINK, SHARED_HOLD, CrossingFacts
from hanse.market.units import BYTES_PER_GB, US_PER_MS, US_PER_S, Flags, Integers

_BITS_PER_BYTE: Final = 8
_IDENTITY, _POLICY, _STATE = (STEPS.index(name) for name in ("identity", "policy", "state"))


def boundaries_of(world: World) -> Boundaries:
    """Return the domains of a world's regions; each its own where none is drawn."""
    own, drawn = own_boundaries(world.geography.n_regions), world.crossing_draws
    columns = {
        "trust_domain": drawn.region_trust_domain,
        "policy_domain": drawn.region_policy_domain,
        "transport": drawn.region_transport,
    }
    return replace(own, **{name: domain for name, domain in columns.items() if len(domain) > 0})


def links(world: World) -> Rows:
    """Tabulate what lies between two regions: the way of data, and the cost of crossing."""
    geography, boundaries = world.geography, boundaries_of(world)
    link = np.zeros(geography.rtt_ms.shape, LINK)
    tables = crossing_tables(geography, world.crossing, boundaries)
    for field in fields(tables):
        link[field.name] = getattr(tables, field.name)
    link["delivery_us"] = np.rint(geography.rtt_ms * US_PER_MS / 2).astype(np.int64)
    link["is_foreign"] = crosses(geography, world.crossing, boundaries)["authority"]
    link["transfer_us_per_byte"] = _BITS_PER_BYTE / (geography.gbps * 1e9 / US_PER_S)
    link["egress_usd_per_byte"] = (geography.egress_usd_per_gb / BYTES_PER_GB)[:, None]
    return link


def held_steps(world: World) -> Integers:
    """Return for which steps of its crossing each stage holds a unit, in bits."""
    drawn = world.crossing_draws.stage_held_steps
    held = drawn if len(drawn) > 0 else ALL_STEPS * world.workload.stage_holds.astype(np.int64)
    shares = (held > 0) & (world.crossing.hold_batch > 1)
    return np.where(shares, held | SHARED_HOLD, held)


def crossing_facts(world: World) -> CrossingFacts:
    """Pack what the world says of crossings; what is not drawn is as if it were not there."""
    drawn, costs = world.crossing_draws, world.crossing
    n_buyers = len(world.workload.buyer_region)
    return CrossingFacts(
        stage=_stage_facts(world),
        attempt_approval=drawn.attempt_approval,
        has_capability=capability_scope(world).astype(np.int64),
        first_revocation=np.searchsorted(drawn.revocation_buyer, np.arange(n_buyers + 1)),
        revocation_us=drawn.revocation_us,
        overlap=_overlap(world),
        execution_covers=int(costs.overlap_with == EXECUTION_COVERS),
        hold_batch=costs.hold_batch,
        session_ttl_us=costs.session_ttl_us,
        capability_ttl_us=costs.capability_ttl_us,
        revocation_lag_us=costs.revocation_lag_us,
        revalidation_us=costs.revalidation_us,
        batch_window_us=costs.batch_window_us,
        policy_base_us=round(costs.policy_base_us),
        pool_cores=float(costs.pool_cores),
    )


def capability_scope(world: World) -> Flags:
    """Say of each buyer and jurisdiction whether the buyer carries a capability that names it.

    A capability is issued where its holder is at home, and holds there, whatever else it names.
    """
    drawn, geography, buyer_region = (
        world.crossing_draws,
        world.geography,
        world.workload.buyer_region,
    )
    n_buyers, n_jurisdictions = len(buyer_region), int(geography.region_jurisdiction.max()) + 1
    names = np.ones((n_buyers, n_jurisdictions), bool)
    if len(drawn.buyer_scope) > 0:
        names = drawn.buyer_scope[:, :n_jurisdictions].copy()
        names[np.arange(n_buyers), geography.region_jurisdiction[buyer_region]] = True
    scope: Flags = names & _or_nothing(drawn.buyer_has_capability, n_buyers)[:, None]
    return scope


def _overlap(world: World) -> int:
    return sum(1 << STEPS.index(name) for name in STEPS[:-1] if name in world.crossing.overlap)


def _or_nothing(flags: Flags, size: int) -> Flags:
    return flags if len(flags) > 0 else np.zeros(size, bool)


def _stage_facts(world: World) -> Rows:
    drawn, n_stages = world.crossing_draws, world.workload.n_stages
    fact = np.zeros(n_stages, CROSSING)
    fact["is_monotone"] = _or_nothing(drawn.stage_is_monotone, n_stages)
    fact["is_modal"] = _or_nothing(drawn.stage_is_modal, n_stages)
    fact["skips_policy"] = _or_nothing(drawn.stage_skips_policy, n_stages)
    fact["is_inadmissible"] = _or_nothing(drawn.stage_is_inadmissible, n_stages)
    may_shrink = np.full(n_stages, _overlap(world))
    may_shrink |= fact["skips_policy"].astype(np.int64) << _POLICY
    may_shrink |= fact["is_monotone"].astype(np.int64) << _STATE
    if world.crossing.batch_window_us > 0:
        may_shrink |= 1 << _POLICY
    if world.crossing.session_ttl_us > 0 and (
        world.crossing.identity_resume_us < world.crossing.identity_verify_us
    ):
        may_shrink |= 1 << _IDENTITY
    fact["is_sure"] = ALL_STEPS & ~may_shrink
    return fact
