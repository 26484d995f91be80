"""From the landing of a command to finality: acceptance, execution, audits, redo, expiry."""

from hanse.market.kernels import kernel

from hanse.market.columns import (
    HEAP_SIZE,
    N_AUDITS,
    N_BOUNCES,
    N_CATCHES,
    N_RECORDS,
    N_REDOS,
    NOW,
    Facts,
    Rules,
    State,
)
from hanse.market.debt_meter import AUDIT_WORK, pay
from hanse.market.events import (
    AUDIT_ARRIVES,
    DELIVERED,
    EXPIRE,
    FINISH,
    READY,
    RECEIPT,
    REQUEST,
    VERDICT,
    push,
)
from hanse.market.gathering import remove_pending
from hanse.market.preparation import prepare
from hanse.market.stage_clock import enter, open_stage
from hanse.market.states import (
    ACTIVE,
    AUDIT,
    AWAITING_VERIFICATION,
    BOUNCED,
    CAUGHT,
    COMPLETE,
    DELIVERING,
    DISCARDED,
    DISPATCHED,
    DONE,
    EXECUTING,
    EXPIRED,
    IN_FLIGHT,
    LAPSED,
    NOT_READY,
    ON_AUTHORITY,
    ON_CONTEXT,
    ON_IDENTITY,
    ON_POLICY,
    ON_STATE,
    OPEN,
    REDO,
    RIGHT,
    RULE,
    STALENESS,
    STRATEGIC,
    TOOL,
    TRANSFERRING,
    WRONG,
)
from hanse.market.views import record_change
from hanse.verification.incentives import cheats


@kernel
def schedule(state: State, at_us: int, kind: int, index: int) -> None:
    """Put an event on the calendar."""
    state.clock[HEAP_SIZE] = push(state.heap, state.clock[HEAP_SIZE], at_us, kind, index)


@kernel
def become_ready(facts: Facts, rules: Rules, state: State, stage: int) -> None:
    """Release a stage: it is a request from now on, and travels to its plane."""
    row, fact, now_us = state.stage[stage], facts.stage[stage], state.clock[NOW]
    if row["status"] != NOT_READY:
        return
    if fact["previous"] >= 0:
        before = state.stage[fact["previous"]]
        if before["status"] != COMPLETE or before["done_us"] + fact["tool_us"] != now_us:
            return
    if row["ready_us"] < 0:
        row["ready_us"] = now_us
        row["since_us"] = now_us
    row["status"] = ACTIVE
    row["obligation_us"] = now_us
    row["plane"] = facts.origin_plane[fact["origin"]]
    enter(rules, state, stage, IN_FLIGHT)
    open_stage(state, stage)
    schedule(state, now_us + facts.command_us[row["plane"], fact["origin"]], REQUEST, stage)
    schedule(state, max(now_us, fact["deadline_us"]), EXPIRE, stage)


@kernel
def land(facts: Facts, rules: Rules, state: State, stage: int) -> None:
    """Let a command arrive at its unit: accepted iff the unit is free, else it bounces."""
    row, now_us = state.stage[stage], state.clock[NOW]
    if row["status"] != ACTIVE or row["state"] != DISPATCHED or row["land_us"] != now_us:
        return
    if state.unit[row["unit"]]["is_busy"] == 0:
        _accept(facts, rules, state, stage)
        return
    region = facts.unit[row["unit"]]["region"]
    state.clock[N_BOUNCES] += 1
    row["unit"], row["record"] = -1, -1
    row["bounces"] += 1
    row["attempt"] += 1
    row["obligation_us"] = now_us
    enter(rules, state, stage, BOUNCED)
    row["returning"] = BOUNCED
    if row["bounces"] > rules.bounce_limit:
        lapse(facts, rules, state, stage, STALENESS)
        return
    schedule(state, now_us + facts.command_us[row["plane"], region], REQUEST, stage)


@kernel
def _accept(facts: Facts, rules: Rules, state: State, stage: int) -> None:
    """Occupy the unit: what is left of the preparation, then the payload."""
    row, fact, now_us = state.stage[stage], facts.stage[stage], state.clock[NOW]
    unit = row["unit"]
    region = facts.unit[unit]["region"]
    commit = facts.attempt_commit[row["attempt"], stage]
    ready = prepare(facts, state, stage, region, 0, now_us, commit)
    enter(rules, state, stage, EXECUTING)
    plan, record = state.plan_us[stage], state.record[_occupy(state, stage, unit)]
    plan[ON_CONTEXT] = ready.context_us
    record["context_us"] = ready.context_us
    record["execution_us"] = fact["work_us"]
    if row["holding_us"] > 0:
        record["identity_us"], record["policy_us"] = ready.identity_us, ready.policy_us
        record["state_us"], record["authority_us"] = ready.state_us, ready.authority_us
        record["transfer_us"] = ready.transfer_us
        plan[ON_IDENTITY], plan[ON_POLICY] = ready.identity_us, ready.policy_us
        plan[ON_STATE], plan[ON_AUTHORITY] = ready.state_us, ready.authority_us
        plan[TRANSFERRING] = ready.transfer_us
        row["holding_us"] = ready.holding_us
        row["data_core_us"] += ready.core_us
        row["egress_usd"] += ready.egress_usd
        record["end_us"] = now_us + ready.holding_us
    record["end_us"] += ready.context_us + fact["work_us"]
    record["payment_micro_usd"] = row["payment_micro_usd"]
    record["escrow_us"] = row["escrow_us"]
    record["is_wrong"] = _is_tempted(facts, rules, state, stage, region)
    _renew_caches(facts, rules, state, stage, region)
    record_change(facts, rules, state, unit, 0)
    schedule(state, record["end_us"], FINISH, unit)


@kernel
def _occupy(state: State, stage: int, unit: int) -> int:
    """Open the record of an occupation that starts now and return its index."""
    index = state.clock[N_RECORDS]
    assert index < len(state.record), "the records are full"
    state.clock[N_RECORDS] += 1
    record = state.record[index]
    record["stage"], record["unit"] = stage, unit
    record["outcome"] = OPEN
    record["epoch"] = state.stage[stage]["epoch"]
    record["attempt"] = state.stage[stage]["attempt"]
    record["accepted_us"] = record["end_us"] = state.clock[NOW]
    record["final_us"] = -1
    state.unit[unit]["is_busy"] = 1
    state.unit[unit]["record"] = index
    state.stage[stage]["record"] = index
    return int(index)


@kernel
def _renew_caches(facts: Facts, rules: Rules, state: State, stage: int, region: int) -> None:
    """Keep the credential and the authority token that a crossing has obtained."""
    fact, now_us = facts.stage[stage], state.clock[NOW]
    if state.stage[stage]["input_region"] == region:
        return
    credential = state.credential_until_us[fact["buyer"]]
    if credential[region] <= now_us:
        credential[region] = now_us + rules.credential_ttl_us
    authority = state.authority_until_us[fact["buyer"]]
    jurisdiction = facts.region_jurisdiction[region]
    if authority[jurisdiction] <= now_us:
        authority[jurisdiction] = now_us + rules.authority_ttl_us


@kernel
def _is_tempted(facts: Facts, rules: Rules, state: State, stage: int, region: int) -> int:
    """Say whether whoever owns the unit cheats on this stage: tempted, and it pays."""
    row, fact = state.stage[stage], facts.stage[stage]
    if facts.attempt_temptation[row["attempt"], stage] >= rules.temptation_share:
        return 0
    cost_usd = facts.sink[facts.unit[row["unit"]]["sink"]]["busy_usd_per_us"] * fact["work_us"]
    reward_usd = row["payment_micro_usd"] * 1e-6
    probability = rules.audit_probability if rules.audits == 1 else 0.0
    stake_usd = rules.stake_multiple * reward_usd
    saving_usd = rules.saved_share * cost_usd
    return int(cheats(saving_usd, probability, rules.audit_detection, stake_usd, reward_usd))


@kernel
def finish(facts: Facts, rules: Rules, state: State, unit: int) -> None:
    """End an occupation: hand on the result, free the unit or give it to a waiting audit."""
    index = state.unit[unit]["record"]
    state.unit[unit]["is_busy"] = 0
    if index >= 0:
        record = state.record[index]
        stage = record["stage"]
        if record["outcome"] == AUDIT:
            if record["epoch"] == state.stage[stage]["epoch"]:
                _end_audit(facts, rules, state, stage, record["accepted_us"])
        elif record["epoch"] != state.stage[stage]["epoch"]:
            record["outcome"] = DISCARDED
        else:
            record["outcome"] = WRONG if record["is_wrong"] == 1 else RIGHT
            _hand_on(facts, rules, state, stage, facts.unit[unit]["region"])
    queue = state.audit_queue[facts.unit[unit]["sink"]]
    if queue["first"] >= 0:
        waiting = queue["first"]
        queue["first"] = state.audit_next[waiting]
        if queue["first"] < 0:
            queue["last"] = -1
        _start_audit(facts, rules, state, waiting, unit)
    else:
        record_change(facts, rules, state, unit, 1)


@kernel
def _hand_on(facts: Facts, rules: Rules, state: State, stage: int, region: int) -> None:
    """Send the result to its origin, the receipt to the plane, and to an audit if one is drawn."""
    row, fact, now_us = state.stage[stage], facts.stage[stage], state.clock[NOW]
    row["executed_us"] = now_us
    row["is_delivered"] = row["is_final"] = 0
    enter(rules, state, stage, DELIVERING)
    if fact["next"] >= 0:
        successor = state.stage[fact["next"]]
        successor["input_region"] = region
        successor["context_until_us"] = now_us + rules.context_ttl_us
    coin = facts.attempt_audit[row["attempt"], stage]
    row["is_audited"] = 1 if rules.audits == 1 and coin < rules.audit_probability else 0
    schedule(state, now_us + facts.link[region, fact["origin"]]["delivery_us"], DELIVERED, stage)
    schedule(state, now_us + facts.command_us[row["plane"], region], RECEIPT, stage)
    if row["is_audited"] == 1:
        place = fact["verifier_region"]
        way_us = facts.link[region, place]["delivery_us"]
        way_us += round(rules.audit_bytes * facts.link[region, place]["transfer_us_per_byte"])
        schedule(state, now_us + way_us, AUDIT_ARRIVES, stage)


@kernel
def audit_arrives(facts: Facts, rules: Rules, state: State, stage: int) -> None:
    """Start an audit on a free unit where the verifier sits, or let it wait for the next one."""
    n_accelerators = len(facts.sink) // len(state.region)
    place = facts.stage[stage]["verifier_region"]
    sink = place * n_accelerators + facts.stage[stage]["accelerator"]
    first, last = facts.sink[sink]["first_offer"], facts.sink[sink]["last_offer"]
    for offer in range(first, last):
        for unit in range(facts.offer[offer]["first_unit"], facts.offer[offer]["last_unit"]):
            if state.unit[unit]["is_busy"] == 0:
                _start_audit(facts, rules, state, stage, unit)
                record_change(facts, rules, state, unit, 0)
                return
    queue = state.audit_queue[sink]
    state.audit_next[stage] = -1
    if queue["last"] < 0:
        queue["first"] = stage
    else:
        state.audit_next[queue["last"]] = stage
    queue["last"] = stage


@kernel
def _start_audit(facts: Facts, rules: Rules, state: State, stage: int, unit: int) -> None:
    keep = state.stage[stage]["record"]
    record = state.record[_occupy(state, stage, unit)]
    state.stage[stage]["record"] = keep
    record["outcome"] = AUDIT
    record["execution_us"] = round(rules.audit_share * facts.stage[stage]["work_us"])
    record["end_us"] = state.clock[NOW] + record["execution_us"]
    state.clock[N_AUDITS] += 1
    schedule(state, record["end_us"], FINISH, unit)


@kernel
def _end_audit(facts: Facts, rules: Rules, state: State, stage: int, from_us: int) -> None:
    """Meter the re-execution as paid in its middle, and send the verdict to the plane."""
    row, now_us = state.stage[stage], state.clock[NOW]
    pay(facts, rules, state, stage, AUDIT_WORK, (from_us + now_us) // 2, now_us - from_us)
    row["audit_end_us"] = now_us
    place = facts.stage[stage]["verifier_region"]
    schedule(state, now_us + facts.command_us[row["plane"], place], VERDICT, stage)


@kernel
def delivered(facts: Facts, rules: Rules, state: State, stage: int) -> None:
    """Take in a result, or word of its finality, at its origin; complete the stage if it may."""
    row, fact, now_us = state.stage[stage], facts.stage[stage], state.clock[NOW]
    if row["status"] != ACTIVE:
        return
    if row["state"] == DELIVERING:
        row["is_delivered"] = 1
        enter(rules, state, stage, AWAITING_VERIFICATION)
    if row["state"] != AWAITING_VERIFICATION:
        return
    word_us = row["final_us"] + facts.command_us[row["plane"], fact["origin"]]
    if rules.on_finality == 0 or (row["is_final"] == 1 and word_us <= now_us):
        _complete(facts, rules, state, stage)


@kernel
def _complete(facts: Facts, rules: Rules, state: State, stage: int) -> None:
    row, now_us, successor = state.stage[stage], state.clock[NOW], facts.stage[stage]["next"]
    row["status"] = COMPLETE
    row["done_us"] = now_us
    enter(rules, state, stage, DONE)
    if successor >= 0:
        follow = state.stage[successor]
        if follow["ready_us"] < 0:
            follow["ready_us"] = follow["since_us"] = now_us
            follow["state"] = TOOL
        else:
            enter(rules, state, successor, TOOL)
        schedule(state, now_us + facts.stage[successor]["tool_us"], READY, successor)


@kernel
def finalise(facts: Facts, rules: Rules, state: State, stage: int) -> None:
    """Settle a result that its checks have passed, or send it back if an audit caught it."""
    row, now_us = state.stage[stage], state.clock[NOW]
    if row["record"] < 0 or row["status"] == LAPSED:
        return
    record = state.record[row["record"]]
    if record["outcome"] != RIGHT and record["outcome"] != WRONG:
        return
    row["final_us"] = record["final_us"] = now_us
    row["is_final"] = 1
    coin = facts.attempt_audit[row["attempt"], stage]
    is_detected = coin < rules.audit_probability * rules.audit_detection
    if row["is_audited"] == 1 and record["outcome"] == WRONG and is_detected:
        record["outcome"] = CAUGHT
        state.clock[N_CATCHES] += 1
        _redo(facts, rules, state, stage)
    elif rules.on_finality == 1:
        way_us = facts.command_us[row["plane"], facts.stage[stage]["origin"]]
        schedule(state, now_us + way_us, DELIVERED, stage)


@kernel
def _redo(facts: Facts, rules: Rules, state: State, stage: int) -> None:
    """Request a caught stage anew; whatever its successor has done with the wrong input is lost."""
    row = state.stage[stage]
    row["epoch"] += 1
    row["attempt"] += 1
    row["redos"] += 1
    row["unit"] = row["record"] = -1
    row["obligation_us"] = state.clock[NOW]
    row["done_us"] = -1
    if facts.stage[stage]["next"] >= 0:
        _reset(facts, rules, state, facts.stage[stage]["next"])
    enter(rules, state, stage, REDO)
    row["returning"] = REDO
    row["status"] = ACTIVE
    state.clock[N_REDOS] += 1
    if row["redos"] > rules.redo_limit:
        lapse(facts, rules, state, stage, STRATEGIC)
        return
    open_stage(state, stage)
    schedule(state, state.clock[NOW], REQUEST, stage)


@kernel
def _reset(facts: Facts, rules: Rules, state: State, stage: int) -> None:
    """Put a stage back to before its readiness, because its input was wrong."""
    row = state.stage[stage]
    if row["ready_us"] < 0:
        return
    remove_pending(state, stage)
    if row["record"] >= 0:
        record = state.record[row["record"]]
        if record["outcome"] == RIGHT or record["outcome"] == WRONG:
            record["outcome"] = DISCARDED
    row["epoch"] += 1
    row["attempt"] += 1
    row["unit"] = row["record"] = -1
    row["done_us"] = -1
    row["returning"] = 0
    row["status"] = NOT_READY
    enter(rules, state, stage, REDO)


@kernel
def expire(facts: Facts, rules: Rules, state: State, stage: int) -> None:
    """Drop a request whose deadline has passed before it was bound to a unit."""
    row = state.stage[stage]
    if row["status"] == ACTIVE and row["unit"] < 0:
        lapse(facts, rules, state, stage, RULE)


@kernel
def lapse(facts: Facts, rules: Rules, state: State, stage: int, cause: int) -> None:
    """Abandon a stage, and with it its job."""
    while stage >= 0 and state.stage[stage]["ready_us"] >= 0:
        row = state.stage[stage]
        remove_pending(state, stage)
        row["status"] = LAPSED
        row["lapse_cause"] = cause
        row["epoch"] += 1
        row["done_us"] = state.clock[NOW]
        enter(rules, state, stage, EXPIRED)
        stage = facts.stage[stage]["next"]
