"""One crossing, from where inputs lie to where the work is to be done: all its steps together."""

from typing import NamedTuple

from hanse.market.engine.columns import Facts, State
from hanse.market.engine.crossing_steps import (
    BY_CAPABILITY,
    INVALID_USE,
    RECONCILED,
    Five,
    authority_step,
    identity_step,
    policy_check,
    policy_step,
    state_us,
)
from hanse.market.kernels import kernel


class Way(NamedTuple):
    """What a crossing takes, by step and one after another, and what it comes to.

    The three kinds of control work are identity's, policy's and authority's. `again` is what
    checking identity and policy anew takes while the stage executes: the latency of each, and the
    control work of both.
    """

    step_us: Five
    identity_core_us: int
    policy_core_us: int
    authority_core_us: int
    again: tuple[int, int, int]
    egress_usd: float
    moved_bytes: float
    approvals: int
    capability_uses: int
    invalid_uses: int
    unchecked: int


@kernel
def way_between(
    facts: Facts,
    state: State,
    stage: int,
    source: int,
    region: int,
    n_bytes: float,
    now_us: int,
    is_real: int,
) -> Way:
    """Work out one crossing, with the caches as they are now.

    Commits and approvals have the attempt's own factors where the crossing `is_real`, the mean in
    an expectation.
    """
    link = facts.link[source, region]
    commit = facts.attempt_commit[state.stage[stage]["attempt"], stage] if is_real == 1 else 1.0
    identity_us, identity_core_us = identity_step(facts, state, stage, source, region, now_us)
    policy_us, policy_core_us = policy_step(facts, state, stage, source, region, now_us)
    authority_us, authority_core_us, how = authority_step(
        facts, state, stage, source, region, now_us, is_real
    )
    commit_us = state_us(facts, stage, source, region, commit)
    transfer_us = int(n_bytes * link["transfer_us_per_byte"] + 0.5)
    is_skipped = facts.crossing.stage[stage]["skips_policy"] == 1 and link["policy_us"] > 0
    return Way(
        (identity_us, policy_us, commit_us, authority_us, transfer_us),
        identity_core_us,
        policy_core_us,
        authority_core_us,
        _checks_again(facts, stage, source, region),
        n_bytes * link["egress_usd_per_byte"],
        n_bytes,
        int(how == RECONCILED),
        int(how in (BY_CAPABILITY, INVALID_USE)),
        int(how == INVALID_USE),
        int(is_skipped),
    )


@kernel
def _checks_again(facts: Facts, stage: int, source: int, region: int) -> tuple[int, int, int]:
    """Return what checking identity and policy anew, at an interval, takes during the work."""
    interval_us = facts.crossing.revalidation_us
    if interval_us == 0:
        return 0, 0, 0
    link = facts.link[source, region]
    times = (facts.stage[stage]["work_us"] - 1) // interval_us
    check_us, check_core_us = policy_check(facts, stage, source, region)
    core_us = times * (link["identity_verify_core_us"] + check_core_us)
    return times * link["identity_verify_us"], times * check_us, core_us


@kernel
def least_way_us(facts: Facts, stage: int, source: int, region: int, n_bytes: float) -> int:
    """Bound from below what a stage sees of a crossing, whatever is cached or hidden."""
    link, is_sure = facts.link[source, region], facts.crossing.stage[stage]["is_sure"]
    least_us = int(n_bytes * link["transfer_us_per_byte"])
    if is_sure & 1:
        least_us += min(link["identity_verify_us"], link["identity_full_us"])
    if is_sure & 2:
        least_us += link["policy_us"]
    if is_sure & 4:
        least_us += link["state_rtt_us"] + link["commit_us"]
    return int(least_us)


@kernel
def added(one: Way, other: Way) -> Way:
    """Add up work, egress and counts of two crossings; the times are those of the first."""
    again = (one.again[0], one.again[1], one.again[2] + other.again[2])
    return Way(
        one.step_us,
        one.identity_core_us + other.identity_core_us,
        one.policy_core_us + other.policy_core_us,
        one.authority_core_us + other.authority_core_us,
        again,
        one.egress_usd + other.egress_usd,
        one.moved_bytes + other.moved_bytes,
        one.approvals + other.approvals,
        one.capability_uses + other.capability_uses,
        one.invalid_uses + other.invalid_uses,
        one.unchecked + other.unchecked,
    )


@kernel
def at_the_pace_of(slowest: Way, every: Way) -> Way:
    """Return the work of every crossing in the time of the slowest."""
    return Way(
        slowest.step_us,
        every.identity_core_us,
        every.policy_core_us,
        every.authority_core_us,
        (slowest.again[0], slowest.again[1], every.again[2]),
        every.egress_usd,
        every.moved_bytes,
        every.approvals,
        every.capability_uses,
        every.invalid_uses,
        every.unchecked,
    )
