"""The ledger of stage time: in which state each stage is at each microsecond.

A stage carries a plan, the states of fixed length that lie ahead of it, and a tail, the state it is
in once the plan has run out. Whatever interrupts a stage first books what has passed. Bits in
`planned` say which states the plan has, as most of them have no length.
"""

import numpy as np

from hanse.market.engine.clock import N_OPEN, NOW
from hanse.market.engine.columns import Rules, State
from hanse.market.engine.pools import borrow_row, give_back
from hanse.market.kernels import kernel, lowest_bit
from hanse.market.units import Integers


@kernel
def book_time(rules: Rules, state: State, stage: int, now_us: int) -> None:
    """Book the time since the last change to the states it was spent in, and clear the plan."""
    row = state.stage[stage]
    elapsed = min(now_us, rules.horizon_us) - min(row["since_us"], rules.horizon_us)
    rest = np.int64(row["planned"])
    if rest != 0:
        plan_us = state.plan_us[state.plan_rows.row_of[stage]]
        while rest != 0:
            step = lowest_bit(int(rest))
            rest &= rest - 1
            spent = min(plan_us[step], elapsed)
            state.time_us[stage, step] += spent
            elapsed -= spent
        row["planned"] = 0
        give_back(state.plan_rows, stage)
    state.time_us[stage, row["state"]] += elapsed
    row["since_us"] = now_us


@kernel
def enter(rules: Rules, state: State, stage: int, tail: int) -> None:
    """Book what has passed and put the stage into a state of open length, now."""
    book_time(rules, state, stage, state.clock[NOW])
    state.stage[stage]["state"] = tail


@kernel
def plan(state: State, stage: int, step: int, length_us: int) -> None:
    """Give a state a length on the plan of a stage; the states of a plan come in their order."""
    row = state.stage[stage]
    if length_us > 0 and row["planned"] == 0:
        borrow_row(state.plan_rows, stage)
    if length_us > 0:
        row["planned"] |= 1 << step
    if row["planned"] >> step & 1 == 1:
        state.plan_us[state.plan_rows.row_of[stage], step] = length_us


@kernel
def state_at(state: State, stage: int, now_us: int) -> int:
    """Return the state a stage is in, without booking anything."""
    row = state.stage[stage]
    elapsed, rest = now_us - row["since_us"], np.int64(row["planned"])
    if rest != 0:
        plan_us = state.plan_us[state.plan_rows.row_of[stage]]
        while rest != 0:
            step = lowest_bit(int(rest))
            rest &= rest - 1
            if elapsed < plan_us[step]:
                return int(step)
            elapsed -= plan_us[step]
    return int(row["state"])


@kernel
def open_stage(state: State, stage: int) -> None:
    """Put a stage on the list of those that may be waiting for a unit."""
    if state.stage[stage]["open_position"] < 0:
        count = state.clock[N_OPEN]
        state.open_stage[count] = stage
        state.stage[stage]["open_position"] = count
        state.clock[N_OPEN] = count + 1


@kernel
def close_at(state: State, position: int) -> None:
    """Take the stage at this position off that list."""
    last = state.clock[N_OPEN] - 1
    stage, moved = state.open_stage[position], state.open_stage[last]
    state.open_stage[position] = moved
    state.stage[moved]["open_position"] = position
    state.stage[stage]["open_position"] = -1
    state.clock[N_OPEN] = last


def time_by_group(group: Integers, time_us: Integers, n_groups: int) -> Integers:
    """Add up rows of stage time by the group of each; shape (n_groups, n_columns), in one pass."""
    total = np.zeros((n_groups, time_us.shape[1]), np.int64)
    _add_rows(group, time_us, total)
    return total


@kernel
def _add_rows(group: Integers, time_us: Integers, total: Integers) -> None:
    for row in range(len(group)):
        for column in range(time_us.shape[1]):
            total[group[row], column] += time_us[row, column]
