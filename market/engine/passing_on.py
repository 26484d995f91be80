"""Passing a request that finds no unit on to another plane: up a tree, or round a federation."""

from hanse.market.engine.clock import NOW
from hanse.market.engine.columns import Facts, Rules, State
from hanse.market.engine.events import REQUEST, of_epoch, schedule
from hanse.market.engine.gathering import remove_pending
from hanse.market.engine.options import offer_options
from hanse.market.engine.preparation import way_us
from hanse.market.engine.stage_clock import enter, plan
from hanse.market.engine.states import IN_FLIGHT, IN_SERVICE
from hanse.market.kernels import kernel


@kernel
def _may_serve(facts: Facts, plane: int, stage: int) -> bool:
    """Say whether law and class leave a stage any place that the plane commands."""
    signature = facts.stage[stage]["signature"]
    for word in range(facts.scope.shape[1]):
        if facts.admissible[signature, word] & facts.scope[plane, word] != 0:
            return True
    return False


@kernel
def next_plane(facts: Facts, state: State, stage: int) -> int:
    """Return where on its tour a request goes next, as a position, or -1 if it is at the end.

    Planes that could not serve it by law are passed over, but for the last, where it waits. Where
    the last is the plane that it has never left, it stays.
    """
    if facts.passes_to.shape[1] == 0:
        return -1
    tour, here = facts.passes_to[facts.stage_plane[stage]], state.stage[stage]["plane"]
    for position in range(state.stage[stage]["passed_on"], len(tour)):
        if tour[position] < 0 or tour[position] == here:
            continue
        if position == len(tour) - 1 or _may_serve(facts, tour[position], stage):
            return position
    return -1


@kernel
def pass_on(facts: Facts, rules: Rules, state: State, stage: int, end_us: int) -> None:
    """Send a request on when the decision that left it without a unit ends."""
    row = state.stage[stage]
    position = next_plane(facts, state, stage)
    target = facts.passes_to[facts.stage_plane[stage], position]
    arrives_us = end_us + way_us(facts, state, stage, facts.plane_region[target])
    remove_pending(state, stage)
    enter(rules, state, stage, IN_FLIGHT)
    plan(state, stage, row["returning"] or IN_SERVICE, end_us - state.clock[NOW])
    row["returning"] = 0
    row["plane"], row["passed_on"] = target, position + 1
    offer_options(facts, state, stage)
    schedule(state, arrives_us, REQUEST, of_epoch(stage, row["epoch"]))
