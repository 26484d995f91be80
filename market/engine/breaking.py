"""Nodes that fail: units are down for a time drawn in the world, and what ran on them fails."""

from hanse.market.engine.bits import drop_member
from hanse.market.engine.clock import N_RECORDS, NOW
from hanse.market.engine.columns import Facts, Rules, State
from hanse.market.engine.events import AUDIT_ARRIVES, BREAK, FINISH, of_epoch, schedule
from hanse.market.engine.failure_columns import NODE_FAILURE
from hanse.market.engine.power_caps import end_work, lost_us, work_ends
from hanse.market.engine.retrying import stop
from hanse.market.engine.states import ABANDONED, AUDIT, DISCARDED, DOWN, FAILED, OPEN
from hanse.market.engine.views import record_change
from hanse.market.kernels import borrow, kernel


@kernel
def schedule_breakdowns(facts: Facts, state: State) -> None:
    """Put every breakdown of the world on the calendar."""
    facts, state = borrow(facts), borrow(state)
    for k in range(len(facts.breakdown_unit)):
        schedule(state, facts.breakdown_from_us[k], BREAK, k)


@kernel
def break_down(facts: Facts, rules: Rules, state: State, which: int) -> None:
    """Take a unit down; whatever is on it ends here."""
    unit, now_us = facts.breakdown_unit[which], state.clock[NOW]
    if state.unit[unit]["is_busy"] == 1:
        end_work(facts, state, unit)
        _interrupt(facts, rules, state, unit)
    else:
        state.idle_units[facts.unit[unit]["sink"]] -= 1
        drop_member(state.idle, unit)
        state.unit[unit]["is_busy"] = 1
        record_change(facts, rules, state, unit, 0)
    index = state.clock[N_RECORDS]
    assert index < len(state.record), "the records are full"
    state.clock[N_RECORDS] += 1
    record = state.record[index]
    record["stage"], record["unit"], record["outcome"] = -1, unit, DOWN
    record["accepted_us"], record["final_us"] = now_us, -1
    record["end_us"] = facts.breakdown_until_us[which]
    record["execution_us"] = record["end_us"] - now_us
    state.unit[unit]["record"] = index
    schedule(state, record["end_us"], FINISH, unit)
    work_ends(facts, rules, state, unit)


@kernel
def _interrupt(facts: Facts, rules: Rules, state: State, unit: int) -> None:
    """End an occupation before its time; its client knows one way later, as of an error."""
    index = state.unit[unit]["record"]
    record, now_us = state.record[index], state.clock[NOW]
    _cut_short(state, index)
    stage, outcome = record["stage"], record["outcome"]
    if outcome == AUDIT:
        if record["epoch"] == state.stage[stage]["epoch"]:
            schedule(state, now_us, AUDIT_ARRIVES, of_epoch(stage, record["epoch"]))
    elif outcome in (ABANDONED, OPEN):
        is_current = outcome == OPEN and record["epoch"] == state.stage[stage]["epoch"]
        record["final_us"] = now_us
        record["outcome"] = FAILED if is_current or outcome == ABANDONED else DISCARDED
        if is_current:
            region = facts.unit[unit]["region"]
            way_us = facts.link[region, facts.stage[stage]["origin"]]["delivery_us"]
            stop(rules, state, stage, NODE_FAILURE, way_us)


@kernel
def _cut_short(state: State, index: int) -> None:
    """End a record now, and the last of its steps with it."""
    record = state.record[index]
    left_us = state.clock[NOW] - record["accepted_us"] - lost_us(state, index)
    record["end_us"] = state.clock[NOW]
    record["identity_us"] = min(record["identity_us"], left_us)
    left_us -= record["identity_us"]
    record["policy_us"] = min(record["policy_us"], left_us)
    left_us -= record["policy_us"]
    record["state_us"] = min(record["state_us"], left_us)
    left_us -= record["state_us"]
    record["authority_us"] = min(record["authority_us"], left_us)
    left_us -= record["authority_us"]
    record["transfer_us"] = min(record["transfer_us"], left_us)
    left_us -= record["transfer_us"]
    record["context_us"] = min(record["context_us"], left_us)
    left_us -= record["context_us"]
    record["execution_us"] = min(record["execution_us"], left_us)
