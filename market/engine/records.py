"""Opening the record of an occupation of a unit."""

from hanse.market.engine.bits import drop_member
from hanse.market.engine.clock import N_RECORDS, NOW
from hanse.market.engine.columns import Facts, State
from hanse.market.engine.states import OPEN
from hanse.market.kernels import kernel


@kernel
def occupy_unit(facts: Facts, state: State, stage: int, unit: int) -> int:
    """Open the record of an occupation that starts now and return its index."""
    index = state.clock[N_RECORDS]
    assert index < len(state.record), "the records are full"
    state.clock[N_RECORDS] += 1
    record = state.record[index]
    record["stage"], record["unit"] = stage, unit
    record["outcome"] = OPEN
    record["epoch"] = state.stage[stage]["epoch"]
    record["attempt"] = state.stage[stage]["attempt"]
    record["accepted_us"] = record["end_us"] = state.clock[NOW]
    record["final_us"] = -1
    state.unit[unit]["is_busy"] = 1
    state.idle_units[facts.unit[unit]["sink"]] -= 1
    drop_member(state.idle, unit)
    state.unit[unit]["record"] = index
    state.stage[stage]["record"] = index
    return int(index)
