"""Columns of the workload: buyers, their jobs, the graph of stages of each, and their luck."""

from dataclasses import dataclass, field

import numpy as np

from hanse.market.units import Flags, Floats, Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Jobs sorted by arrival, stages sorted by (job, ordinal).

    A job is a graph of stages. One that no edge leads to is ready when the job arrives; any other
    when all it waits for is delivered and released, and its tool has answered.

    Attributes
    ----------
    family : names of the workload families; `job_family` indexes them.
    buyer_region : shape (n_buyers,).
    buyer_partner : owner with whom a buyer's jobs rank as its own, or -1; of no length where none.
    job_arrival_us, job_deadline_us : instants; a result after the deadline is worth nothing.
    job_first_party : owner whose own job this is, or -1.
    job_data_class : `hanse.market.jurisdictions.UNRESTRICTED` or `RESIDENT`; where
        law asks for headquarters, those of barred buyers plus 2.
    job_value_usd : worth of a right result on arrival; it falls by `job_delay_usd_per_s`.
    edge_from, edge_to : shape (n_edges,), stages: the second waits for the first. An edge joins
        stages of one job, the first of lower index; they are sorted by (edge_to, edge_from), and
        each stands once.
    stage_ordinal : index of a stage within its job.
    stage_class : accelerator class that the stage asks for.
    stage_region : the one region that the stage is bound to, or -1; the law binds it as well.
    stage_work_us : accelerator time of the payload.
    stage_input_bytes : what must move if the stage runs elsewhere than its inputs lie; of several
        stages that it waits for, each hands on an equal part.
    stage_context_tokens : context to rebuild if the stage runs elsewhere than the first of those
        that it waits for, or later than the cache keeps it.
    stage_tool_us : wait between delivery of the last result that a stage waits for and readiness;
        of no effect where it waits for none.
    stage_holds : whether the accelerator is held during the preliminary operations.
    stage_verifier : index of the verifier who would audit this stage.
    stage_is_sampled : whether its receipts are really signed and checked.
    stage_is_real : whether a small program is really executed and verified in its place.
    stage_chargeback : coins in [0, 1), a payment whose coin lies below the share of its rail is
        taken back by its payer; of no length where none is.
    attempt_temptation, attempt_audit : shape (n_attempts, n_stages), uniform coins in [0, 1).
    attempt_commit, attempt_service : shape (n_attempts, n_stages), unit-mean factors >= 0.
    attempt_way : the same for the ways of messages, or shape (0, 0) where none jitters.

    A stage that is begun anew more often than there are attempts keeps the luck of the last.

    Raises
    ------
    ValueError
        If an edge is none of those.
    """

    family: tuple[str, ...]
    buyer_region: Integers
    job_family: Integers
    job_arrival_us: Integers
    job_deadline_us: Integers
    job_origin: Integers
    job_buyer: Integers
    job_first_party: Integers
    job_data_class: Integers
    job_value_usd: Floats
    job_delay_usd_per_s: Floats
    stage_job: Integers
    stage_ordinal: Integers
    edge_from: Integers
    edge_to: Integers
    stage_class: Integers
    stage_region: Integers
    stage_work_us: Integers
    stage_input_bytes: Integers
    stage_context_tokens: Integers
    stage_tool_us: Integers
    stage_holds: Flags
    stage_verifier: Integers
    stage_is_sampled: Flags
    stage_is_real: Flags
    attempt_temptation: Floats
    attempt_audit: Floats
    attempt_commit: Floats
    attempt_service: Floats
    attempt_way: Floats
    stage_chargeback: Floats = field(default_factory=lambda: np.zeros(0))
    buyer_partner: Integers = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        _check_edges(self.edge_from, self.edge_to, self.stage_job)

    @property
    def n_jobs(self) -> int:
        return len(self.job_arrival_us)

    @property
    def n_stages(self) -> int:
        return len(self.stage_job)


def chain_edges(stage_ordinal: Integers) -> tuple[Integers, Integers]:
    """Return the edges of jobs whose stages run one after another.

    Examples
    --------
    >>> [edges.tolist() for edges in chain_edges(np.array([0, 1, 2, 0, 0, 1]))]
    [[0, 1, 4], [1, 2, 5]]
    """
    edge_to = np.flatnonzero(stage_ordinal > 0)
    return edge_to - 1, edge_to


def _check_edges(edge_from: Integers, edge_to: Integers, stage_job: Integers) -> None:
    """Refuse edges that lead out of their job, back, or do not stand in order."""
    n_stages = len(stage_job)
    for name, column in (("edge_from", edge_from), ("edge_to", edge_to)):
        if column.shape != (len(edge_from),) or column.dtype.kind not in "iu":
            raise ValueError(
                f"{name} must be whole numbers, shape ({len(edge_from)},), "
                f"got {column.dtype}, shape {column.shape}"
            )
        for edge in np.flatnonzero((column < 0) | (column >= n_stages))[:1]:
            raise ValueError(f"{name} must be a stage below {n_stages}, got {column[edge]}")
    for edge in np.flatnonzero(edge_from >= edge_to)[:1]:
        raise ValueError(
            f"an edge must lead to a stage of higher index, "
            f"got {edge_from[edge]} to {edge_to[edge]}"
        )
    for edge in np.flatnonzero(stage_job[edge_from] != stage_job[edge_to])[:1]:
        raise ValueError(
            f"an edge must stay within a job, got stage {edge_from[edge]} of job "
            f"{stage_job[edge_from[edge]]} to stage {edge_to[edge]} of job "
            f"{stage_job[edge_to[edge]]}"
        )
    is_later = (edge_to[1:] > edge_to[:-1]) | (
        (edge_to[1:] == edge_to[:-1]) & (edge_from[1:] > edge_from[:-1])
    )
    for edge in np.flatnonzero(~is_later)[:1]:
        raise ValueError(
            f"edges must be sorted by (edge_to, edge_from) and stand once, got "
            f"{edge_from[edge + 1]} to {edge_to[edge + 1]} behind {edge_from[edge]} to "
            f"{edge_to[edge]}"
        )
