"""Audits as work: a re-execution takes a unit where the verifier sits, ahead of new commands."""

from hanse.market.engine.bits import next_member
from hanse.market.engine.clock import N_AUDITS, NOW
from hanse.market.engine.columns import NOT_QUEUED, Facts, Rules, State
from hanse.market.engine.debt_meter import AUDIT_WORK, pay
from hanse.market.engine.events import VERDICT, of_epoch, schedule
from hanse.market.engine.power_caps import begin_work
from hanse.market.engine.records import occupy_unit
from hanse.market.engine.states import AUDIT, LAPSED
from hanse.market.engine.views import record_change
from hanse.market.kernels import kernel


@kernel
def audit_arrives(facts: Facts, rules: Rules, state: State, stage: int) -> None:
    """Start an audit on a free unit where the verifier sits, or let it wait for the next one."""
    n_accelerators = (facts.sink[-1]["place"] + 1) // len(state.region)
    region = facts.stage[stage]["verifier_region"]
    place = region * n_accelerators + facts.stage[stage]["accelerator"]
    sink = _sink_with_idle_unit(facts, state, place)
    if sink >= 0:
        first = facts.offer[facts.sink[sink]["first_offer"]]["first_unit"]
        unit = next_member(state.idle, first, len(facts.unit))
        start_audit(facts, rules, state, stage, unit)
        record_change(facts, rules, state, unit, 0)
        return
    queue = state.audit_queue[place]
    if state.audit_next[stage] != NOT_QUEUED:
        return
    state.audit_next[stage] = -1
    if queue["last"] < 0:
        queue["first"] = stage
    else:
        state.audit_next[queue["last"]] = stage
    queue["last"] = stage


@kernel
def _sink_with_idle_unit(facts: Facts, state: State, place: int) -> int:
    """Return the first sink of a place that has an idle unit, or -1.

    Sinks stand in the order of places, each of which has one or more.
    """
    sink = place
    while facts.sink[sink]["place"] < place:
        sink += 1
    while sink < len(facts.sink) and facts.sink[sink]["place"] == place:
        if state.idle_units[sink] > 0:
            return int(sink)
        sink += 1
    return -1


@kernel
def next_audit(state: State, place: int) -> int:
    """Take the first waiting audit that is still wanted off a queue; -1 if there is none."""
    queue = state.audit_queue[place]
    while queue["first"] >= 0:
        stage = queue["first"]
        queue["first"] = state.audit_next[stage]
        state.audit_next[stage] = NOT_QUEUED
        if queue["first"] < 0:
            queue["last"] = -1
        row = state.stage[stage]
        is_open = row["record"] >= 0 and row["status"] != LAPSED
        if row["is_audited"] == 1 and is_open and row["final_us"] < row["executed_us"]:
            return int(stage)
    return -1


@kernel
def start_audit(facts: Facts, rules: Rules, state: State, stage: int, unit: int) -> None:
    """Occupy a free unit with the re-execution of a stage."""
    keep = state.stage[stage]["record"]
    index = occupy_unit(facts, state, stage, unit)
    record = state.record[index]
    state.stage[stage]["record"] = keep
    record["outcome"] = AUDIT
    record["execution_us"] = round(rules.audit_share * facts.stage[stage]["work_us"])
    record["end_us"] = state.clock[NOW] + record["execution_us"]
    state.clock[N_AUDITS] += 1
    begin_work(facts, rules, state, unit, index)


@kernel
def end_audit(facts: Facts, rules: Rules, state: State, stage: int, work_us: int) -> None:
    """Meter the re-execution as paid in its middle, and send the verdict to the plane."""
    row, now_us = state.stage[stage], state.clock[NOW]
    pay(facts, rules, state, stage, AUDIT_WORK, (2 * now_us - work_us) // 2, work_us)
    row["audit_end_us"] = now_us
    place = facts.stage[stage]["verifier_region"]
    way_us = facts.command_us[row["plane"], place]
    schedule(state, now_us + way_us, VERDICT, of_epoch(stage, row["epoch"]))
