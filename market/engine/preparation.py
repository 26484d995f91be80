"""What lies between a decision and execution: preliminary operations, transfer, rebuild."""

from typing import Final, NamedTuple

from hanse.market.crossings import ALL_STEPS
from hanse.market.engine.bits import WORD_BITS
from hanse.market.engine.clock import GENERATION, NOW
from hanse.market.engine.columns import Facts, Rules, State
from hanse.market.engine.crossing_steps import Five, held_part, total, uncovered, without
from hanse.market.engine.crossing_ways import Way, added, at_the_pace_of, least_way_us, way_between
from hanse.market.engine.egress import charges_egress, crossing_egress_usd
from hanse.market.engine.parts import POSTED_RULE
from hanse.market.engine.pools import borrow_row
from hanse.market.engine.stage_clock import plan
from hanse.market.engine.states import ON_IDENTITY
from hanse.market.kernels import kernel
from hanse.market.rails import settled_us
from hanse.market.units import NANO_USD_PER_USD

# A quote rounds thrice to whole nano-USD, and an amount in floating point is right to far less.
ROUNDINGS: Final = 4


_NOTHING: Final = (0, 0, 0, 0, 0)
_NO_WAY: Final = Way(_NOTHING, 0, 0, 0, (0, 0, 0), 0.0, 0.0, 0, 0, 0, 0)


class Preparation(NamedTuple):
    """How one stage gets ready at one place.

    `before_us` are the steps of the crossing that need no unit, as the stage sees them, and
    `held_us` those for which one is held. `lead_us` runs from the moment the command leaves to the
    start of the rebuild or execution; `holding_us` is the part of it during which the unit is held.
    """

    way: Way
    before_us: Five
    held_us: Five
    context_us: int
    holding_us: int
    lead_us: int


@kernel
def prepare(
    facts: Facts,
    state: State,
    stage: int,
    region: int,
    command_us: int,
    now_us: int,
    is_real: int,
) -> Preparation:
    """Work out the preparation of a stage in a region, with the caches as they are now.

    The context lies where the first of what the stage waits for was done.
    """
    row, fact = state.stage[stage], facts.stage[stage]
    source = row["input_region"]
    is_kept = source == region and row["context_until_us"] >= now_us
    context_us = 0 if is_kept else fact["context_us"]
    if row["n_sources"] > 1:
        way = _way_from_all(facts, state, stage, region, now_us, is_real)
        return _hold(facts, stage, way, context_us, command_us)
    if source == region:
        return Preparation(_NO_WAY, _NOTHING, _NOTHING, context_us, 0, command_us)
    n_bytes = fact["input_bytes"]
    way = way_between(facts, state, stage, source, region, n_bytes, now_us, is_real)
    return _hold(facts, stage, way, context_us, command_us)


@kernel
def _way_from_all(
    facts: Facts, state: State, stage: int, region: int, now_us: int, is_real: int
) -> Way:
    """Let the inputs of a stage that joins branches cross side by side, each from where it lies.

    Each of what the stage waits for hands on an equal part of its input. The time is that of the
    slowest crossing, and the steps are its own. Control work, egress and counts are those of all;
    none can use a proof that another is only obtaining.
    """
    first, n_bytes = facts.first_input[stage], facts.stage[stage]["input_bytes"]
    n_inputs, slowest_us = facts.first_input[stage + 1] - first, -1
    slowest = every = _NO_WAY
    for slot in range(first, first + state.stage[stage]["n_sources"]):
        source, share = state.source[slot]["region"], state.source[slot]["n_inputs"] / n_inputs
        if source == region:
            continue
        way = way_between(facts, state, stage, source, region, n_bytes * share, now_us, is_real)
        every = added(every, way)
        if total(way.step_us) > slowest_us:
            slowest, slowest_us = way, total(way.step_us)
    return at_the_pace_of(slowest, every)


@kernel
def _hold(facts: Facts, stage: int, way: Way, context_us: int, command_us: int) -> Preparation:
    """Part a crossing into what a unit is held for and what comes before it lands."""
    fact, crossing = facts.stage[stage], facts.crossing
    holds = int(fact["holds"])
    cover_us = way.step_us[4] + crossing.execution_covers * (context_us + fact["work_us"])
    seen = uncovered(way.step_us, crossing.overlap, cover_us)
    held = held_part(seen, holds, crossing.hold_batch)
    before = without(seen, held)
    again_identity_us = way.again[0] * (holds & 1)
    again_policy_us = way.again[1] * (holds >> 1 & 1)
    held = (held[0] + again_identity_us, held[1] + again_policy_us, held[2], held[3], held[4])
    holding_us = total(held)
    lead_us = max(command_us, total(before)) + holding_us
    return Preparation(way, before, held, context_us, holding_us, lead_us)


@kernel
def way_us(facts: Facts, state: State, stage: int, region: int) -> int:
    """Return how long a message about a stage takes between its plane and a region, this time."""
    row = state.stage[stage]
    mean_us = facts.command_us[row["plane"], region]
    if len(facts.attempt_way) == 0:
        return int(mean_us)
    return int(round(mean_us * facts.attempt_way[row["attempt"], stage]))


@kernel
def plan_steps(state: State, stage: int, steps_us: Five) -> None:
    """Put the preliminary operations and the transfer on the plan of a stage."""
    for step in range(len(steps_us)):
        plan(state, stage, ON_IDENTITY + step, steps_us[step])


@kernel
def worth_usd(facts: Facts, stage: int, finish_us: int) -> float:
    """Return v_j, as its buyer says, of a job whose last result would arrive then.

    It is zero after the deadline.
    """
    fact = facts.stage[stage]
    if finish_us > fact["deadline_us"]:
        return 0.0
    fall = fact["said_delay_usd_per_us"] * (finish_us - fact["job_arrival_us"])
    return float(max(0.0, fact["said_usd"] - fall))


@kernel
def lock_wait_us(
    facts: Facts, rules: Rules, state: State, stage: int, region: int, now_us: int
) -> int:
    """Return how long it takes to lock the price of a stage: word to the buyer, and its money."""
    if rules.escrow == 0:
        return 0
    origin = facts.stage[stage]["origin"]
    word_us = 2 * facts.command_us[state.stage[stage]["plane"], origin]
    if rules.rail.on_demand == 0:
        return int(word_us)
    asked_us = now_us + word_us
    there_us = settled_us(rules.rail, asked_us, facts.zone_us[origin], facts.zone_us[region])
    return int(there_us - now_us)


@kernel
def quote(facts: Facts, rules: Rules, state: State, stage: int, sink: int) -> None:
    """Fill in worth, resource cost as asked, and occupied time of a stage at a sink, as of now.

    A quote depends on the stage and the sink, not on who asks: planes that decide at one instant
    share it.
    """
    word, bit = sink // WORD_BITS, 1 << (sink % WORD_BITS)
    own, is_new = state.quote_rows.row_of[stage], False
    if own < 0:
        own, is_new = borrow_row(state.quote_rows, stage), True
    if is_new or state.quoted_at[own] != state.clock[GENERATION]:
        state.quoted_at[own] = state.clock[GENERATION]
        for k in range(state.quoted.shape[1]):
            state.quoted[own, k] = 0
    elif state.quoted[own, word] & bit != 0:
        return
    state.quoted[own, word] |= bit
    fact, now_us = facts.stage[stage], state.clock[NOW]
    region = facts.sink[sink]["region"]
    home = state.stage[stage]["plane"]
    lock_us = lock_wait_us(facts, rules, state, stage, region, now_us)
    ready = prepare(facts, state, stage, region, facts.command_us[home, region], now_us, 0)
    busy_us = ready.context_us + fact["work_us"]
    finish_us = (
        now_us
        + lock_us
        + ready.lead_us
        + busy_us
        + facts.link[region, fact["origin"]]["delivery_us"]
        + fact["rest_us"]
    )
    way = ready.way
    core_us = way.identity_core_us + way.policy_core_us + way.authority_core_us + way.again[2]
    crossing_usd = core_us * rules.core_usd_per_us
    crossing_usd += crossing_egress_usd(facts, rules, state, stage, region, way.egress_usd)
    crossing_usd += way.approvals * rules.approval_usd
    # No job is done before its longest path: a branch is not worth more for being short.
    worth = worth_usd(facts, stage, max(finish_us, fact["soonest_us"])) - crossing_usd
    cost = (
        facts.sink[sink]["asked_busy_usd_per_us"] * (busy_us + fact["rest_work_us"])
        + facts.sink[sink]["asked_held_usd_per_us"] * ready.holding_us
    )
    row = state.quote[own, sink]
    row["worth_nano_usd"] = round(worth * NANO_USD_PER_USD)
    row["cost_nano_usd"] = round(cost * NANO_USD_PER_USD)
    row["occupied_us"] = ready.holding_us + busy_us


@kernel
def bound_nano_usd(
    facts: Facts, rules: Rules, state: State, stage: int, sink: int, now_us: int
) -> int:
    """Bound what the stage can gain at the sink from now on: `quote` with every cache warm.

    It only falls with time, so a sink where it is not above zero needs no more quotes as long as
    the inputs stay where they are. What a posted price takes is bounded by the lowest of the sink.
    The crossings of a stage that joins branches are left out, which makes its bound a wider one.
    """
    fact, place = facts.stage[stage], facts.sink[sink]
    region, source = place["region"], state.stage[stage]["input_region"]
    lead_us = facts.command_us[state.stage[stage]["plane"], region]
    busy_us, holding_us, crossing_usd = fact["work_us"], 0, 0.0
    if source != region and state.stage[stage]["n_sources"] < 2:
        link = facts.link[source, region]
        steps_us = least_way_us(facts, stage, source, region, fact["input_bytes"])
        holding_us = steps_us * (fact["holds"] == ALL_STEPS)
        lead_us = max(lead_us, steps_us) if holding_us == 0 else lead_us + steps_us
        busy_us += fact["context_us"]
        if rules.rule != POSTED_RULE or not charges_egress(facts):
            crossing_usd = fact["input_bytes"] * link["egress_usd_per_byte"]
    finish_us = now_us + lead_us + busy_us + fact["rest_us"]
    worth = worth_usd(facts, stage, finish_us + facts.link[region, fact["origin"]]["delivery_us"])
    if rules.rule == POSTED_RULE:
        cost = place["posted_usd_per_us"] * (busy_us + fact["rest_work_us"] + holding_us)
    else:
        cost = place["asked_busy_usd_per_us"] * (busy_us + fact["rest_work_us"])
        cost += place["asked_held_usd_per_us"] * holding_us
    return int((worth - crossing_usd - cost) * NANO_USD_PER_USD) + ROUNDINGS
