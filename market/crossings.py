"""Boundary crossings: the five operations, their cost laws, caching and authority continuity."""

from dataclasses import dataclass
from math import comb

import numpy as np

from hanse.market.geography import Geography
from hanse.market.units import US_PER_MS, Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossingCosts:
    """What the five operations cost at one boundary (calibration: `scenarios/parameters.toml`).

    `rule_dimensions` independent conditions meet at a crossing, one more where the jurisdiction
    changes; each has `rule_levels` levels, and rules join at most `interaction_order` of them.
    `round_trip_scale` multiplies every round trip that a crossing waits for; 0 is the frictionless
    limit, in which only the transfer of bytes keeps its physics.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossingTables:
    """Costs of one crossing from region f to region g; every array has shape (n_regions,) * 2.

    Diagonals are zero: a stage that runs where its inputs lie crosses nothing.
    """

    identity_full_us: Integers
    identity_verify_us: Integers
    policy_us: Integers
    commit_us: Integers
    state_rtt_us: Integers
    authority_us: Integers
    cpu_full_us: Integers
    cpu_cached_us: Integers


def rule_count(dimensions: int, levels: int, order: int) -> int:
    """Count the rules that join at most `order` of `dimensions` conditions of `levels` levels.

    The sum over k <= order of C(dimensions, k) * levels**k: polynomial of degree `order` in the
    number of conditions, and the full product only when order equals dimensions.
    """
    return sum(comb(dimensions, k) * levels**k for k in range(min(order, dimensions) + 1))


def crossing_tables(geography: Geography, costs: CrossingCosts) -> CrossingTables:
    """Tabulate the latency and the control work of each crossing, in whole microseconds."""
    foreign = geography.region_jurisdiction[:, None] != geography.region_jurisdiction[None, :]
    away = ~np.eye(geography.n_regions, dtype=bool)
    rtt_us = geography.rtt_ms * US_PER_MS * costs.round_trip_scale
    order, levels = costs.interaction_order, costs.rule_levels
    rules = np.where(
        foreign,
        rule_count(costs.rule_dimensions + 1, levels, order),
        rule_count(costs.rule_dimensions, levels, order),
    )
    policy = costs.policy_base_us + costs.policy_rule_us * rules
    authority = costs.authority_round_trips * rtt_us + costs.identity_verify_us + costs.approval_us
    cpu = policy + costs.proxy_cpu_us

    def table(us: np.ndarray[tuple[int, ...], np.dtype[np.float64]] | float) -> Integers:
        return np.rint(np.where(away, us, 0.0)).astype(np.int64)

    return CrossingTables(
        identity_full_us=table(costs.identity_full_us + rtt_us),
        identity_verify_us=table(costs.identity_verify_us),
        policy_us=table(policy + costs.proxy_us),
        commit_us=table(costs.commit_us),
        state_rtt_us=table(rtt_us),
        authority_us=table(np.where(foreign, authority, 0.0)),
        cpu_full_us=table(cpu + costs.identity_full_us),
        cpu_cached_us=table(cpu + costs.identity_verify_us),
    )
