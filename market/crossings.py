"""Boundary crossings: kinds of boundaries, the five operations, and the laws of what they cost."""

from dataclasses import dataclass
from math import comb
from typing import Final

import numpy as np

from hanse.market.geography import Geography
from hanse.market.units import US_PER_MS, Floats, Integers

KINDS: Final = ("identity", "policy", "modality", "authority", "transport")
"""The kinds of boundaries that a crossing may meet; each may take part or not."""

STEPS: Final = ("identity", "policy", "state", "authority", "transfer")
"""What is done before a stage can run elsewhere, in order; a mask has a bit for each."""

ALL_STEPS: Final = (1 << len(STEPS)) - 1

ADDITIVE: Final = "additive"
ORDER_T: Final = "order_t"
JOINT: Final = "joint"
LAWS: Final = (ADDITIVE, ORDER_T, JOINT)

TRANSFER_COVERS: Final = "transfer"
EXECUTION_COVERS: Final = "execution"

# A joint law of many conditions outlasts any horizon; the sums of times must fit all the same.
_LONGEST_US: Final = float(1 << 50)


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossingCosts:
    """What the five operations cost at one boundary (calibration: `scenarios/parameters.toml`).

    The conditions that meet at a crossing are those of the kinds of boundaries that it crosses and
    that take part (`participation`): `rule_dimensions` of policy, `identity_conditions` where the
    trust domain changes, and so on. Each has `rule_levels` levels, and `law` says how many rules,
    or states to agree on, they make: `interaction_order` is the most that one rule joins under
    the law `order_t`. All this belongs to the workload, and is the same for every regime.
    `round_trip_scale` multiplies every round trip that a crossing waits for; 0 is the frictionless
    limit, in which only the transfer of bytes keeps its physics.
    `overlap` lists the steps that run beside what `overlap_with` names; `hold_batch` is how many
    waiting stages share a unit that is held; intervals and lifetimes of 0 switch their mechanism
    off, and so does a pool of 0 cores.
    """

    identity_full_us: float
    identity_verify_us: float
    policy_base_us: float
    policy_rule_us: float
    rule_dimensions: int
    rule_levels: int
    interaction_order: int
    proxy_cpu_us: float
    proxy_us: float
    commit_us: float
    authority_round_trips: float
    approval_us: int
    round_trip_scale: float = 1.0
    law: str = ORDER_T
    state_rule_us: float = 0.0
    identity_conditions: int = 0
    modality_conditions: int = 0
    authority_conditions: int = 1
    transport_conditions: int = 0
    participation: tuple[str, ...] = KINDS
    identity_resume_us: float = 0.0
    session_ttl_us: int = 0
    capability_verify_us: float = 0.0
    capability_ttl_us: int = 0
    revocation_lag_us: int = 0
    revalidation_us: int = 0
    batch_window_us: int = 0
    pool_cores: float = 0.0
    hold_batch: int = 1
    overlap: tuple[str, ...] = ()
    overlap_with: str = TRANSFER_COVERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundaries:
    """To which trust domain, policy domain and transport each region belongs; shape (n_regions,).

    Two regions of one domain have no boundary of that kind between them. Where jurisdictions lie,
    the geography says.
    """

    trust_domain: Integers
    policy_domain: Integers
    transport: Integers


def own_boundaries(n_regions: int) -> Boundaries:
    """Give each region a trust and a policy domain of its own, and all of them one transport."""
    own = np.arange(n_regions)
    return Boundaries(trust_domain=own, policy_domain=own, transport=np.zeros_like(own))


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossingTables:
    """Costs of one crossing from region f to region g; every array has shape (n_regions,) * 2.

    Diagonals are zero: a stage that runs where its inputs lie crosses nothing. What ends in
    `_core_us` is control work, the rest is latency; `modal` is for stages of another modality
    than their inputs.
    """

    identity_full_us: Integers
    identity_resume_us: Integers
    identity_verify_us: Integers
    policy_us: Integers
    policy_modal_us: Integers
    commit_us: Integers
    commit_modal_us: Integers
    state_rtt_us: Integers
    authority_us: Integers
    approval_us: Integers
    capability_us: Integers
    identity_full_core_us: Integers
    identity_resume_core_us: Integers
    identity_verify_core_us: Integers
    policy_core_us: Integers
    policy_modal_core_us: Integers


def rule_count(dimensions: int, levels: int, order: int) -> int:
    """Count the rules that join at most `order` of `dimensions` conditions of `levels` levels.

    The sum over k <= order of C(dimensions, k) * levels**k: polynomial of degree `order` in the
    number of conditions, and exponential only where order grows with dimensions.
    """
    return sum(comb(dimensions, k) * levels**k for k in range(min(order, dimensions) + 1))


def condition_count(law: str, dimensions: int, levels: int, order: int) -> int:
    """Count what a law makes of independent conditions: rules to read, or states to agree on.

    `additive` looks at each level of each condition by itself, `order_t` is `rule_count`, and
    `joint` enumerates the product of all levels.

    >>> [condition_count(law, 10, 3, 2) for law in LAWS]
    [30, 436, 59049]
    """
    if law == ADDITIVE:
        return dimensions * levels
    return int(levels**dimensions) if law == JOINT else rule_count(dimensions, levels, order)


def crosses(
    geography: Geography, costs: CrossingCosts, boundaries: Boundaries
) -> dict[str, Floats]:
    """Say which boundaries each crossing meets, by kind; 1 where it does and the kind takes part.

    Each array has shape (n_regions, n_regions). Modality is a matter of the stage: its entry is 1
    wherever a stage that changes it would cross.
    """
    place = {
        "identity": boundaries.trust_domain,
        "policy": boundaries.policy_domain,
        "modality": np.arange(geography.n_regions),
        "authority": geography.region_jurisdiction,
        "transport": boundaries.transport,
    }
    return {
        kind: (kind in costs.participation) * (domain[:, None] != domain[None, :]).astype(float)
        for kind, domain in place.items()
    }


def _rules(costs: CrossingCosts, met: dict[str, Floats], *, modal: bool) -> Floats:
    """Count the rules at each crossing: those of the conditions of the kinds that it meets."""
    conditions = {
        "identity": costs.identity_conditions,
        "policy": costs.rule_dimensions,
        "modality": costs.modality_conditions * modal,
        "authority": costs.authority_conditions,
        "transport": costs.transport_conditions,
    }
    dimensions = sum(conditions[kind] * met[kind] for kind in KINDS)
    assert isinstance(dimensions, np.ndarray)
    different, place = np.unique(dimensions.astype(np.int64), return_inverse=True)
    levels, order = costs.rule_levels, costs.interaction_order
    counts = [condition_count(costs.law, int(d), levels, order) for d in different]
    return np.array([float(count) for count in counts])[place].reshape(dimensions.shape)


def crossing_tables(
    geography: Geography, costs: CrossingCosts, boundaries: Boundaries | None = None
) -> CrossingTables:
    """Tabulate the latency and the control work of each crossing, in whole microseconds."""
    met = crosses(geography, costs, boundaries or own_boundaries(geography.n_regions))
    away = ~np.eye(geography.n_regions, dtype=bool)
    rtt_us = geography.rtt_ms * US_PER_MS * costs.round_trip_scale

    def table(us: Floats | float, kind: str | None = None) -> Integers:
        where = away if kind is None else away & (met[kind] > 0)
        return np.rint(np.where(where, np.minimum(us, _LONGEST_US), 0.0)).astype(np.int64)

    rules = _rules(costs, met, modal=False), _rules(costs, met, modal=True)
    policy, policy_modal = (costs.policy_base_us + costs.policy_rule_us * n for n in rules)
    commit, commit_modal = (costs.commit_us + costs.state_rule_us * n for n in rules)
    exchange = costs.authority_round_trips * rtt_us + costs.identity_verify_us
    return CrossingTables(
        identity_full_us=table(costs.identity_full_us + rtt_us, "identity"),
        identity_resume_us=table(costs.identity_resume_us + rtt_us, "identity"),
        identity_verify_us=table(costs.identity_verify_us, "identity"),
        policy_us=table(policy + costs.proxy_us, "policy"),
        policy_modal_us=table(policy_modal + costs.proxy_us, "policy"),
        commit_us=table(commit),
        commit_modal_us=table(commit_modal),
        state_rtt_us=table(rtt_us),
        authority_us=table(exchange, "authority"),
        approval_us=table(float(costs.approval_us), "authority"),
        capability_us=table(costs.capability_verify_us, "authority"),
        identity_full_core_us=table(costs.identity_full_us, "identity"),
        identity_resume_core_us=table(costs.identity_resume_us, "identity"),
        identity_verify_core_us=table(costs.identity_verify_us, "identity"),
        policy_core_us=table(policy + costs.proxy_cpu_us, "policy"),
        policy_modal_core_us=table(policy_modal + costs.proxy_cpu_us, "policy"),
    )
