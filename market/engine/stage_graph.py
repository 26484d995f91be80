"""Jobs as graphs of stages: longest paths, the work behind a stage, and walks over one job.

An edge says that a stage waits for another of its job, of lower index: the order of indices is an
order in which stages can run, and edges sorted by (end, start) come in that order, too.
"""

import numpy as np

from hanse.market.engine.columns import Facts, State
from hanse.market.engine.states import COMPLETE
from hanse.market.kernels import kernel
from hanse.market.units import Flags, Integers


def earliest_start_us(
    work_us: Integers, tool_us: Integers, edge_from: Integers, edge_to: Integers
) -> Integers:
    """Return how long after its job's arrival each stage can start at the soonest.

    The longest path up to it, of work and of the waits before what has a predecessor.

    Examples
    --------
    >>> work, tool = np.array([5, 3, 7, 2]), np.array([9, 1, 0, 4])
    >>> edges = {"edge_from": np.array([0, 0, 1, 2]), "edge_to": np.array([1, 2, 3, 3])}
    >>> earliest_start_us(work, tool, **edges).tolist()  # the last waits for 5 + 7, then 4
    [0, 6, 5, 16]
    """
    start_us = np.zeros(len(work_us), np.int64)
    _push_forward(work_us, tool_us, edge_from, edge_to, start_us)
    return start_us


@kernel
def _push_forward(
    work_us: Integers,
    tool_us: Integers,
    edge_from: Integers,
    edge_to: Integers,
    start_us: Integers,
) -> None:
    for edge in range(len(edge_to)):
        before, after = edge_from[edge], edge_to[edge]
        at_us = start_us[before] + work_us[before] + tool_us[after]
        start_us[after] = max(start_us[after], at_us)


def longest_of_job_us(job: Integers, end_us: Integers) -> Integers:
    """Return of each stage by when the last of its job can end at the soonest.

    `end_us` is what `earliest_start_us` and the work add up to.
    """
    longest_us = end_us.copy()
    _spread(job, longest_us)
    return longest_us


@kernel
def _spread(job: Integers, longest_us: Integers) -> None:
    """Let each stage have the greatest number of its job."""
    for stage in range(1, len(job)):
        if job[stage] == job[stage - 1]:
            longest_us[stage] = max(longest_us[stage], longest_us[stage - 1])
    for stage in range(len(job) - 2, -1, -1):
        if job[stage] == job[stage + 1]:
            longest_us[stage] = longest_us[stage + 1]


def longest_rest_us(
    work_us: Integers, tool_us: Integers, edge_from: Integers, edge_to: Integers
) -> Integers:
    """Return the longest path of tools and work that lies below each stage, itself left out.

    Examples
    --------
    >>> work, tool = np.array([5, 3, 7, 2]), np.array([9, 1, 0, 4])
    >>> edges = {"edge_from": np.array([0, 0, 1, 2]), "edge_to": np.array([1, 2, 3, 3])}
    >>> longest_rest_us(work, tool, **edges).tolist()
    [13, 6, 6, 0]
    """
    rest_us = np.zeros(len(work_us), np.int64)
    _push_back(work_us, tool_us, edge_from, edge_to, rest_us)
    return rest_us


@kernel
def _push_back(
    work_us: Integers,
    tool_us: Integers,
    edge_from: Integers,
    edge_to: Integers,
    rest_us: Integers,
) -> None:
    for edge in range(len(edge_to) - 1, -1, -1):
        before, after = edge_from[edge], edge_to[edge]
        below_us = tool_us[after] + work_us[after] + rest_us[after]
        rest_us[before] = max(rest_us[before], below_us)


def work_behind_us(
    job: Integers, work_us: Integers, edge_from: Integers, edge_to: Integers
) -> Integers:
    """Return the work of all stages that wait for each stage, at first or at second hand.

    Each counts once, by however many paths it waits. It is what a bid takes off as the cost of the
    remaining stages. Of two branches that join, each takes off the whole work behind the join, and
    neither the other branch: docs/why/each-branch-bids-for-its-job.md says why.

    Examples
    --------
    >>> edges = {"edge_from": np.array([0, 0, 1, 2]), "edge_to": np.array([1, 2, 3, 3])}
    >>> work_behind_us(np.zeros(4, int), np.array([5, 3, 7, 2]), **edges).tolist()
    [12, 2, 2, 0]
    """
    n_stages = len(work_us)
    behind_us = np.zeros(n_stages, np.int64)
    n_after = np.bincount(edge_from, minlength=n_stages)
    only_after = np.zeros(n_stages, np.int64)
    only_after[edge_from] = edge_to
    first_edge = np.cumsum(np.bincount(edge_to, minlength=n_stages))
    reached_by = np.full(n_stages, -1)
    _add_behind(
        job, work_us, edge_from, edge_to, n_after, only_after, first_edge, reached_by, behind_us
    )
    return behind_us


@kernel
def _add_behind(
    job: Integers,
    work_us: Integers,
    edge_from: Integers,
    edge_to: Integers,
    n_after: Integers,
    only_after: Integers,
    first_edge: Integers,
    reached_by: Integers,
    behind_us: Integers,
) -> None:
    """Walk the edges behind each stage; behind an only successor lies what lies behind that."""
    for stage in range(len(work_us) - 1, -1, -1):
        if n_after[stage] == 1:
            after = only_after[stage]
            behind_us[stage] = work_us[after] + behind_us[after]
            continue
        edge, reached_by[stage] = first_edge[stage], stage
        if n_after[stage] == 0:
            continue
        while edge < len(edge_to) and job[edge_to[edge]] == job[stage]:
            after = edge_to[edge]
            if reached_by[edge_from[edge]] == stage and reached_by[after] != stage:
                reached_by[after] = stage
                behind_us[stage] += work_us[after]
            edge += 1


def is_root(facts: Facts) -> Flags:
    """Say of each stage whether it waits for no other of its job."""
    waits_for_none: Flags = facts.first_input[1:] == facts.first_input[:-1]
    return waits_for_none


@kernel
def is_complete_before(facts: Facts, state: State, stage: int) -> bool:
    """Say whether all that a stage waits for is complete."""
    for edge in range(facts.first_input[stage], facts.first_input[stage + 1]):
        if state.stage[facts.predecessor[edge]]["status"] != COMPLETE:
            return False
    return True


@kernel
def last_before_us(facts: Facts, state: State, stage: int) -> int:
    """Return when the last of what a stage waits for was complete, or -1 if some of it is not."""
    last_us = 0
    for edge in range(facts.first_input[stage], facts.first_input[stage + 1]):
        before = state.stage[facts.predecessor[edge]]
        if before["status"] != COMPLETE:
            return -1
        last_us = max(last_us, before["done_us"])
    return int(last_us)


@kernel
def first_of_job(facts: Facts, stage: int) -> int:
    """Return the first stage of a stage's job."""
    job = facts.stage[stage]["job"]
    while stage > 0 and facts.stage[stage - 1]["job"] == job:
        stage -= 1
    return stage


@kernel
def mark_behind(facts: Facts, state: State, stage: int) -> int:
    """Mark whatever needs a stage's result, in `is_behind`; return the end of its job.

    Marks are those of this walk from the stage on, and old ones before it.
    """
    job, after = facts.stage[stage]["job"], stage + 1
    state.stage[stage]["is_behind"] = 1
    while after < len(facts.stage) and facts.stage[after]["job"] == job:
        row = state.stage[after]
        row["is_behind"] = 0
        for edge in range(facts.first_input[after], facts.first_input[after + 1]):
            before = facts.predecessor[edge]
            if before >= stage and state.stage[before]["is_behind"] == 1:
                row["is_behind"] = 1
        after += 1
    return after


@kernel
def note_sources(facts: Facts, state: State, stage: int) -> None:
    """List the distinct regions where the inputs of a stage that joins branches lie.

    What it waits for is complete: each lies where the unit is that has done it. A stage that waits
    for one other has its `input_region` alone, and no list.
    """
    first, last, count = facts.first_input[stage], facts.first_input[stage + 1], 0
    if last - first < 2:
        return
    for edge in range(first, last):
        region = facts.unit[state.stage[facts.predecessor[edge]]["unit"]]["region"]
        slot = first
        while slot < first + count and state.source[slot]["region"] != region:
            slot += 1
        if slot == first + count:
            state.source[slot]["region"], state.source[slot]["n_inputs"] = region, 0
            count += 1
        state.source[slot]["n_inputs"] += 1
    state.stage[stage]["n_sources"] = count
