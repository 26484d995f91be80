"""What happened to the jobs of each family, counted from a closed ledger in one pass."""

from dataclasses import dataclass

import numpy as np

from hanse.market.columns import Rows
from hanse.market.kernels import kernel
from hanse.market.ledger import Ledger
from hanse.market.stage_clock import time_by_family
from hanse.market.states import COMPLETE, LAPSED, OPEN, WRONG
from hanse.market.units import Flags, Floats, Integers


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


# What is counted of stages, and of the records that execute them.
_JOBS, _DONE, _LAPSED, _BOUNCES, _REDOS = range(5)
_ENDED, _WRONG, _OCCUPIED, _PAID = range(4)


def count_by_family(ledger: Ledger, n_families: int) -> FamilyCounts:
    """Count what happened to the jobs of each family."""
    fact, stage = ledger.stage_fact, ledger.stage
    of_stage = np.zeros((5, n_families), np.int64)
    is_lapsed = np.zeros(int(fact["job"].max(initial=-1)) + 1, bool)
    _count_stages(fact, stage, is_lapsed, of_stage)
    of_work = np.zeros((4, n_families), np.int64)
    _count_work(fact, ledger.record, ledger.work, ledger.horizon_us, of_work)
    family = fact["family"].astype(np.int64)
    return FamilyCounts(
        state_us=time_by_family(family, ledger.time_us, n_families),
        jobs=of_stage[_JOBS],
        done=of_stage[_DONE],
        lapsed=of_stage[_LAPSED],
        executions_ended=of_work[_ENDED],
        wrong=of_work[_WRONG],
        occupied_us=of_work[_OCCUPIED],
        paid_micro_usd=of_work[_PAID],
        bounces=of_stage[_BOUNCES],
        redos=of_stage[_REDOS],
        open_value_usd=_open_value_usd(ledger, family, n_families),
    )


@kernel
def _count_stages(fact: Rows, stage: Rows, is_lapsed: Flags, total: Integers) -> None:
    """Count jobs at their last stages, once it is known which of them were abandoned."""
    for k in range(len(stage)):
        if stage[k]["status"] == LAPSED:
            is_lapsed[fact[k]["job"]] = True
    for k in range(len(stage)):
        family = fact[k]["family"]
        total[_BOUNCES, family] += stage[k]["bounces"]
        total[_REDOS, family] += stage[k]["redos"]
        if fact[k]["next"] < 0:
            total[_JOBS, family] += 1
            total[_DONE, family] += stage[k]["status"] == COMPLETE
            total[_LAPSED, family] += is_lapsed[fact[k]["job"]]


@kernel
def _count_work(fact: Rows, record: Rows, work: Integers, horizon_us: int, total: Integers) -> None:
    for k in work:
        row = record[k]
        family = fact[row["stage"]]["family"]
        total[_ENDED, family] += row["end_us"] <= horizon_us
        total[_WRONG, family] += row["outcome"] == WRONG
        total[_OCCUPIED, family] += row["end_us"] - row["accepted_us"]
        total[_PAID, family] += row["payment_micro_usd"]


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
