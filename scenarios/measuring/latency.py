"""Latency: the one place that says what finished jobs waited for, along their critical paths.

At each instant between its arrival and its completion a job is in the state of one stage: the one
that its completion waits for. Walking back from the stage that was done last, through the
predecessor that delivered last, gives these stages, and the ledger of stage time their states.
The parts add up to the whole to the microsecond. docs/why/two-shares-of-latency.md says what counts
as coordination.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.agents.workload import Workload
from hanse.market.accounts.critical_path import (
    done_jobs,
    last_of_each,
    last_predecessor,
    on_path,
    spent_on_path,
)
from hanse.market.accounts.ledger import Ledger
from hanse.market.engine.stage_clock import time_by_group
from hanse.market.engine.states import (
    AWAITING_CLEARING,
    AWAITING_SETTLEMENT,
    AWAITING_VERIFICATION,
    BOUNCED,
    COMPLETE,
    DELIVERING,
    DISPATCHED,
    DONE,
    EXECUTING,
    EXPIRED,
    IN_FLIGHT,
    IN_SERVICE,
    LANDING,
    N_STATES,
    ON_AUTHORITY,
    ON_CONTEXT,
    ON_IDENTITY,
    ON_POLICY,
    ON_STATE,
    QUEUED,
    REDO,
    RETRYING,
    TOOL,
    TRANSFERRING,
    UNMATCHED,
)
from hanse.market.units import US_PER_S, Floats, Integers
from hanse.scenarios.measuring.word_columns import all_repeated, each_repeated

COMPONENTS: Final = (
    "payload",
    "communication",
    "serialization",
    "tool",
    "context",
    "retry",
    "permission",
    "deciding",
    "assurance",
    "capacity",
)
PAYLOAD, COMMUNICATION, SERIALIZATION, TOOLS, CONTEXT = range(5)
RETRY, PERMISSION, DECIDING, ASSURANCE, CAPACITY = range(5, 10)

COMPONENT_OF: Final = {
    EXECUTING: PAYLOAD,
    IN_FLIGHT: COMMUNICATION,
    DISPATCHED: COMMUNICATION,
    LANDING: COMMUNICATION,
    TRANSFERRING: COMMUNICATION,
    DELIVERING: COMMUNICATION,
    ON_STATE: SERIALIZATION,
    TOOL: TOOLS,
    ON_CONTEXT: CONTEXT,
    BOUNCED: RETRY,
    REDO: RETRY,
    RETRYING: RETRY,
    ON_IDENTITY: PERMISSION,
    ON_POLICY: PERMISSION,
    ON_AUTHORITY: PERMISSION,
    QUEUED: DECIDING,
    IN_SERVICE: DECIDING,
    AWAITING_CLEARING: DECIDING,
    AWAITING_SETTLEMENT: ASSURANCE,
    AWAITING_VERIFICATION: ASSURANCE,
    UNMATCHED: CAPACITY,
}
"""Which part of a job's latency each state of a stage belongs to."""

AFTERWARDS: Final = (DONE, EXPIRED)
"""States in which nobody waits for the stage."""

_COMPONENT: Final = np.array([COMPONENT_OF.get(state, -1) for state in range(N_STATES)])

COORDINATION: Final = (
    COMMUNICATION,
    SERIALIZATION,
    CONTEXT,
    RETRY,
    PERMISSION,
    DECIDING,
    ASSURANCE,
)
"""What is coordination under either reading; a tool's own work is under one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Where the time of each finished job went; only finished jobs have a latency.

    Attributes
    ----------
    job, family, n_stages : shape (n_done,), of the jobs that are done.
    total_us : shape (n_done,), from the arrival of a job to the completion of its last stage.
    part_us : shape (n_done, n_components); sums to `total_us`.
    overlap_us : shape (n_done,), where a stage was begun anew after its successors had begun: what
        stages on the path lived through at once, less what the job had passed for done before; 0
        for all other jobs. It is taken off retry.
    """

    job: Integers
    family: Integers
    n_stages: Integers
    total_us: Integers
    part_us: Integers
    overlap_us: Integers

    def coordination_share(self, *, with_tools: bool) -> float:
        """Return the coordination share of latency, all jobs together; NaN without any."""
        parts = (*COORDINATION, TOOLS) if with_tools else COORDINATION
        total_us = int(self.total_us.sum())
        return int(self.part_us[:, parts].sum()) / total_us if total_us else float("nan")

    def of_family(self, family: int) -> "Latency":
        """Return the same of the jobs of one family."""
        chosen = self.family == family
        return Latency(
            job=self.job[chosen],
            family=self.family[chosen],
            n_stages=self.n_stages[chosen],
            total_us=self.total_us[chosen],
            part_us=self.part_us[chosen],
            overlap_us=self.overlap_us[chosen],
        )

    def mean_s(self) -> Floats:
        """Return the mean of each component over the jobs, in seconds; shape (n_components,)."""
        mean: Floats = self.part_us.sum(axis=0) / max(1, len(self.job)) / US_PER_S
        return mean


def latency_measures(of: Latency) -> dict[tuple[str, str], float]:
    """Return what is told of a family, by name and unit; NaN where no job of it is done."""
    seconds = of.total_us / US_PER_S
    is_any = len(seconds) > 0
    return {
        ("latency_s", "s/job"): float(seconds.mean()) if is_any else float("nan"),
        ("latency_p95_s", "s/job"): float(np.quantile(seconds, 0.95)) if is_any else float("nan"),
        ("coordination_share", "share"): of.coordination_share(with_tools=False),
        ("coordination_share_with_tools", "share"): of.coordination_share(with_tools=True),
    }


def latency_table(
    of_families: Sequence[Latency], families: Sequence[str]
) -> dict[str, NDArray[np.generic]]:
    """Tabulate the mean of each component over the finished jobs of each family.

    A family of which no job is done has no rows.
    """
    shown = [k for k, of in enumerate(of_families) if len(of.job)]
    mean_s = np.array([of_families[k].mean_s() for k in shown]).reshape(-1, len(COMPONENTS))
    return {
        "family": each_repeated(tuple(families[k] for k in shown), len(COMPONENTS)),
        "component": all_repeated(COMPONENTS, len(shown)),
        "seconds": mean_s.ravel(),
        "share": (mean_s / mean_s.sum(axis=1, keepdims=True)).ravel(),
    }


def latency(ledger: Ledger, workload: Workload) -> Latency:
    """Decompose the latency of every job that is done."""
    fact = ledger.stage_fact
    edge_from, edge_to = workload.edge_from, workload.edge_to
    done_us = ledger.stage["done_us"].astype(np.int64)
    job = fact["job"].astype(np.int64)
    is_done = done_jobs(job, ledger.stage["status"] == COMPLETE)
    before = last_predecessor(done_us, edge_from, edge_to)
    last = last_of_each(job, done_us)[is_done]
    path = np.flatnonzero(on_path(before, last))
    begins_us = np.where(before[path] >= 0, done_us[before[path]], fact["job_arrival_us"][path])
    spent_us = _components(ledger, path)
    overlap_us = spent_us.sum(axis=1) - (done_us[path] - begins_us)
    spent_us[:, RETRY] -= overlap_us
    row = np.cumsum(is_done)[job[path]] - 1
    return Latency(
        job=np.flatnonzero(is_done),
        family=fact["family"][last].astype(np.int64),
        n_stages=np.bincount(job, minlength=len(is_done))[is_done],
        total_us=done_us[last] - fact["job_arrival_us"][last],
        part_us=time_by_group(row, spent_us, len(last)),
        overlap_us=time_by_group(row, overlap_us[:, None], len(last))[:, 0],
    )


def _components(ledger: Ledger, path: Integers) -> Integers:
    """Sort the time of stages into components; what led to no result that counts is retry."""
    return spent_on_path(
        ledger.time_us,
        ledger.record,
        np.asarray(ledger.stage["record"], np.int64),
        path=path,
        component=_COMPONENT,
        kept=(PAYLOAD, CONTEXT, RETRY),
    )
