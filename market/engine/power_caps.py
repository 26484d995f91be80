"""Power caps: how fast a site works when all that stands there may draw only so much.

A unit that works at rate r draws idle power and r times what work adds to it. The controller of a
cap knows no payload from coordination: all work on the site's units advances at one rate, the
highest at which the site stays under its cap. The rate changes whenever a unit takes up or ends
work, or a control core does, so a site keeps a clock of the work it has done, in fixed point: all
instants stay whole microseconds, and what a unit was kept from doing adds up exactly.
"""

from typing import Final

from hanse.market.engine.clock import N_RECORDS, NEXT_POWER, NOW
from hanse.market.engine.columns import NEVER_US, Facts, Rows, Rules, State
from hanse.market.engine.events import FINISH, schedule
from hanse.market.engine.stage_clock import plan
from hanse.market.engine.states import (
    AUDIT,
    CHEATED,
    CONTEXT,
    EXECUTING,
    ON_CONTEXT,
    OPERATIONS,
    VERIFICATION,
)
from hanse.market.kernels import borrow, kernel
from hanse.market.units import Floats

_SHIFT: Final = 20
FULL_RATE: Final = 1 << _SHIFT
"""A rate of one; a site's clock counts microseconds of work in this many parts."""

LONGEST_US: Final = 1 << 42
"""The longest horizon, some fifty days, over which that clock does not overflow."""

N_LOST: Final = len(OPERATIONS) + 1
"""What work under a cap loses time to: each operation of coordination, and the cap itself, last."""

_NOTHING, _HELD, _REBUILDING, _WORKING = range(4)


@kernel
def is_capped(state: State, region: int) -> bool:
    """Say whether the site of a region has a cap that can bind."""
    return len(state.power.site) > 0 and state.power.site[region]["is_capped"] == 1


@kernel
def begin_work(facts: Facts, rules: Rules, state: State, unit: int, index: int) -> None:
    """Let the occupation of a unit run its course; `index` is its record."""
    region = facts.unit[unit]["region"]
    if not is_capped(state, region):
        schedule(state, state.record[index]["end_us"], FINISH, unit)
        return
    _settle(state, region)
    _take_up(state, region, unit, index)
    _adapt(facts, rules, state, region)


@kernel
def _take_up(state: State, region: int, unit: int, index: int) -> None:
    """Note what the unit has before it: while it is held it does no work, and no rate matters."""
    record, worker = state.record[index], state.power.worker[unit]
    worker["record"] = index
    held_us = record["identity_us"] + record["policy_us"] + record["state_us"]
    held_us += record["authority_us"] + record["transfer_us"]
    if held_us > 0:
        worker["phase"], worker["until"] = _HELD, state.clock[NOW] + held_us
    else:
        _begin_phase(state, region, unit)


@kernel
def _begin_phase(state: State, region: int, unit: int) -> None:
    """Begin the rebuild of the context, if there is one, or else the execution."""
    worker, site = state.power.worker[unit], state.power.site[region]
    record = state.record[worker["record"]]
    worker["begun_us"] = state.clock[NOW]
    for k in range(N_LOST):
        state.power.lost_before[unit, k] = state.power.lost[region, k]
    is_rebuilding = record["context_us"] > 0
    worker["phase"] = _REBUILDING if is_rebuilding else _WORKING
    work_us = record["context_us"] if is_rebuilding else record["execution_us"]
    worker["until"] = site["done"] + (work_us << _SHIFT)


@kernel
def advance_work(facts: Facts, rules: Rules, state: State, region: int) -> int:
    """Let the first phase that ends now at a site end; return the unit that is finished, or -1."""
    _settle(state, region)
    site, now_us = state.power.site[region], state.clock[NOW]
    for unit in range(site["first_unit"], site["last_unit"]):
        worker = state.power.worker[unit]
        if worker["phase"] == _NOTHING or _due_us(site, worker, now_us) > now_us:
            continue
        if worker["phase"] == _WORKING:
            return unit
        if worker["phase"] == _HELD:
            _begin_phase(state, region, unit)
        else:
            _end_rebuild(state, unit)
        break
    _adapt(facts, rules, state, region)
    return -1


@kernel
def _end_rebuild(state: State, unit: int) -> None:
    """Go on to the execution; the stage has spent all this time on its context."""
    worker = state.power.worker[unit]
    record = state.record[worker["record"]]
    row = state.stage[record["stage"]]
    worker["phase"] = _WORKING
    worker["until"] += record["execution_us"] << _SHIFT
    is_on_plan = row["planned"] >> ON_CONTEXT & 1 == 1 and row["state"] == EXECUTING
    if record["epoch"] == row["epoch"] and is_on_plan:
        plan(state, record["stage"], ON_CONTEXT, state.clock[NOW] - worker["begun_us"])


@kernel
def end_work(facts: Facts, state: State, unit: int) -> None:
    """Book what the occupation that ends now has lost to the cap and to coordination under it."""
    region = facts.unit[unit]["region"]
    if not is_capped(state, region):
        return
    worker = state.power.worker[unit]
    if worker["phase"] == _NOTHING:
        return
    _settle(state, region)
    state.record[worker["record"]]["end_us"] = state.clock[NOW]
    if worker["phase"] != _HELD:
        _book_lost(state, region, unit)
    worker["phase"] = _NOTHING


@kernel
def lost_us(state: State, index: int) -> int:
    """Return what the occupation of a record has lost under a cap; 0 where there is none."""
    total_us = 0
    for k in range(N_LOST if len(state.power.lost_us) > 0 else 0):
        total_us += state.power.lost_us[index, k]
    return total_us


@kernel
def _book_lost(state: State, region: int, unit: int) -> None:
    """Round what was lost to whole microseconds that add up to the time less the work done."""
    worker = state.power.worker[unit]
    row, total, whole_us, largest = state.power.lost_us[worker["record"]], 0, 0, 0
    for k in range(N_LOST):
        lost = state.power.lost[region, k] - state.power.lost_before[unit, k]
        row[k] = lost >> _SHIFT
        total += lost
        whole_us += row[k]
        if lost >= state.power.lost[region, largest] - state.power.lost_before[unit, largest]:
            largest = k
    elapsed_us = state.clock[NOW] - worker["begun_us"]
    done_us = ((elapsed_us << _SHIFT) - total) >> _SHIFT
    row[largest] += elapsed_us - done_us - whole_us


@kernel
def cores_change(facts: Facts, rules: Rules, state: State, region: int) -> None:
    """Adapt a site to its control cores, of which one has taken up work."""
    if is_capped(state, region):
        _settle(state, region)
        _adapt(facts, rules, state, region)


@kernel
def work_ends(facts: Facts, rules: Rules, state: State, unit: int) -> None:
    """Adapt the site of a unit that has finished, and may have begun something else."""
    if is_capped(state, facts.unit[unit]["region"]):
        _adapt(facts, rules, state, facts.unit[unit]["region"])


@kernel
def begin_residual(facts: Facts, rules: Rules, state: State) -> None:
    """Set every site going, with the work that its units have at the start."""
    facts, rules, state = borrow(facts), borrow(rules), borrow(state)
    state.clock[NEXT_POWER] = NEVER_US
    for index in range(state.clock[N_RECORDS]):
        record = state.record[index]
        region = facts.unit[record["unit"]]["region"]
        if is_capped(state, region):
            _take_up(state, region, record["unit"], index)
        else:
            schedule(state, record["end_us"], FINISH, record["unit"])
    for region in range(len(state.power.site)):
        if is_capped(state, region):
            _adapt(facts, rules, state, region)


@kernel
def close_sites(rules: Rules, state: State) -> None:
    """Book, at the horizon, what has been lost so far, and that what is under way is open."""
    state.clock[NOW] = rules.horizon_us
    for region in range(len(state.power.site)):
        if not is_capped(state, region):
            continue
        _settle(state, region)
        site = state.power.site[region]
        for unit in range(site["first_unit"], site["last_unit"]):
            worker = state.power.worker[unit]
            if worker["phase"] == _NOTHING:
                continue
            if worker["phase"] != _HELD:
                record, rest = state.record[worker["record"]], worker["until"] - site["done"]
                if worker["phase"] == _REBUILDING:
                    rest += record["execution_us"] << _SHIFT
                record["end_us"] = rules.horizon_us + ((rest + FULL_RATE - 1) >> _SHIFT)
                _book_lost(state, region, unit)


@kernel
def _settle(state: State, region: int) -> None:
    """Bring the clocks of a site up to now."""
    site = state.power.site[region]
    passed_us = state.clock[NOW] - site["since_us"]
    site["since_us"] = state.clock[NOW]
    site["done"] += passed_us * site["rate"]
    for k in range(N_LOST):
        state.power.lost[region, k] += passed_us * state.power.lost_rate[region, k]


@kernel
def _due_us(site: Rows, worker: Rows, now_us: int) -> int:
    """Return when the phase of a unit ends, if the rate stays as it is."""
    if worker["phase"] == _HELD:
        return int(worker["until"])
    rest = worker["until"] - site["done"]
    if rest <= 0:
        return now_us
    if site["rate"] == 0:
        return NEVER_US
    return int(now_us + (rest + site["rate"] - 1) // site["rate"])


@kernel
def _adapt(facts: Facts, rules: Rules, state: State, region: int) -> None:
    """Find the site's rate anew, and when something will next change there."""
    site, draw_w = state.power.site[region], state.power.draw_w
    for k in range(N_LOST):
        draw_w[k] = 0.0
    payload_w, other_w = _unit_draw_w(rules, state, region, draw_w)
    core_w = _core_draw_w(facts, rules, state, region, draw_w)
    units = site["last_unit"] - site["first_unit"]
    room_w = facts.site_cap_w[region] - units * rules.idle_w
    alone = _rate(room_w, payload_w)
    site["rate"] = min(alone, _rate(room_w - core_w, payload_w + other_w))
    _split(state, region, alone, draw_w)
    _find_next(facts, rules, state, region)


@kernel
def _unit_draw_w(rules: Rules, state: State, region: int, draw_w: Floats) -> tuple[float, float]:
    """Add up what work at full rate adds to idle power: of payload, and of coordination.

    A cheat only sits there.
    """
    site, payload_w, other_w = state.power.site[region], 0.0, 0.0
    each_w = max(0.0, rules.active_w - rules.idle_w)
    for unit in range(site["first_unit"], site["last_unit"]):
        worker = state.power.worker[unit]
        if worker["phase"] == _NOTHING or worker["phase"] == _HELD:
            continue
        record = state.record[worker["record"]]
        if worker["phase"] == _REBUILDING:
            draw_w[CONTEXT] += each_w
            other_w += each_w
        elif record["outcome"] == AUDIT:
            draw_w[VERIFICATION] += each_w
            other_w += each_w
        elif record["is_wrong"] != CHEATED:
            payload_w += each_w
    return payload_w, other_w


@kernel
def _core_draw_w(facts: Facts, rules: Rules, state: State, region: int, draw_w: Floats) -> float:
    """Add up what the busy control cores of the planes that sit at the site draw."""
    total_w, each_w = 0.0, rules.core_w * rules.server_speed
    for plane in range(len(facts.plane_region)):
        if facts.plane_region[plane] != region:
            continue
        for server in range(plane * rules.n_servers, (plane + 1) * rules.n_servers):
            if state.server_free_us[server] > state.clock[NOW]:
                draw_w[state.power.server_operation[server]] += each_w
                total_w += each_w
    return total_w


@kernel
def _rate(room_w: float, wanted_w: float) -> int:
    """Return the highest rate, rounded down, at which work stays within its room."""
    if wanted_w <= max(0.0, room_w):
        return FULL_RATE
    return int(max(0.0, room_w) / wanted_w * FULL_RATE)


@kernel
def _split(state: State, region: int, alone: int, draw_w: Floats) -> None:
    """Split each second of work: done, lost to the cap, lost to coordination by what that draws."""
    rate, lost_rate = state.power.site[region]["rate"], state.power.lost_rate[region]
    total_w, rest, largest = 0.0, alone - rate, 0
    share = rate / FULL_RATE
    for operation in (CONTEXT, VERIFICATION):
        draw_w[operation] *= share
    for k in range(len(OPERATIONS)):
        total_w += draw_w[k]
        if draw_w[k] > draw_w[largest]:
            largest = k
    lost_rate[N_LOST - 1] = FULL_RATE - alone
    for k in range(len(OPERATIONS)):
        lost_rate[k] = int((alone - rate) * (draw_w[k] / total_w)) if total_w > 0.0 else 0
        rest -= lost_rate[k]
    lost_rate[largest] += rest


@kernel
def _find_next(facts: Facts, rules: Rules, state: State, region: int) -> None:
    """Find when a phase ends or a core falls idle at a site, and which site is first."""
    site, now_us = state.power.site[region], state.clock[NOW]
    next_us, next_unit = NEVER_US, 0
    for unit in range(site["first_unit"], site["last_unit"]):
        worker = state.power.worker[unit]
        if worker["phase"] != _NOTHING:
            due_us = _due_us(site, worker, now_us)
            if due_us < next_us:
                next_us, next_unit = due_us, unit
    if rules.core_w > 0.0:
        for plane in range(len(facts.plane_region)):
            if facts.plane_region[plane] == region:
                for server in range(plane * rules.n_servers, (plane + 1) * rules.n_servers):
                    free_us = state.server_free_us[server]
                    if now_us < free_us < next_us:
                        next_us, next_unit = free_us, 0
    site["next_us"], site["next_unit"] = next_us, next_unit
    state.clock[NEXT_POWER] = state.power.site[first_site(state)]["next_us"]


@kernel
def first_site(state: State) -> int:
    """Return the site where something changes first, and of those the first."""
    first = 0
    for region in range(1, len(state.power.site)):
        if state.power.site[region]["next_us"] < state.power.site[first]["next_us"]:
            first = region
    return first
