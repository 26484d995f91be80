"""One decision of a control plane: what it serves, what that costs, and the commands it sends."""

from hanse.market.engine.bits import next_member
from hanse.market.engine.clock import N_BOOK, N_HELD_BACK, N_OWN, NOW, ROUTING_PLANE, ROUTING_STAGE
from hanse.market.engine.columns import (
    ITEMS_PER_STAGE,
    RECEIPT_ITEM,
    REQUEST_ITEM,
    Facts,
    Rules,
    State,
)
from hanse.market.engine.completing import is_caught, lapse
from hanse.market.engine.control_plane import (
    await_server,
    back_up_us,
    clearing_item,
    dequeue,
    enqueue,
    idle_server,
    occupy,
    play_refreshes,
)
from hanse.market.engine.crossing_renewal import cross
from hanse.market.engine.crossing_steps import total
from hanse.market.engine.debt_meter import CHECK, pay, pay_decision
from hanse.market.engine.events import FINAL, LAND, TICK, WAKE, of_epoch, schedule
from hanse.market.engine.gathering import add_pending, gather, remove_pending
from hanse.market.engine.options import count_edges, write_book
from hanse.market.engine.parts import (
    BID_PRICE,
    FOREIGN_RULE,
    LOCATIONAL_PRICE,
    POSTED_PRICE,
    WELFARE_RULE,
)
from hanse.market.engine.passing_on import next_plane, pass_on
from hanse.market.engine.posted_rule import route_posted
from hanse.market.engine.preparation import lock_wait_us, plan_steps, prepare, way_us
from hanse.market.engine.quotas import bind
from hanse.market.engine.retrying import is_refused
from hanse.market.engine.stage_clock import enter, plan
from hanse.market.engine.stale import request_item, row_of_item
from hanse.market.engine.states import (
    ACTIVE,
    AWAITING_CLEARING,
    AWAITING_SETTLEMENT,
    DISPATCHED,
    IN_SERVICE,
    LANDING,
    QUEUED,
    ROUTING,
    RULE,
    UNMATCHED,
    VERIFICATION,
)
from hanse.market.engine.views import forget_gains, hold, look, regain
from hanse.market.engine.welfare_rule import route_welfare
from hanse.market.kernels import kernel

_ESCROW_MESSAGES = 2


@kernel
def arrive(facts: Facts, rules: Rules, state: State, stage: int) -> None:
    """Take in a request that has reached its plane; one that comes too late lapses."""
    row = state.stage[stage]
    if row["status"] != ACTIVE:
        return
    if state.clock[NOW] >= facts.stage[stage]["deadline_us"]:
        lapse(facts, rules, state, stage, RULE)
        return
    if is_refused(facts, rules, state, stage):
        return
    plane = row["plane"]
    state.plane[plane]["new_messages"] += 1
    if rules.at_interval == 1:
        enter(rules, state, stage, row["returning"] or AWAITING_CLEARING)
        add_pending(facts, rules, state, stage)
        await_tick(rules, state, plane)
    else:
        enter(rules, state, stage, row["returning"] or QUEUED)
        enqueue(state, plane, request_item(rules, state, stage))


@kernel
def await_tick(rules: Rules, state: State, plane: int) -> None:
    """Book the next clearing of a plane, unless one is booked."""
    row = state.plane[plane]
    if row["tick_us"] < 0:
        row["tick_us"] = (state.clock[NOW] // rules.interval_us + 1) * rules.interval_us
        schedule(state, row["tick_us"], TICK, plane)


@kernel
def await_refresh(rules: Rules, state: State, plane: int) -> None:
    """Book the next look at the pending requests, when a refresh has come in from everywhere."""
    row = state.plane[plane]
    if rules.refresh_us == 0 or row["n_pending"] == 0 or row["wake_us"] > state.clock[NOW]:
        return
    epoch = (state.clock[NOW] - row["refresh_delay_us"]) // rules.refresh_us + 1
    row["wake_us"] = epoch * rules.refresh_us + row["refresh_delay_us"]
    schedule(state, row["wake_us"], WAKE, plane)


@kernel
def reconsider(facts: Facts, rules: Rules, state: State, plane: int) -> None:
    """Queue a decision on all pending requests if the view has gained a unit."""
    row = state.plane[plane]
    if row["n_pending"] == 0 or rules.at_interval == 1 or row["tick_us"] >= 0:
        return
    look(facts, rules, state, plane, state.clock[NOW])
    if row["has_gained"] == 1 or row["n_rivals"] > 0:
        row["tick_us"] = state.clock[NOW]
        enqueue(state, plane, clearing_item(state, plane))
    else:
        await_refresh(rules, state, plane)


@kernel
def tick(facts: Facts, rules: Rules, state: State, plane: int) -> None:
    """Queue the clearing that is due, or pass it over if nothing could have changed its outcome.

    It could have if a request or a unit has come in, or if the last clearing left a unit to a
    request of another plane, which that plane may have served elsewhere.
    """
    row = state.plane[plane]
    look(facts, rules, state, plane, state.clock[NOW])
    if row["has_gained"] == 1 or row["new_messages"] > 0 or row["n_rivals"] > 0:
        enqueue(state, plane, clearing_item(state, plane))
        return
    row["tick_us"] = -1
    if row["n_pending"] > 0:
        await_tick(rules, state, plane)


@kernel
def serve(facts: Facts, rules: Rules, state: State, plane: int) -> bool:
    """Serve the plane's queue as far as free servers go; true if a foreign router must decide."""
    play_refreshes(rules, state, plane, state.clock[NOW])
    row, up_us = state.plane[plane], back_up_us(facts, plane, state.clock[NOW])
    while row["queue_first"] >= 0:
        if up_us > state.clock[NOW]:
            await_server(state, plane, up_us)
            return False
        server = idle_server(rules, state, plane, state.clock[NOW])
        free_us = state.server_free_us[server]
        if free_us > state.clock[NOW]:
            await_server(state, plane, free_us)
            return False
        item = dequeue(state, plane)
        if item == clearing_item(state, plane):
            row["tick_us"] = -1
            if begin_decision(facts, rules, state, plane, -1):
                return True
        elif item % ITEMS_PER_STAGE == REQUEST_ITEM:
            stage = row_of_item(rules, state, item)
            is_active = state.stage[stage]["status"] == ACTIVE
            if is_active and begin_decision(facts, rules, state, plane, stage):
                return True
        else:
            _check(facts, rules, state, plane, server, item)
    return False


@kernel
def _check(facts: Facts, rules: Rules, state: State, plane: int, server: int, item: int) -> None:
    """Check a receipt or a verdict; whichever makes the result final also settles it."""
    stage = item // ITEMS_PER_STAGE
    row, now_us = state.stage[stage], state.clock[NOW]
    settles = item % ITEMS_PER_STAGE != RECEIPT_ITEM or row["is_audited"] == 0
    core_us = round(rules.receipt_us)
    settling_us = round(rules.settlement_us) if settles else 0
    end_us = occupy(rules, state, server, now_us, core_us + settling_us, VERIFICATION)
    state.plane[plane]["verification_core_us"] += core_us
    state.plane[plane]["settlement_core_us"] += settling_us
    state.plane[plane]["n_messages"] += 1
    row["verification_core_us"] += core_us + settling_us
    pay(facts, rules, state, stage, CHECK, now_us, core_us + settling_us)
    if settles:
        if rules.window_us > 0 and not is_caught(facts, rules, state, stage):
            end_us = max(end_us, row["executed_us"] + rules.window_us)
        schedule(state, end_us, FINAL, of_epoch(stage, row["epoch"]))


@kernel
def begin_decision(facts: Facts, rules: Rules, state: State, plane: int, newcomer: int) -> bool:
    """Look, write the book and route it; true if a foreign router must fill in the assignment."""
    look(facts, rules, state, plane, state.clock[NOW])
    row = state.plane[plane]
    if newcomer >= 0:
        add_pending(facts, rules, state, newcomer)
    everything = newcomer < 0 or row["has_gained"] == 1 or row["n_rivals"] > 0
    gather(facts, rules, state, plane, newcomer, everything)
    state.clock[ROUTING_PLANE] = plane
    state.clock[ROUTING_STAGE] = newcomer
    count = state.clock[N_BOOK]
    state.book.assigned[:count] = -1
    state.book.assigned_sink[:count] = -1
    state.book.rent_nano_usd[:] = 0
    if row["n_visible"] > 0 and count > 0:
        if rules.rule == FOREIGN_RULE:
            write_book(facts, rules, state, plane)
            return True
        if rules.rule == WELFARE_RULE:
            route_welfare(facts, rules, state, plane)
        else:
            route_posted(facts, rules, state, plane)
    finish_decision(facts, rules, state)
    return False


@kernel
def finish_decision(facts: Facts, rules: Rules, state: State) -> None:
    """Charge the decision its service, then send its commands when the service ends.

    The charge is by what was asked, not by the short cuts of whoever answered.
    """
    plane, newcomer = state.clock[ROUTING_PLANE], state.clock[ROUTING_STAGE]
    if newcomer < 0 or state.plane[plane]["has_gained"] == 1:
        forget_gains(state, plane)
    row, count, now_us = state.plane[plane], state.clock[N_BOOK], state.clock[NOW]
    n_matched, n_rivals, n_passed = 0, 0, 0
    for k in range(count):
        if state.book.assigned[k] >= 0 or state.book.assigned_sink[k] >= 0:
            n_matched += state.book.is_own[k]
            n_rivals += 1 - state.book.is_own[k]
        elif state.book.is_own[k] == 1 and next_plane(facts, state, state.book.request[k]) >= 0:
            n_passed += 1
    row["n_rivals"] = n_rivals
    if n_rivals > 0 or state.clock[N_HELD_BACK] > 0:
        regain(state, plane)
    edges = count_edges(facts, state, plane)
    n_messages = row["new_messages"] + n_matched * (1 + _ESCROW_MESSAGES * rules.escrow)
    n_messages += n_passed
    row["new_messages"] = 0
    law = rules.service_rule_us + rules.service_message_us * n_messages
    law += rules.service_edge_us * edges + rules.service_solve_us * n_matched
    if newcomer >= 0:
        attempt = state.stage[newcomer]["attempt"]
        law *= facts.attempt_service[attempt, newcomer % facts.attempt_service.shape[1]]
    core_us = round(law)
    row["n_edges"] += edges
    server = idle_server(rules, state, plane, now_us)
    end_us = occupy(rules, state, server, now_us, core_us, ROUTING)
    row["decision_core_us"] += core_us
    row["n_decisions"] += 1
    row["n_messages"] += n_messages
    pay_decision(facts, rules, state, core_us)
    _send(facts, rules, state, plane, count, end_us)
    if rules.at_interval == 1:
        if row["n_pending"] > 0:
            await_tick(rules, state, plane)
    else:
        await_refresh(rules, state, plane)


@kernel
def _pick(facts: Facts, state: State, plane: int, k: int) -> int:
    """Return the unit for a matched request: the lowest visible one not picked in this decision."""
    sink = state.book.assigned_sink[k]
    if sink >= 0:
        first = facts.offer[facts.sink[sink]["first_offer"]]["first_unit"]
        last = facts.offer[facts.sink[sink]["last_offer"] - 1]["last_unit"]
    else:
        offer = facts.offer[state.book.assigned[k]]
        first, last = offer["first_unit"], offer["last_unit"]
    unit = next_member(state.visible[plane], max(first, state.book.cursor[first]), last)
    assert unit < last, "a rule assigned more requests to a place than it has visible units"
    state.book.cursor[first] = unit + 1
    return int(unit)


@kernel
def _send(facts: Facts, rules: Rules, state: State, plane: int, count: int, end_us: int) -> None:
    """Pick units for all matched requests in order and command the plane's own."""
    book = state.book
    for k in range(count):
        if book.assigned[k] >= 0 or book.assigned_sink[k] >= 0:
            book.cursor[_range_start(facts, state, k)] = 0
    for k in range(count):
        if book.assigned[k] >= 0 or book.assigned_sink[k] >= 0:
            unit = _pick(facts, state, plane, k)
            if book.is_own[k] == 1:
                command(facts, rules, state, plane, k, unit, end_us)
    for position in range(state.clock[N_OWN]):
        k = book.own[position]
        stage = book.request[k]
        if book.assigned[k] >= 0 or book.assigned_sink[k] >= 0:
            continue
        if next_plane(facts, state, stage) >= 0:
            pass_on(facts, rules, state, stage, end_us)
        else:
            _leave_unmatched(rules, state, stage, end_us)
    for k in range(state.clock[N_HELD_BACK]):
        _leave_unmatched(rules, state, book.held_back[k], end_us)


@kernel
def _leave_unmatched(rules: Rules, state: State, stage: int, end_us: int) -> None:
    if state.stage[stage]["state"] != UNMATCHED:
        enter(rules, state, stage, UNMATCHED)
        plan(state, stage, IN_SERVICE, end_us - state.clock[NOW])
        state.stage[stage]["returning"] = 0


@kernel
def _range_start(facts: Facts, state: State, k: int) -> int:
    sink = state.book.assigned_sink[k]
    offer = facts.sink[sink]["first_offer"] if sink >= 0 else state.book.assigned[k]
    return int(facts.offer[offer]["first_unit"])


@kernel
def _payment_micro_usd(facts: Facts, rules: Rules, state: State, k: int, unit: int) -> int:
    """Return what the request will pay: the posted price, or what is asked and something above it.

    That is the rent of the place, or all that the bid is more than the ask, or nothing.
    """
    book, place = state.book, facts.unit[unit]
    fact, sink = facts.stage[book.request[k]], place["sink"]
    row = state.quote[state.quote_rows.row_of[book.request[k]], sink]
    if rules.pricing == POSTED_PRICE:
        posted = facts.offer[place["offer"]]["posted_usd_per_us"]
        return int(round(posted * row["occupied_us"] * 1e6))
    rest_usd = facts.sink[sink]["asked_busy_usd_per_us"] * fact["rest_work_us"]
    asked = row["cost_nano_usd"] - round(rest_usd * 1e9)
    above = 0
    if rules.pricing == LOCATIONAL_PRICE:
        above = book.rent_nano_usd[sink]
    elif rules.pricing == BID_PRICE:
        above = row["worth_nano_usd"] - row["cost_nano_usd"]
    return int((asked + above) // 1000)


@kernel
def command(
    facts: Facts, rules: Rules, state: State, plane: int, k: int, unit: int, end_us: int
) -> None:
    """Bind a request to a unit and send the command; it lands when the way and the law allow."""
    stage, now_us = state.book.request[k], state.clock[NOW]
    row, region = state.stage[stage], facts.unit[unit]["region"]
    lock_us = lock_wait_us(facts, rules, state, stage, region, end_us)
    command_us = way_us(facts, state, stage, region)
    leave_us = end_us + lock_us
    ready = prepare(facts, state, stage, region, command_us, leave_us, 1)
    row["payment_micro_usd"] = _payment_micro_usd(facts, rules, state, k, unit)
    remove_pending(state, stage)
    enter(rules, state, stage, DISPATCHED)
    row["unit"], row["holding_us"] = unit, ready.holding_us
    row["escrow_us"] = leave_us
    cross(facts, state, stage, region, ready, leave_us, 0)
    # What has come back spends its second service in the state that it came back in.
    plan(state, stage, row["returning"] or IN_SERVICE, end_us - now_us)
    row["returning"] = 0
    plan(state, stage, AWAITING_SETTLEMENT, lock_us)
    before_us = total(ready.before_us)
    way_ends_us = ready.lead_us - ready.holding_us
    row["land_us"] = leave_us + way_ends_us
    if ready.holding_us > 0 and before_us == 0:
        plan(state, stage, DISPATCHED, command_us)
    else:
        plan_steps(state, stage, ready.before_us)
        plan(state, stage, LANDING, way_ends_us - before_us)
    hold(facts, state, plane, unit, row["land_us"])
    bind(facts, rules, state, stage, unit)
    schedule(state, row["land_us"], LAND, of_epoch(stage, row["epoch"]))
