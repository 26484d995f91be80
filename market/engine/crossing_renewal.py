"""What a real crossing pays and leaves behind: work, counts, caches, batches, backlogs."""

from hanse.market.engine.clock import GENERATION, NOW
from hanse.market.engine.columns import Facts, Rules, State
from hanse.market.engine.crossing_steps import next_revocation_us
from hanse.market.engine.egress import bill_egress
from hanse.market.engine.preparation import Preparation
from hanse.market.kernels import kernel

_IDENTITY, _POLICY, _AUTHORITY, _TRANSFER = 0, 1, 3, 4


@kernel
def cross(
    facts: Facts,
    state: State,
    stage: int,
    region: int,
    ready: Preparation,
    at_us: int,
    is_landed: int,
) -> None:
    """Do what is due of a crossing: what needs no unit as the command leaves, the rest on landing.

    A command that bounces has done in vain what needs no unit.
    """
    row, holds, way = state.stage[stage], facts.stage[stage]["holds"], ready.way
    core_us = way.again[2] if is_landed == 1 else 0
    if holds >> _IDENTITY & 1 == is_landed:
        core_us += way.identity_core_us
    if holds >> _POLICY & 1 == is_landed:
        core_us += way.policy_core_us
        state.crossing.tally[stage]["unchecked"] += way.unchecked
        _join_batch(facts, state, region, way.policy_core_us, at_us)
    if holds >> _AUTHORITY & 1 == is_landed:
        core_us += way.authority_core_us
        jurisdiction = facts.region_jurisdiction[region]
        _tally_authority(facts, state, stage, jurisdiction, ready, at_us)
    if holds >> _TRANSFER & 1 == is_landed:
        row["egress_usd"] += way.egress_usd
        row["moved_bytes"] += way.moved_bytes
        bill_egress(facts, state, stage, region)
    row["data_core_us"] += core_us
    if facts.crossing.pool_cores > 0 and core_us > 0:
        begins_us = max(state.crossing.pool_free_us[region], at_us)
        busy_us = int(core_us / facts.crossing.pool_cores + 0.5)
        state.crossing.pool_free_us[region] = begins_us + busy_us
        state.clock[GENERATION] += 1


@kernel
def _join_batch(facts: Facts, state: State, region: int, core_us: int, at_us: int) -> None:
    """Open a batch of policy decisions where none is open."""
    if facts.crossing.batch_window_us == 0 or core_us == 0:
        return
    if state.crossing.batch_until_us[region] <= at_us:
        state.crossing.batch_until_us[region] = at_us + facts.crossing.batch_window_us
        state.clock[GENERATION] += 1


@kernel
def _tally_authority(
    facts: Facts, state: State, stage: int, jurisdiction: int, ready: Preparation, at_us: int
) -> None:
    """Count how authority was reconciled; a capability that is refused is issued anew.

    What it does not name is reconciled beside it, and leaves it as it was.
    """
    tally, way = state.crossing.tally[stage], ready.way
    tally["approvals"] += way.approvals
    tally["capability_uses"] += way.capability_uses
    tally["invalid_uses"] += way.invalid_uses
    buyer = facts.stage[stage]["buyer"]
    if way.approvals > 0 and facts.crossing.has_capability[buyer, jurisdiction] == 1:
        state.crossing.capability_since_us[buyer] = at_us
        state.clock[GENERATION] += 1


@kernel
def renew_caches(facts: Facts, rules: Rules, state: State, stage: int, region: int) -> None:
    """Keep the credential, the session and the token that a crossing has obtained.

    What is revoked before its time is up ends there.
    """
    fact, row, now_us = facts.stage[stage], state.stage[stage], state.clock[NOW]
    if row["input_region"] == region and row["n_sources"] < 2:
        return
    revoked_us = next_revocation_us(facts, fact["buyer"], now_us)
    credential = state.credential_until_us[fact["buyer"]]
    if credential[region] <= now_us:
        credential[region] = min(now_us + rules.credential_ttl_us, revoked_us)
        session_ends_us = min(now_us + facts.crossing.session_ttl_us, revoked_us)
        state.crossing.session_until_us[fact["buyer"], region] = session_ends_us
        state.clock[GENERATION] += 1
    authority = state.authority_until_us[fact["buyer"]]
    jurisdiction = facts.region_jurisdiction[region]
    if authority[jurisdiction] <= now_us:
        authority[jurisdiction] = min(now_us + rules.authority_ttl_us, revoked_us)
        state.clock[GENERATION] += 1
