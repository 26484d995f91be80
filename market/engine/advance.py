"""The compiled advance of one run from one instant to another.

`advance` works off arrivals, samples and the event calendar in order of time. It returns
`IS_DONE`, or `NEEDS_ROUTE` when a router that is not compiled has to fill in an assignment.
"""

from typing import Final

import numpy as np

from hanse.market.engine.auditing import audit_arrives
from hanse.market.engine.bits import add_member
from hanse.market.engine.breaking import break_down, schedule_breakdowns
from hanse.market.engine.clock import (
    GENERATION,
    HEAP_SIZE,
    N_EVENTS,
    N_RECORDS,
    NEXT_ARRIVAL,
    NEXT_EXPIRY,
    NEXT_POWER,
    NEXT_SAMPLE,
    NOW,
    ROUTING_PLANE,
)
from hanse.market.engine.columns import (
    ITEMS_PER_STAGE,
    NEVER_US,
    NOT_QUEUED,
    RECEIPT_ITEM,
    SEEN_FREE,
    VERDICT_ITEM,
    Facts,
    Rules,
    State,
)
from hanse.market.engine.completing import delivered, expire, finalise
from hanse.market.engine.control_plane import enqueue, play_refreshes
from hanse.market.engine.deciding import arrive, finish_decision, reconsider, serve, tick
from hanse.market.engine.events import (
    AUDIT_ARRIVES,
    BREAK,
    DELIVERED,
    EXPIRE,
    FINAL,
    FINISH,
    LAND,
    NOTICE,
    READY,
    RECEIPT,
    REQUEST,
    RETRY,
    SERVE,
    TICK,
    TIMEOUT,
    VERDICT,
    WAKE,
    index_of,
    is_current,
    key_of,
    kind_of,
    pop,
    stage_of,
)
from hanse.market.engine.executing import become_ready, finish, land
from hanse.market.engine.power_caps import (
    advance_work,
    begin_residual,
    close_sites,
    cores_change,
    first_site,
)
from hanse.market.engine.retrying import notice, retry, time_out
from hanse.market.engine.sampling import sample
from hanse.market.engine.stage_clock import book_time
from hanse.market.engine.stale import stale_of
from hanse.market.engine.states import RESIDUAL
from hanse.market.engine.views import may_command, show
from hanse.market.kernels import borrow, kernel
from hanse.market.units import Integers

IS_DONE: Final = 0
NEEDS_ROUTE: Final = 1


def start(facts: Facts, rules: Rules, state: State, free_from_us: Integers) -> None:
    """Put a freshly allocated state at time zero, with residual work on the units.

    `free_from_us`, shape (n_units,), is when residual work leaves each unit; 0 where there is none.
    """
    fresh = np.zeros((), state.stage.dtype)
    for name in (
        "ready_us",
        "unit",
        "record",
        "open_position",
        "recent_position",
        "done_us",
        "final_us",
        "pending_next",
        "pending_previous",
        "plane",
        "executed_us",
        "audit_end_us",
        "obligation_us",
        "context_until_us",
    ):
        fresh[name] = -1
    item = f"V{fresh.itemsize}"  # as a whole: field by field it takes a millisecond
    state.stage.view(item)[:] = fresh.view(item)
    state.stage["input_region"] = facts.stage["origin"]
    for name in ("pending_first", "pending_last", "queue_first", "queue_last"):
        state.plane[name] = -1
    state.plane["tick_us"] = state.plane["serve_us"] = -1
    state.plane["wake_us"] = state.plane["looked_us"] = -1
    state.plane["next_refresh"] = 1
    state.plane["n_watched"] = facts.watches.sum(axis=1)
    watched_us = np.where(facts.watches, facts.command_us, 0)
    state.plane["refresh_delay_us"] = watched_us.max(axis=1)
    state.sight["log"] = -1
    state.sight["at_us"] = -1
    state.region["log_first"] = state.region["log_last"] = -1
    state.audit_queue["first"] = state.audit_queue["last"] = -1
    state.unit["record"] = state.unit["freed_entry"] = -1
    state.queue_next[:] = state.audit_next[:] = NOT_QUEUED
    _place_residual_work(facts, state, free_from_us)
    begin_residual(facts, rules, state)
    schedule_breakdowns(facts, state)


@kernel
def _place_residual_work(facts: Facts, state: State, free_from_us: Integers) -> None:
    facts, state = borrow(facts), borrow(state)
    for unit in range(len(facts.unit)):
        if free_from_us[unit] > 0:
            index = state.clock[N_RECORDS]
            state.clock[N_RECORDS] += 1
            record = state.record[index]
            record["stage"], record["unit"] = -1, unit
            record["outcome"] = RESIDUAL
            record["execution_us"] = record["end_us"] = free_from_us[unit]
            state.unit[unit]["is_busy"] = 1
            state.unit[unit]["record"] = index
        else:
            state.idle_units[facts.unit[unit]["sink"]] += 1
            add_member(state.idle, unit)
            for plane in range(len(state.plane)):
                if may_command(facts, plane, unit):
                    state.seen[plane, unit] = SEEN_FREE
                    show(facts, state, plane, unit)


@kernel
def _row_of(rules: Rules, state: State, kind: int, index: int) -> int:
    """Return which row an event reaches: the stage's, a stale request's, or -1 if none any more."""
    if is_current(state, index):
        return stage_of(index)
    return stale_of(rules, state, index) if kind in (REQUEST, LAND) else -1


@kernel
def _serve_after(facts: Facts, rules: Rules, state: State, kind: int, index: int) -> bool:
    """Handle an event that concerns a control plane; true if a foreign router must decide."""
    plane = index
    if kind in (REQUEST, RECEIPT, VERDICT):
        stage = _row_of(rules, state, kind, index)
        if stage < 0:
            return False
        plane = state.stage[stage]["plane"]
        if kind == REQUEST:
            arrive(facts, rules, state, stage)
        else:
            item = RECEIPT_ITEM if kind == RECEIPT else VERDICT_ITEM
            enqueue(state, plane, ITEMS_PER_STAGE * stage + item)
    elif kind == WAKE:
        reconsider(facts, rules, state, plane)
    elif kind == TICK:
        tick(facts, rules, state, plane)
    elif kind == SERVE:
        state.plane[plane]["serve_us"] = -1
    must_route = serve(facts, rules, state, plane)
    cores_change(facts, rules, state, facts.plane_region[plane])
    return must_route


@kernel
def _reach(facts: Facts, rules: Rules, state: State, kind: int, stage: int) -> None:
    """Let something that was on its way reach a stage."""
    if kind == DELIVERED:
        delivered(facts, rules, state, stage)
    elif kind == AUDIT_ARRIVES:
        audit_arrives(facts, rules, state, stage)
    elif kind == LAND:
        land(facts, rules, state, stage)
    elif kind == TIMEOUT:
        time_out(facts, rules, state, stage)
    elif kind == RETRY:
        retry(facts, rules, state, stage)
    elif kind == NOTICE:
        notice(facts, rules, state, stage)
    else:
        finalise(facts, rules, state, stage)


@kernel
def _happen(facts: Facts, rules: Rules, state: State, kind: int, index: int) -> bool:
    """Let one event happen; true if a foreign router must decide."""
    if kind == FINISH:
        finish(facts, rules, state, index)
    elif kind == READY:
        become_ready(facts, rules, state, index)
    elif kind == EXPIRE:
        expire(facts, rules, state, index)
    elif kind == BREAK:
        break_down(facts, rules, state, index)
    elif kind in (DELIVERED, AUDIT_ARRIVES, LAND, FINAL, NOTICE, TIMEOUT, RETRY):
        stage = _row_of(rules, state, kind, index)
        if stage >= 0:
            _reach(facts, rules, state, kind, stage)
    else:
        return _serve_after(facts, rules, state, kind, index)
    return False


@kernel
def _work_goes_on(facts: Facts, rules: Rules, state: State, key: int) -> bool:
    """Let work under a power cap go on, unless what has this key comes before it."""
    region = first_site(state)
    if key <= key_of(FINISH, state.power.site[region]["next_unit"]):
        return False
    unit = advance_work(facts, rules, state, region)
    if unit >= 0:
        finish(facts, rules, state, unit)
    return True


@kernel
def advance(facts: Facts, rules: Rules, state: State, until_us: int) -> int:
    """Advance to `until_us`, exclusive; call again to go on.

    Arrivals and deadlines are known beforehand and wait in order beside the calendar.
    """
    facts, rules, state = borrow(facts), borrow(rules), borrow(state)
    clock, never = state.clock, np.int64(NEVER_US)
    while True:
        k, a, e = clock[NEXT_SAMPLE], clock[NEXT_ARRIVAL], clock[NEXT_EXPIRY]
        sample_us = facts.sample_us[k] if k < len(facts.sample_us) else never
        arrival_us = facts.arrival_us[a] if a < len(facts.arrival_us) else never
        expiry_us = facts.expiry_us[e] if e < len(facts.expiry_us) else never
        event_us = state.heap[0]["at_us"] if clock[HEAP_SIZE] > 0 else never
        power_us = clock[NEXT_POWER]
        now_us = min(sample_us, arrival_us, expiry_us, event_us, power_us)
        if now_us >= until_us:
            clock[NOW] = until_us
            return IS_DONE
        if sample_us == now_us:
            sample(facts, rules, state, k)
            clock[NEXT_SAMPLE] += 1
            continue
        clock[GENERATION] += now_us > clock[NOW]
        clock[NOW] = now_us
        clock[N_EVENTS] += 1
        key = state.heap[0]["key"] if event_us == now_us else never
        arrival = key_of(READY, facts.arrival_stage[a]) if arrival_us == now_us else never
        expiry = key_of(EXPIRE, facts.expiry_stage[e]) if expiry_us == now_us else never
        if power_us == now_us and _work_goes_on(
            facts, rules, state, int(min(key, arrival, expiry))
        ):
            continue
        if arrival < min(key, expiry):
            clock[NEXT_ARRIVAL] += 1
            become_ready(facts, rules, state, facts.arrival_stage[a])
            continue
        if expiry < key:
            clock[NEXT_EXPIRY] += 1
            expire(facts, rules, state, facts.expiry_stage[e])
            continue
        clock[HEAP_SIZE] = pop(state.heap, clock[HEAP_SIZE])
        if _happen(facts, rules, state, kind_of(int(key)), index_of(int(key))):
            return NEEDS_ROUTE


@kernel
def resume(facts: Facts, rules: Rules, state: State) -> int:
    """Go on after a foreign router has filled in `state.book.assigned`; as `advance` returns."""
    facts, rules, state = borrow(facts), borrow(rules), borrow(state)
    plane = state.clock[ROUTING_PLANE]
    finish_decision(facts, rules, state)
    must_route = serve(facts, rules, state, plane)
    cores_change(facts, rules, state, facts.plane_region[plane])
    return NEEDS_ROUTE if must_route else IS_DONE


@kernel
def close(facts: Facts, rules: Rules, state: State) -> None:
    """Book the time of every stage and site, and the refreshes of every plane, to the horizon."""
    facts, rules, state = borrow(facts), borrow(rules), borrow(state)
    close_sites(rules, state)
    for plane in range(len(state.plane)):
        play_refreshes(rules, state, plane, rules.horizon_us - 1)
    for stage in range(len(state.stage)):
        if state.stage[stage]["ready_us"] >= 0:
            book_time(rules, state, stage, rules.horizon_us)
