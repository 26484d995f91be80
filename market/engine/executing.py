"""From readiness to the end of execution: requests set out, commands land, units work."""

from hanse.market.engine.auditing import end_audit, next_audit, start_audit
from hanse.market.engine.bits import add_member
from hanse.market.engine.clock import N_BOUNCES, NOW
from hanse.market.engine.columns import Facts, Rules, State
from hanse.market.engine.completing import lapse, next_attempt, note_lock
from hanse.market.engine.crossing_renewal import cross, renew_caches
from hanse.market.engine.divergence import refuses
from hanse.market.engine.events import (
    AUDIT_ARRIVES,
    DELIVERED,
    EXPIRE,
    RECEIPT,
    REQUEST,
    WAKE,
    of_epoch,
    schedule,
)
from hanse.market.engine.failure_columns import CALL_ERROR
from hanse.market.engine.failures import work_until_error
from hanse.market.engine.options import offer_options
from hanse.market.engine.power_caps import begin_work, end_work, work_ends
from hanse.market.engine.preparation import plan_steps, prepare, way_us
from hanse.market.engine.records import occupy_unit
from hanse.market.engine.retrying import send_request, stop
from hanse.market.engine.stage_clock import enter, open_stage, plan
from hanse.market.engine.stage_graph import last_before_us, note_sources
from hanse.market.engine.stale import n_own, owner_of
from hanse.market.engine.states import (
    ABANDONED,
    ACTIVE,
    AUDIT,
    BOUNCED,
    DELIVERING,
    DISCARDED,
    DISPATCHED,
    EXECUTING,
    FAILED,
    FAILS,
    IN_FLIGHT,
    NOT_READY,
    ON_CONTEXT,
    RIGHT,
    STALENESS,
    UNCHECKED,
    WRONG,
)
from hanse.market.engine.views import record_change
from hanse.market.kernels import kernel
from hanse.verification.incentives import cheats


@kernel
def become_ready(facts: Facts, rules: Rules, state: State, stage: int) -> None:
    """Release a stage: it is a request from now on, and travels to its plane."""
    row, fact, now_us = state.stage[stage], facts.stage[stage], state.clock[NOW]
    if row["status"] != NOT_READY:
        return
    if facts.first_input[stage] < facts.first_input[stage + 1]:
        last_us = last_before_us(facts, state, stage)
        if last_us < 0 or last_us + fact["tool_us"] != now_us:
            return
        note_sources(facts, state, stage)
    if row["ready_us"] < 0:
        row["ready_us"] = now_us
        row["since_us"] = now_us
    row["status"] = ACTIVE
    row["obligation_us"] = now_us
    row["plane"], row["passed_on"] = facts.stage_plane[stage], 0
    offer_options(facts, state, stage)
    enter(rules, state, stage, IN_FLIGHT)
    open_stage(state, stage)
    send_request(facts, rules, state, stage)
    if now_us >= fact["deadline_us"]:
        schedule(state, now_us, EXPIRE, stage)


@kernel
def land(facts: Facts, rules: Rules, state: State, stage: int) -> None:
    """Let a command arrive at its unit: accepted iff the unit is free, else it bounces.

    It bounces, too, where the region goes by another policy than the one it was admitted under.
    """
    row, now_us = state.stage[stage], state.clock[NOW]
    if row["status"] != ACTIVE or row["state"] != DISPATCHED or row["land_us"] != now_us:
        return
    region = facts.unit[row["unit"]]["region"]
    is_free = state.unit[row["unit"]]["is_busy"] == 0
    if is_free and not refuses(facts, state, stage, region, now_us):
        _accept(facts, rules, state, stage)
        return
    back_us = now_us + way_us(facts, state, stage, region)
    state.clock[N_BOUNCES] += 1
    if is_free and rules.refresh_us == 0:  # nothing changes at the unit that would be reported
        schedule(state, back_us + 1, WAKE, row["plane"])
    if rules.escrow == 1:
        note_lock(state, stage, back_us)
    row["unit"], row["record"] = -1, -1
    row["bounces"] += 1
    row["attempt"] = next_attempt(facts, state, stage)
    row["obligation_us"] = now_us
    enter(rules, state, stage, BOUNCED)
    row["returning"] = BOUNCED
    if row["bounces"] > rules.bounce_limit:
        lapse(facts, rules, state, stage, STALENESS)
        return
    schedule(state, back_us, REQUEST, of_epoch(stage, row["epoch"]))


@kernel
def _accept(facts: Facts, rules: Rules, state: State, stage: int) -> None:
    """Occupy the unit: what is left of the preparation, then the payload."""
    row, fact, now_us = state.stage[stage], facts.stage[stage], state.clock[NOW]
    unit = row["unit"]
    region = facts.unit[unit]["region"]
    ready = prepare(facts, state, stage, region, 0, now_us, 1)
    enter(rules, state, stage, EXECUTING)
    index = occupy_unit(facts, state, stage, unit)
    record = state.record[index]
    plan(state, stage, ON_CONTEXT, ready.context_us)
    record["context_us"] = ready.context_us
    until_error_us = work_until_error(facts, rules, state, stage)
    work_us = fact["work_us"] if until_error_us < 0 else until_error_us
    record["execution_us"] = work_us
    row["holding_us"] = ready.holding_us
    if ready.holding_us > 0:
        record["identity_us"], record["policy_us"] = ready.held_us[0], ready.held_us[1]
        record["state_us"], record["authority_us"] = ready.held_us[2], ready.held_us[3]
        record["transfer_us"] = ready.held_us[4]
        plan_steps(state, stage, ready.held_us)
        record["end_us"] = now_us + ready.holding_us
    record["end_us"] += ready.context_us + work_us
    record["payment_micro_usd"] = row["payment_micro_usd"]
    record["escrow_us"] = row["escrow_us"]
    record["is_wrong"] = FAILS
    if until_error_us < 0:
        record["is_wrong"] = _why_wrong(facts, rules, state, stage, ready.way.unchecked)
    if stage >= n_own(rules, state):  # a stale request works in vain
        record["stage"], record["outcome"] = owner_of(rules, state, stage), ABANDONED
    cross(facts, state, stage, region, ready, now_us, 1)
    renew_caches(facts, rules, state, stage, region)
    record_change(facts, rules, state, unit, 0)
    begin_work(facts, rules, state, unit, row["record"])


@kernel
def _why_wrong(facts: Facts, rules: Rules, state: State, stage: int, unchecked: int) -> int:
    """Say why the result of a stage will be wrong: a cheat, or a check left out; 0 if it is not."""
    is_cheat = _is_tempted(facts, rules, state, stage)
    if is_cheat == 0 and unchecked > 0 and facts.crossing.stage[stage]["is_inadmissible"] == 1:
        return UNCHECKED
    return is_cheat


@kernel
def _is_tempted(facts: Facts, rules: Rules, state: State, stage: int) -> int:
    """Say whether whoever owns the unit cheats on this stage: tempted, and it pays."""
    row, fact = state.stage[stage], facts.stage[stage]
    if facts.attempt_temptation[row["attempt"], stage] >= rules.temptation_share:
        return 0
    cost_usd = facts.sink[facts.unit[row["unit"]]["sink"]]["busy_usd_per_us"] * fact["work_us"]
    reward_usd = row["payment_micro_usd"] * 1e-6
    stake_usd = rules.stake_multiple * reward_usd
    saving_usd = rules.saved_share * cost_usd
    probability, detection = rules.audit_probability, rules.audit_detection
    return int(cheats(saving_usd, probability, detection, stake_usd, reward_usd))


@kernel
def finish(facts: Facts, rules: Rules, state: State, unit: int) -> None:
    """End an occupation: hand on the result, free the unit or give it to a waiting audit."""
    index = state.unit[unit]["record"]
    end_work(facts, state, unit)
    if state.record[index]["end_us"] != state.clock[NOW] or state.unit[unit]["is_busy"] == 0:
        return  # the unit broke down before
    state.unit[unit]["is_busy"] = 0
    state.idle_units[facts.unit[unit]["sink"]] += 1
    add_member(state.idle, unit)
    if state.record[index]["stage"] >= 0:
        _end_work(facts, rules, state, index)
    waiting = next_audit(state, facts.sink[facts.unit[unit]["sink"]]["place"])
    if waiting >= 0:
        start_audit(facts, rules, state, waiting, unit)
    else:
        record_change(facts, rules, state, unit, 1)
    work_ends(facts, rules, state, unit)


@kernel
def _end_work(facts: Facts, rules: Rules, state: State, index: int) -> None:
    """Say how an occupation by a stage ended: audited, in vain, failed, or with a result."""
    record = state.record[index]
    stage, region = record["stage"], facts.unit[record["unit"]]["region"]
    is_current = record["epoch"] == state.stage[stage]["epoch"]
    if record["outcome"] == AUDIT:
        if is_current:
            end_audit(facts, rules, state, stage, record["execution_us"])
        return
    if record["outcome"] == ABANDONED or not is_current:
        record["outcome"] = max(record["outcome"], DISCARDED)
        record["final_us"] = state.clock[NOW]
    elif record["is_wrong"] == FAILS:
        record["outcome"] = FAILED
        record["final_us"] = state.clock[NOW]
        word_us = facts.link[region, facts.stage[stage]["origin"]]["delivery_us"]
        stop(rules, state, stage, CALL_ERROR, word_us)
    else:
        record["outcome"] = WRONG if record["is_wrong"] > 0 else RIGHT
        _hand_on(facts, rules, state, stage, region)


@kernel
def _hand_on(facts: Facts, rules: Rules, state: State, stage: int, region: int) -> None:
    """Send the result to its origin, the receipt to the plane, and to an audit if one is drawn."""
    row, fact, now_us = state.stage[stage], facts.stage[stage], state.clock[NOW]
    row["executed_us"] = now_us
    row["is_delivered"] = row["is_final"] = 0
    enter(rules, state, stage, DELIVERING)
    for edge in range(facts.first_output[stage], facts.first_output[stage + 1]):
        after = facts.successor[edge]
        # Of all that a stage waits for, the first has its context.
        if facts.predecessor[facts.first_input[after]] == stage:
            state.stage[after]["input_region"] = region
            state.stage[after]["context_until_us"] = now_us + rules.context_ttl_us
    coin = facts.attempt_audit[row["attempt"], stage]
    row["is_audited"] = 1 if coin < rules.audit_probability else 0
    index = of_epoch(stage, row["epoch"])
    delivery_us = facts.link[region, fact["origin"]]["delivery_us"]
    schedule(state, now_us + delivery_us, DELIVERED, index)
    schedule(state, now_us + facts.command_us[row["plane"], region], RECEIPT, index)
    if row["is_audited"] == 1:
        place = fact["verifier_region"]
        way_us = facts.link[region, place]["delivery_us"]
        way_us += round(rules.audit_bytes * facts.link[region, place]["transfer_us_per_byte"])
        schedule(state, now_us + way_us, AUDIT_ARRIVES, index)
