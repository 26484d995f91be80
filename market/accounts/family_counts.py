"""What happened to the jobs of each family, counted from a closed ledger in one pass."""

from dataclasses import dataclass

import numpy as np

from hanse.market.accounts.ledger import Ledger
from hanse.market.engine.columns import Rows
from hanse.market.engine.stage_clock import time_by_group
from hanse.market.engine.states import COMPLETE, LAPSED, OPEN, WRONG
from hanse.market.kernels import kernel
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
    capability_uses, invalid_uses : crossings by a capability; of them those after it was revoked.
    open_value_usd : jobs that still run at the horizon, at their worth when done, to the share
        worked off: the mean over what of a job runs. Welfare counts the resources of that, and none
        of its value.
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
    capability_uses: Integers
    invalid_uses: Integers
    open_value_usd: Floats


# What is counted of stages, and of the records that execute them.
_JOBS, _DONE, _LAPSED, _BOUNCES, _REDOS = range(5)
_ENDED, _WRONG, _OCCUPIED, _PAID = range(4)


def count_by_family(ledger: Ledger, n_families: int) -> FamilyCounts:
    """Count what happened to the jobs of each family."""
    fact, stage = ledger.stage_fact, ledger.stage
    of_stage = np.zeros((5, n_families), np.int64)
    _count_stages(fact, stage, of_stage)
    of_work = np.zeros((4, n_families), np.int64)
    _count_work(fact, ledger.record, ledger.work, ledger.horizon_us, of_work)
    family = fact["family"].astype(np.int64)
    return FamilyCounts(
        state_us=time_by_group(family, ledger.time_us, n_families),
        jobs=of_stage[_JOBS],
        done=of_stage[_DONE],
        lapsed=of_stage[_LAPSED],
        executions_ended=of_work[_ENDED],
        wrong=of_work[_WRONG],
        occupied_us=of_work[_OCCUPIED],
        paid_micro_usd=of_work[_PAID],
        bounces=of_stage[_BOUNCES],
        redos=of_stage[_REDOS],
        capability_uses=_by_family(family, ledger.tally["capability_uses"], n_families),
        invalid_uses=_by_family(family, ledger.tally["invalid_uses"], n_families),
        open_value_usd=_open_value_usd(ledger, family, n_families),
    )


def _by_family(family: Integers, count: Integers, n_families: int) -> Integers:
    return np.bincount(family, count, n_families).astype(np.int64)


@kernel
def _count_stages(fact: Rows, stage: Rows, total: Integers) -> None:
    """Count jobs at their last stages: done if all of it is, abandoned if any of it was."""
    is_done, is_lapsed = True, False
    for k in range(len(stage)):
        family = fact[k]["family"]
        total[_BOUNCES, family] += stage[k]["bounces"]
        total[_REDOS, family] += stage[k]["redos"]
        is_done &= stage[k]["status"] == COMPLETE
        is_lapsed |= stage[k]["status"] == LAPSED
        if k + 1 == len(stage) or fact[k + 1]["job"] != fact[k]["job"]:
            total[_JOBS, family] += 1
            total[_DONE, family] += is_done
            total[_LAPSED, family] += is_lapsed
            is_done, is_lapsed = True, False


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
    """Value what still runs at the horizon: worth at its planned end, to the share worked off.

    What runs in vain has none, and branches of one job that run at once share its worth.
    """
    record = ledger.record
    rows = record[(record["outcome"] == OPEN) & (record["is_wrong"] == 0)]
    rows = rows[rows["epoch"] == ledger.stage["epoch"][rows["stage"]]]
    fact = ledger.stage_fact[rows["stage"]]
    n_running = np.bincount(fact["job"])
    end_us = rows["end_us"] + fact["rest_us"]
    done_us = np.maximum(end_us, fact["soonest_us"])
    worth = fact["value_usd"] - fact["delay_usd_per_us"] * (done_us - fact["job_arrival_us"])
    worth = np.where(done_us <= fact["deadline_us"], np.maximum(0.0, worth), 0.0)
    worked = (ledger.horizon_us - rows["accepted_us"]) / (end_us - rows["accepted_us"])
    share = worth * worked / n_running[fact["job"]]
    return np.bincount(family[rows["stage"]], share, n_families).astype(float)
