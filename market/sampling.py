"""Counting, at instants drawn in the world, who waits and which units idle or are held.

The counts are all that `displacement.py` needs to say which idle units displaced waiting work.
"""

from hanse.market.clock import N_OPEN
from hanse.market.columns import HELD, Facts, Rules, State
from hanse.market.kernels import kernel
from hanse.market.stage_clock import close_at, state_at
from hanse.market.states import N_WAITING_STATES, TOOL, UNMATCHED
from hanse.market.views import sight_us


@kernel
def _is_worth_serving(facts: Facts, stage: int, now_us: int) -> bool:
    """Say whether the stage, started at once where its inputs lie, would be worth its cost."""
    fact = facts.stage[stage]
    finish_us = now_us + fact["work_us"] + fact["rest_us"]
    if finish_us > fact["deadline_us"]:
        return False
    age_us = finish_us - fact["job_arrival_us"]
    cost = facts.cheapest_usd_per_us * (fact["work_us"] + fact["rest_work_us"])
    return bool(fact["value_usd"] - fact["delay_usd_per_us"] * age_us > cost)


@kernel
def _is_hidden(facts: Facts, rules: Rules, state: State, plane: int, unit: int, k: int) -> bool:
    """Say whether a free unit is so newly free that the plane cannot have seen it yet."""
    if state.seen[plane, unit] & HELD != 0:
        return False
    region = facts.unit[unit]["region"]
    seen_us = sight_us(facts, rules, plane, region, facts.sample_us[k])
    return bool(state.unit[unit]["free_since_us"] > max(0, seen_us))


@kernel
def _share_out_of_sight(facts: Facts, rules: Rules, state: State, k: int) -> None:
    """Average, over unmatched stages, the share of each sink's free units they cannot see.

    A unit that the stage's plane has itself commanded is no secret to it. Looking changes nothing:
    what a plane sees is worked out here, not brought up to date.
    """
    n_unmatched = 0
    for plane in range(len(state.plane)):
        count = state.plane[plane]["n_unmatched"]
        state.plane[plane]["n_unmatched"] = 0
        n_unmatched += count
        if count == 0:
            continue
        for unit in range(len(facts.unit)):
            is_free = state.unit[unit]["is_busy"] == 0
            if is_free and _is_hidden(facts, rules, state, plane, unit, k):
                state.hidden[k, facts.unit[unit]["sink"]] += count
    for sink in range(len(facts.sink)):
        state.hidden[k, sink] /= max(1, n_unmatched) * max(1, state.available[k, sink])


@kernel
def sample(facts: Facts, rules: Rules, state: State, k: int) -> None:
    """Count, at one instant, who waits in which state and which units idle or are held."""
    now_us = facts.sample_us[k]
    for unit in range(len(facts.unit)):
        if state.unit[unit]["is_busy"] == 0:
            state.available[k, facts.unit[unit]["sink"]] += 1
    position = 0
    while position < state.clock[N_OPEN]:
        stage = state.open_stage[position]
        where = state_at(state, stage, now_us)
        if where >= N_WAITING_STATES:
            close_at(state, position)
            continue
        position += 1
        row = state.stage[stage]
        is_holding = row["record"] >= 0 and state.record[row["record"]]["accepted_us"] <= now_us
        if is_holding and row["holding_us"] > 0:
            state.available[k, facts.unit[row["unit"]]["sink"]] += 1
        if where != TOOL and _is_worth_serving(facts, stage, now_us):
            column = facts.stage[stage]["signature"] * N_WAITING_STATES + where
            state.waiting[k, column] += 1
            if where == UNMATCHED:
                state.plane[row["plane"]]["n_unmatched"] += 1
    _share_out_of_sight(facts, rules, state, k)
