"""From the edges of a workload to the columns by which the engine walks the graphs of its jobs."""

from dataclasses import dataclass

import numpy as np

from hanse.agents.workload import Workload
from hanse.market.engine.stage_graph import (
    earliest_start_us,
    longest_of_job_us,
    longest_rest_us,
    work_behind_us,
)
from hanse.market.units import Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class LoweredEdges:
    """What each stage waits for, and what waits for it; the columns of `Facts`.

    Attributes
    ----------
    predecessor, successor : shape (n_edges,), stages.
    first_input, first_output : shape (n_stages + 1,), where those of each stage start.
    """

    predecessor: Integers
    first_input: Integers
    successor: Integers
    first_output: Integers


def lower_edges(workload: Workload) -> LoweredEdges:
    """Sort the edges by where they end and by where they start."""
    edge_from, edge_to = workload.edge_from.astype(np.int64), workload.edge_to.astype(np.int64)
    return LoweredEdges(
        predecessor=edge_from,
        first_input=_starts(edge_to, workload.n_stages),
        successor=edge_to[np.argsort(edge_from, kind="stable")],
        first_output=_starts(edge_from, workload.n_stages),
    )


def _starts(edge: Integers, n_stages: int) -> Integers:
    """Return where the edges of each stage start, and where the last end, if sorted by stage."""
    start = np.zeros(n_stages + 1, np.int64)
    np.cumsum(np.bincount(edge, minlength=n_stages), out=start[1:])
    return start


def lower_paths(workload: Workload) -> dict[str, Integers]:
    """Say of each stage what lies behind it, and when its job can be done at the soonest."""
    job, edges = workload.stage_job, (workload.edge_from, workload.edge_to)
    work_us, tool_us = workload.stage_work_us, workload.stage_tool_us
    end_us = earliest_start_us(work_us, tool_us, *edges) + work_us
    return {
        "rest_us": longest_rest_us(work_us, tool_us, *edges),
        "rest_work_us": work_behind_us(job, work_us, *edges),
        "soonest_us": workload.job_arrival_us[job] + longest_of_job_us(job, end_us),
    }
