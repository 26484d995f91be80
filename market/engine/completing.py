"""How stages end: delivery, completion, finality, redo, expiry."""

from hanse.market.engine.clock import N_CATCHES, N_LOCKS, N_REDOS, NOW
from hanse.market.engine.columns import Facts, Rules, State
from hanse.market.engine.events import DELIVERED, EXPIRE, READY, REQUEST, of_epoch, schedule
from hanse.market.engine.failures import arm_timer, note_success
from hanse.market.engine.gathering import remove_pending
from hanse.market.engine.preparation import way_us
from hanse.market.engine.stage_clock import enter, open_stage
from hanse.market.engine.stage_graph import first_of_job, is_complete_before, mark_behind
from hanse.market.engine.stale import stale_row
from hanse.market.engine.states import (
    ACTIVE,
    AWAITING_VERIFICATION,
    CAUGHT,
    CHEATED,
    COMPLETE,
    DELIVERING,
    DISCARDED,
    DONE,
    EXPIRED,
    LAPSED,
    NOT_READY,
    REDO,
    RIGHT,
    RULE,
    STRATEGIC,
    TOOL,
    WRONG,
)
from hanse.market.kernels import kernel


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
    """Complete a stage; what waited for it alone is away at its tool now, and ready after that."""
    row, now_us = state.stage[stage], state.clock[NOW]
    row["status"] = COMPLETE
    row["done_us"] = now_us
    note_success(facts, rules, state, stage)
    enter(rules, state, stage, DONE)
    for edge in range(facts.first_output[stage], facts.first_output[stage + 1]):
        successor = facts.successor[edge]
        if not is_complete_before(facts, state, successor):
            continue
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
    if is_caught(facts, rules, state, stage):
        record["outcome"] = CAUGHT
        state.clock[N_CATCHES] += 1
        if _job_lapsed(facts, state, stage):
            lapse(facts, rules, state, stage, STRATEGIC)
        else:
            _redo(facts, rules, state, stage)
    elif rules.on_finality == 1:
        origin = facts.stage[stage]["origin"]
        word_us = now_us + facts.command_us[row["plane"], origin]
        region = facts.unit[record["unit"]]["region"]
        result_us = row["executed_us"] + facts.link[region, origin]["delivery_us"]
        index = of_epoch(stage, row["epoch"])
        schedule(state, max(word_us, result_us), DELIVERED, index)


@kernel
def is_caught(facts: Facts, rules: Rules, state: State, stage: int) -> bool:
    """Say whether a stage's result is there, and its audit finds it wrong.

    Doing work again shows that it was not done, not that it ought not to have been done.
    """
    row = state.stage[stage]
    if row["record"] < 0 or row["is_audited"] == 0:
        return False
    record = state.record[row["record"]]
    if record["outcome"] != WRONG or record["is_wrong"] != CHEATED:
        return False
    coin = facts.attempt_audit[row["attempt"], stage]
    return bool(coin < rules.audit_probability * rules.audit_detection)


@kernel
def _job_lapsed(facts: Facts, state: State, stage: int) -> bool:
    """Say whether a stage's job has been abandoned, so that nothing is worth doing anew."""
    job, other = facts.stage[stage]["job"], first_of_job(facts, stage)
    while other < len(facts.stage) and facts.stage[other]["job"] == job:
        if state.stage[other]["status"] == LAPSED:
            return True
        other += 1
    return False


@kernel
def next_attempt(facts: Facts, state: State, stage: int) -> int:
    """Return the row of luck that a stage moves to; one that has used all keeps the last."""
    return min(int(state.stage[stage]["attempt"]) + 1, len(facts.attempt_audit) - 1)


@kernel
def _redo(facts: Facts, rules: Rules, state: State, stage: int) -> None:
    """Request a caught stage anew; whatever others have done with its wrong result is lost."""
    row = state.stage[stage]
    row["epoch"] += 1
    row["attempt"] = next_attempt(facts, state, stage)
    row["redos"] += 1
    row["unit"] = row["record"] = -1
    row["obligation_us"] = state.clock[NOW]
    row["done_us"] = -1
    end_of_job = mark_behind(facts, state, stage)
    for after in range(stage + 1, end_of_job):
        if state.stage[after]["is_behind"] == 1:
            _reset(facts, rules, state, after)
    enter(rules, state, stage, REDO)
    row["returning"] = REDO
    row["status"] = ACTIVE
    state.clock[N_REDOS] += 1
    if row["redos"] > rules.redo_limit:
        lapse(facts, rules, state, stage, STRATEGIC)
        return
    open_stage(state, stage)
    arm_timer(rules, state, stage)
    now_us = state.clock[NOW]
    schedule(state, now_us, REQUEST, of_epoch(stage, row["epoch"]))
    if now_us >= facts.stage[stage]["deadline_us"]:
        schedule(state, now_us, EXPIRE, stage)


@kernel
def _reset(facts: Facts, rules: Rules, state: State, stage: int) -> None:
    """Put a stage back to before its readiness, because its input was wrong."""
    row = state.stage[stage]
    if row["ready_us"] < 0:
        return
    remove_pending(state, stage)
    _discard_result(state, stage)
    row["epoch"] += 1
    row["attempt"] = next_attempt(facts, state, stage)
    row["unit"] = row["record"] = -1
    row["done_us"] = -1
    row["returning"] = 0
    row["status"] = NOT_READY
    enter(rules, state, stage, REDO)


@kernel
def _discard_result(state: State, stage: int) -> None:
    """Throw away a result that is there; it is owed now, if it was not yet."""
    if state.stage[stage]["record"] < 0:
        return
    record = state.record[state.stage[stage]["record"]]
    if record["outcome"] == RIGHT or record["outcome"] == WRONG:
        record["outcome"] = DISCARDED
        if record["final_us"] < 0:
            record["final_us"] = state.clock[NOW]


@kernel
def expire(facts: Facts, rules: Rules, state: State, stage: int) -> None:
    """Drop a request whose deadline has passed before it was bound to a unit."""
    row = state.stage[stage]
    if row["status"] == ACTIVE and row["unit"] < 0:
        lapse(facts, rules, state, stage, RULE)
    for ordinal in range(rules.failure.n_stale):
        stale = stale_row(rules, state, stage, ordinal)
        if state.stage[stale]["status"] == ACTIVE and state.stage[stale]["unit"] < 0:
            lapse(facts, rules, state, stale, RULE)


@kernel
def lapse(facts: Facts, rules: Rules, state: State, stage: int, cause: int) -> None:
    """Abandon a stage, and with it all of its job that is not done.

    What has been abandoned before stays as it was: the first cause stands.
    """
    job, other = facts.stage[stage]["job"], first_of_job(facts, stage)
    _give_up(facts, rules, state, stage, cause)
    while other < len(facts.stage) and facts.stage[other]["job"] == job:
        row = state.stage[other]
        if row["ready_us"] >= 0 and row["status"] != COMPLETE and row["status"] != LAPSED:
            _give_up(facts, rules, state, other, cause)
        other += 1


@kernel
def _give_up(facts: Facts, rules: Rules, state: State, stage: int, cause: int) -> None:
    """Abandon one stage, wherever it is.

    A command on its way finds nothing to do when it lands. What a unit is executing goes on to its
    end, in vain. A result that is not taken in yet is thrown away.
    """
    row = state.stage[stage]
    remove_pending(state, stage)
    if row["unit"] >= 0 and row["record"] < 0:
        region = facts.unit[row["unit"]]["region"]
        if rules.escrow == 1 and row["escrow_us"] <= state.clock[NOW]:
            note_lock(state, stage, row["land_us"] + way_us(facts, state, stage, region))
    elif row["record"] >= 0:
        _discard_result(state, stage)
        row["final_us"] = max(row["final_us"], state.record[row["record"]]["final_us"])
    row["status"] = LAPSED
    row["lapse_cause"] = cause
    row["epoch"] += 1
    row["done_us"] = state.clock[NOW]
    enter(rules, state, stage, EXPIRED)


@kernel
def note_lock(state: State, stage: int, freed_us: int) -> None:
    """Note that a command kept its price locked in vain until its plane knew."""
    count = state.clock[N_LOCKS]
    assert count < len(state.lock), "the locks are full"
    state.clock[N_LOCKS] = count + 1
    lock = state.lock[count]
    lock["stage"], lock["freed_us"] = stage, freed_us
    lock["locked_us"] = state.stage[stage]["escrow_us"]
    lock["amount_micro_usd"] = state.stage[stage]["payment_micro_usd"]
