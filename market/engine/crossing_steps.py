"""What each step of a crossing takes, with the caches, batches and pools as they are."""

from typing import Final

from hanse.market.engine.columns import Facts, State
from hanse.market.engine.crossing_columns import SHARED_HOLD
from hanse.market.kernels import kernel

NO_AUTHORITY: Final = 0
RECONCILED: Final = 1
BY_CAPABILITY: Final = 2
INVALID_USE: Final = 3

_NEVER: Final = 1 << 62

Step = tuple[int, int]
"""Latency and control work, in microseconds."""

Five = tuple[int, int, int, int, int]
"""One number for each step, in order."""


@kernel
def next_revocation_us(facts: Facts, buyer: int, after_us: int) -> int:
    """Return when what a buyer holds is revoked next, after an instant."""
    crossing = facts.crossing
    low, high = crossing.first_revocation[buyer], crossing.first_revocation[buyer + 1]
    last = high
    while low < high:
        middle = (low + high) // 2
        if crossing.revocation_us[middle] > after_us:
            high = middle
        else:
            low = middle + 1
    return int(crossing.revocation_us[low]) if low < last else _NEVER


@kernel
def identity_step(
    facts: Facts, state: State, stage: int, source: int, region: int, now_us: int
) -> Step:
    """Check a valid credential, resume a session that lives, or authenticate in full."""
    buyer, link = facts.stage[stage]["buyer"], facts.link[source, region]
    if state.credential_until_us[buyer, region] > now_us:
        return link["identity_verify_us"], link["identity_verify_core_us"]
    if state.crossing.session_until_us[buyer, region] > now_us:
        return link["identity_resume_us"], link["identity_resume_core_us"]
    return link["identity_full_us"], link["identity_full_core_us"]


@kernel
def policy_check(facts: Facts, stage: int, source: int, region: int) -> Step:
    """Return what a policy decision takes by itself; nothing where it is skipped."""
    own, link = facts.crossing.stage[stage], facts.link[source, region]
    if own["skips_policy"] == 1:
        return 0, 0
    if own["is_modal"] == 1:
        return link["policy_modal_us"], link["policy_modal_core_us"]
    return link["policy_us"], link["policy_core_us"]


@kernel
def policy_step(
    facts: Facts, state: State, stage: int, source: int, region: int, now_us: int
) -> Step:
    """Decide by policy, after the pool's backlog, and at the end of a batch if there are any.

    Whoever opens a batch pays the fixed part of the decision for all who join it.
    """
    check_us, core_us = policy_check(facts, stage, source, region)
    if facts.crossing.pool_cores > 0:
        check_us += max(0, state.crossing.pool_free_us[region] - now_us)
    if facts.crossing.batch_window_us == 0 or core_us == 0:
        return check_us, core_us
    closes_us = state.crossing.batch_until_us[region]
    if closes_us <= now_us:
        return check_us + facts.crossing.batch_window_us, core_us
    shared_us = min(core_us, facts.crossing.policy_base_us)
    return check_us + closes_us - now_us - shared_us, core_us - shared_us


@kernel
def state_us(facts: Facts, stage: int, source: int, region: int, commit: float) -> int:
    """Return how long the commit of a stage's state takes; monotone state needs none."""
    own, link = facts.crossing.stage[stage], facts.link[source, region]
    if own["is_monotone"] == 1:
        return 0
    local_us = link["commit_modal_us"] if own["is_modal"] == 1 else link["commit_us"]
    return int(link["state_rtt_us"] + int(local_us * commit + 0.5))


@kernel
def authority_state(facts: Facts, state: State, buyer: int, jurisdiction: int, now_us: int) -> int:
    """Say what a buyer's capability is good for now, if one names the place and has not expired.

    Places learn of a revocation only after a lag; until then an invalid use is let through.
    """
    if facts.crossing.has_capability[buyer, jurisdiction] == 0:
        return RECONCILED
    since_us = state.crossing.capability_since_us[buyer]
    revoked_us = next_revocation_us(facts, buyer, since_us)
    if now_us >= since_us + facts.crossing.capability_ttl_us:
        return RECONCILED
    if now_us < revoked_us:
        return BY_CAPABILITY
    return INVALID_USE if now_us < revoked_us + facts.crossing.revocation_lag_us else RECONCILED


@kernel
def authority_step(
    facts: Facts, state: State, stage: int, source: int, region: int, now_us: int, is_real: int
) -> tuple[int, int, int]:
    """Have another jurisdiction recognise the buyer; return latency, work, and how it was done.

    Who carries a capability that names the jurisdiction shows it at each crossing; all others have
    a token for each jurisdiction. An approval takes its own time if the crossing `is_real`, else
    the mean.
    """
    buyer, link = facts.stage[stage]["buyer"], facts.link[source, region]
    if link["is_foreign"] == 0:
        return 0, 0, NO_AUTHORITY
    jurisdiction = facts.region_jurisdiction[region]
    how = authority_state(facts, state, buyer, jurisdiction, now_us)
    if how != RECONCILED:
        return link["capability_us"], link["capability_us"], how
    holds_token = state.authority_until_us[buyer, jurisdiction] > now_us
    if holds_token and facts.crossing.has_capability[buyer, jurisdiction] == 0:
        return 0, 0, NO_AUTHORITY
    approval_us = link["approval_us"]
    if is_real == 1 and len(facts.crossing.attempt_approval) > 0:
        attempt = state.stage[stage]["attempt"]
        factor = facts.crossing.attempt_approval[attempt, stage]
        approval_us = int(approval_us * factor + 0.5)
    return link["authority_us"] + approval_us, 0, RECONCILED


@kernel
def _seen_us(full: Five, step: int, overlap: int, longest: int, cover_us: int) -> int:
    if overlap >> step & 1 == 0:
        return full[step]
    return max(0, full[step] - cover_us) if step == longest else 0


@kernel
def uncovered(full: Five, overlap: int, cover_us: int) -> Five:
    """Return what of each step is seen when some overlap: with each other, and with a cover.

    The critical path is the longer of the cover and the longest of them; what it exceeds the
    cover by stays with that step.
    """
    if overlap == 0:
        return full
    longest = -1
    for step in range(4):
        if overlap >> step & 1 == 1 and (longest < 0 or full[step] > full[longest]):
            longest = step
    return (
        _seen_us(full, 0, overlap, longest, cover_us),
        _seen_us(full, 1, overlap, longest, cover_us),
        _seen_us(full, 2, overlap, longest, cover_us),
        _seen_us(full, 3, overlap, longest, cover_us),
        full[4],
    )


@kernel
def _held_us(us: int, step: int, holds: int, batch: int) -> int:
    return us // batch if holds >> step & 1 == 1 else 0


@kernel
def held_part(seen: Five, holds: int, batch: int) -> Five:
    """Return how long the unit is held in each step; a batch holds it so much less each."""
    size = batch if holds & SHARED_HOLD else 1
    return (
        _held_us(seen[0], 0, holds, size),
        _held_us(seen[1], 1, holds, size),
        _held_us(seen[2], 2, holds, size),
        _held_us(seen[3], 3, holds, size),
        _held_us(seen[4], 4, holds, size),
    )


@kernel
def total(five: Five) -> int:
    """Add up what five steps take."""
    return five[0] + five[1] + five[2] + five[3] + five[4]


@kernel
def without(five: Five, part: Five) -> Five:
    """Take a part of each step away."""
    return (
        five[0] - part[0],
        five[1] - part[1],
        five[2] - part[2],
        five[3] - part[3],
        five[4] - part[4],
    )
