"""The critical path of a job: the stages that its completion waits for, one after another.

Walking back from the stage that was done last, through the predecessor that was done last, gives
them; at each instant between arrival and completion the job is in the state of one of them.
"""

import numpy as np

from hanse.market.engine.columns import Rows
from hanse.market.kernels import kernel
from hanse.market.units import Flags, Integers


def done_jobs(job: Integers, is_complete: Flags) -> Flags:
    """Say of each job whether all of its stages are complete."""
    n_jobs = int(job.max(initial=-1)) + 1
    done = np.ones(n_jobs, bool)
    done[job[~is_complete]] = False
    return done


def last_predecessor(done_us: Integers, edge_from: Integers, edge_to: Integers) -> Integers:
    """Return of each stage the predecessor that was done last, -1 of those without any.

    Parameters
    ----------
    done_us : shape (n_stages,).
    edge_from, edge_to : shape (n_edges,); `edge_to` waits for `edge_from`. Of predecessors done at
        one instant the one of the highest index counts.
    """
    before = np.full(len(done_us), -1)
    _keep_latest(done_us, edge_from, edge_to, before)
    return before


def last_of_each(job: Integers, done_us: Integers) -> Integers:
    """Return the stage of each job that was done last, of equals the last; shape (n_jobs,)."""
    last = np.zeros(int(job.max(initial=-1)) + 1, np.int64)
    _keep_last(job, done_us, last)
    return last


def on_path(before: Integers, last: Integers) -> Flags:
    """Say of each stage whether it lies on the way back from the last stage of its job."""
    chosen = np.zeros(len(before), bool)
    _walk_back(before, last, chosen)
    return chosen


def spent_on_path(
    time_us: Integers,
    record: Rows,
    record_of: Integers,
    *,
    path: Integers,
    component: Integers,
    kept: tuple[int, int, int],
) -> Integers:
    """Sort the time of the stages of a path into components; shape (n_path, n_components).

    Parameters
    ----------
    time_us : stage time, shape (n_stages, n_states).
    record_of : the occupation that each stage ended with, shape (n_stages,).
    component : of each state, -1 where nobody waits any more.
    kept : the components of execution and of context, of which what the last occupation did not
        take led to nothing that counts; and the component that this goes to.
    """
    spent_us = np.zeros((len(path), int(component.max()) + 1), np.int64)
    _spend(time_us, record, record_of, path, component, kept, spent_us)
    return spent_us


@kernel
def _keep_latest(
    done_us: Integers, edge_from: Integers, edge_to: Integers, before: Integers
) -> None:
    for edge in range(len(edge_to)):
        new, after = edge_from[edge], edge_to[edge]
        old = before[after]
        is_later = old < 0 or done_us[new] > done_us[old]
        if is_later or (done_us[new] == done_us[old] and new > old):
            before[after] = new


@kernel
def _keep_last(job: Integers, done_us: Integers, last: Integers) -> None:
    for stage in range(len(job)):
        found = last[job[stage]]
        if job[found] != job[stage] or done_us[stage] >= done_us[found]:
            last[job[stage]] = stage


@kernel
def _walk_back(before: Integers, last: Integers, chosen: Flags) -> None:
    for job in range(len(last)):
        stage = last[job]
        while stage >= 0:
            chosen[stage] = True
            stage = before[stage]


@kernel
def _spend(
    time_us: Integers,
    record: Rows,
    record_of: Integers,
    path: Integers,
    component: Integers,
    kept: tuple[int, int, int],
    spent_us: Integers,
) -> None:
    execution, context, lost = kept
    for k in range(len(path)):
        for state in range(len(component)):
            if component[state] >= 0:
                spent_us[k, component[state]] += time_us[path[k], state]
        last = record[record_of[path[k]]]
        in_vain_us = spent_us[k, execution] - last["execution_us"]
        in_vain_us += spent_us[k, context] - last["context_us"]
        spent_us[k, execution] = last["execution_us"]
        spent_us[k, context] = last["context_us"]
        spent_us[k, lost] += in_vain_us
