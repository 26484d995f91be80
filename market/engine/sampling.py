"""Counting, at instants drawn in the world, who waits and which units idle or are held.

The counts are all that `accounts/displacement.py` needs to say which idle units displaced waiting
work.
"""

from hanse.market.engine.clock import N_OPEN
from hanse.market.engine.columns import HELD, Facts, Rules, State
from hanse.market.engine.stage_clock import close_at, state_at
from hanse.market.engine.states import N_WAITING_STATES, NOT_READY, TOOL, UNMATCHED
from hanse.market.engine.views import may_command, next_entry, sight_us
from hanse.market.kernels import kernel


@kernel
def _is_hidden(facts: Facts, state: State, plane: int, entry: int, seen_us: int) -> bool:
    """Say whether what the log notes is a unit that is free and that the plane cannot know of.

    A unit that the plane has itself commanded is no secret to it.
    """
    row = state.log[entry]
    unit = state.unit[row["unit"]]
    if not may_command(facts, plane, row["unit"]):
        return False
    is_free = unit["is_busy"] == 0 and unit["freed_entry"] == entry
    return bool(
        is_free and row["at_us"] > max(0, seen_us) and state.seen[plane, row["unit"]] & HELD == 0
    )


@kernel
def _count_hidden(facts: Facts, rules: Rules, state: State, plane: int, k: int) -> None:
    """Add to each sink its hidden units, once for each unmatched stage of the plane.

    What is hidden lies further down the log than what the plane has read. Looking changes nothing:
    what a plane sees is worked out here, not brought up to date.
    """
    count = state.plane[plane]["n_unmatched"]
    for region in range(len(state.region)):
        if not facts.watches[plane, region]:
            continue
        seen_us = sight_us(facts, rules, plane, region, facts.sample_us[k])
        entry = next_entry(state, plane, region)
        while entry >= 0:
            if _is_hidden(facts, state, plane, entry, seen_us):
                state.hidden[k, facts.unit[state.log[entry]["unit"]]["sink"]] += count
            entry = state.log[entry]["next"]


@kernel
def _share_out_of_sight(facts: Facts, rules: Rules, state: State, k: int) -> None:
    """Average, over unmatched stages, the share of each sink's free units they cannot see."""
    n_unmatched = 0
    for plane in range(len(state.plane)):
        if state.plane[plane]["n_unmatched"] > 0:
            _count_hidden(facts, rules, state, plane, k)
        n_unmatched += state.plane[plane]["n_unmatched"]
        state.plane[plane]["n_unmatched"] = 0
    if n_unmatched > 0:
        for sink in range(len(facts.sink)):
            state.hidden[k, sink] /= n_unmatched * max(1, state.available[k, sink])


@kernel
def sample(facts: Facts, rules: Rules, state: State, k: int) -> None:
    """Count, at one instant, who waits in which state and which units idle or are held."""
    now_us = facts.sample_us[k]
    for sink in range(len(facts.sink)):
        state.available[k, sink] = state.idle_units[sink]
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
        is_released = where != TOOL and row["status"] != NOT_READY
        if is_released and now_us < facts.stage[stage]["worthless_us"]:
            column = facts.stage[stage]["signature"] * N_WAITING_STATES + where
            state.waiting[k, column] += 1
            if where == UNMATCHED:
                state.plane[row["plane"]]["n_unmatched"] += 1
    _share_out_of_sight(facts, rules, state, k)
