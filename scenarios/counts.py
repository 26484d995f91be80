"""What happened to the jobs of each family, counted from a closed ledger in one pass."""

from dataclasses import dataclass

import numpy as np

from hanse.market.ledger import Ledger
from hanse.market.stage_clock import time_by_family
from hanse.market.states import LAPSED, OPEN, WRONG
from hanse.market.units import Floats, Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyCounts:
    """Counts and sums by family, shape (n_families,) but for the first.

    Attributes
    ----------
    state_us : stage time by state, shape (n_families, N_STATES).
    jobs, done, lapsed : jobs in all, with all their results, and abandoned.
    executions_ended, wrong : executions that ended by the horizon; accepted and wrong.
    occupied_us, paid_micro_usd : planned occupation of all executions, and what it was to cost.
    open_value_usd : what still runs at the horizon, at its worth when done, to the share worked
        off. Welfare counts the resources of that, and none of its value.
    """

    state_us: Integers
    jobs: Integers
    done: Integers
    lapsed: Integers
    executions_ended: Integers
    wrong: Integers
    occupied_us: Integers
    paid_micro_usd: Integers
    bounces: Integers
    redos: Integers
    open_value_usd: Floats


def count_by_family(ledger: Ledger, n_families: int) -> FamilyCounts:
    """Count what happened to the jobs of each family."""
    family = ledger.stage_fact["family"].astype(np.int64)
    record = ledger.record
    work = np.flatnonzero(ledger.is_work)
    of_work = family[record["stage"][work]]
    end_us = record["end_us"][work]
    ended = end_us <= ledger.horizon_us
    wrong = record["outcome"][work] == WRONG
    family_of_job, lapsed = _jobs(ledger, family)

    def total(groups: Integers, weight: Integers | None = None) -> Integers:
        return np.bincount(groups, weight, n_families).astype(np.int64)

    return FamilyCounts(
        state_us=time_by_family(family, ledger.time_us, n_families),
        jobs=total(family_of_job),
        done=total(family_of_job[ledger.job_done_us >= 0]),
        lapsed=total(family_of_job[lapsed]),
        executions_ended=total(of_work[ended]),
        wrong=total(of_work[wrong]),
        occupied_us=total(of_work, end_us - record["accepted_us"][work]),
        paid_micro_usd=total(of_work, record["payment_micro_usd"][work]),
        bounces=total(family, ledger.stage["bounces"]),
        redos=total(family, ledger.stage["redos"]),
        open_value_usd=_open_value_usd(ledger, family, n_families),
    )


def _jobs(
    ledger: Ledger, family: Integers
) -> tuple[Integers, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]:
    """Return the family of each job, and whether it was abandoned."""
    job = ledger.stage_fact["job"]
    n_jobs = int(job.max(initial=-1)) + 1
    family_of_job, lapsed = np.zeros(n_jobs, np.int64), np.zeros(n_jobs, bool)
    family_of_job[job] = family
    lapsed[job[ledger.stage["status"] == LAPSED]] = True
    return family_of_job, lapsed


def _open_value_usd(ledger: Ledger, family: Integers, n_families: int) -> Floats:
    """Value what still runs at the horizon: worth at its planned end, to the share worked off."""
    record = ledger.record
    rows = record[(record["outcome"] == OPEN) & (record["is_wrong"] == 0)]
    fact = ledger.stage_fact[rows["stage"]]
    end_us = rows["end_us"] + fact["rest_us"]
    worth = fact["value_usd"] - fact["delay_usd_per_us"] * (end_us - fact["job_arrival_us"])
    worth = np.where(end_us <= fact["deadline_us"], np.maximum(0.0, worth), 0.0)
    worked = (ledger.horizon_us - rows["accepted_us"]) / (end_us - rows["accepted_us"])
    return np.bincount(family[rows["stage"]], worth * worked, n_families).astype(float)
