"""Unfinished work: the one place that reads off a ledger what is left to do, and what gets done."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.market.accounts.ledger import Ledger
from hanse.market.engine.columns import Rows
from hanse.market.engine.states import LAPSED, OPEN, RIGHT
from hanse.market.units import US_PER_S, Flags, Floats, Integers

_NEVER: Final = np.int64(1) << 62
N_INSTANTS: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkPath:
    """Unfinished work over time, per unit of the fleet.

    Attributes
    ----------
    instant_s : shape (n_instants,), evenly from 0 to the horizon.
    unfinished_s : shape (n_instants,), accelerator-seconds of jobs that have arrived and are not
        given up, less what has been executed of them; what was executed in vain is still to do.
    payload_share : shape (n_instants - 1,), executed between two instants, over units x time, of
        results that are right or may still be so.
    """

    instant_s: Floats
    unfinished_s: Floats
    payload_share: Floats

    def growth_share(self, from_s: float) -> float:
        """Return the slope of unfinished work from an instant on, in units' worth of work.

        0.1 means that a tenth more units would be needed to keep up.
        """
        late = self.instant_s >= from_s
        return float(np.polyfit(self.instant_s[late], self.unfinished_s[late], 1)[0])

    def mean_payload_share(self, from_s: float) -> float:
        """Return the payload rate from an instant on, over the fleet."""
        return float(self.payload_share[self.instant_s[1:] > from_s].mean())


def work_path(ledger: Ledger, *, n_instants: int = N_INSTANTS) -> WorkPath:
    """Read the path of unfinished work, and of what is done, off a closed run."""
    fact, stage = ledger.stage_fact, ledger.stage
    work_us, arrival_us = (fact[k].astype(np.int64) for k in ("work_us", "job_arrival_us"))
    instant_us = np.linspace(0, ledger.horizon_us, n_instants).astype(np.int64)
    given_up_us = _given_up_us(ledger)
    lost = given_up_us < _NEVER
    kept = np.flatnonzero(~lost & (stage["record"] >= 0))
    record = ledger.record[stage["record"][kept]]
    rate = work_us[kept] / np.maximum(record["execution_us"], 1)
    due_us = _by_then(arrival_us, work_us, instant_us)
    due_us -= _by_then(given_up_us[lost], work_us[lost], instant_us)
    worked_us = _executed(record, rate, instant_us)
    n_units = len(ledger.unit)
    is_sound = _is_sound(record["outcome"], record["is_wrong"])
    payload_us = _executed(record[is_sound], rate[is_sound], instant_us)
    return WorkPath(
        instant_s=instant_us / US_PER_S,
        unfinished_s=(due_us - worked_us) / US_PER_S / n_units,
        payload_share=np.diff(payload_us) / np.diff(instant_us) / n_units,
    )


def _is_sound(outcome: Integers, is_wrong: Integers) -> Flags:
    """Say of each execution whether its result is right, or is under way and will be."""
    sound: Flags = (outcome == RIGHT) | ((outcome == OPEN) & (is_wrong == 0))
    return sound


def _given_up_us(ledger: Ledger) -> Integers:
    """Return of each stage when its job was given up; far away if it was not."""
    job, stage = ledger.stage_fact["job"], ledger.stage
    given_up_us = np.full(int(job.max(initial=-1)) + 1, _NEVER)
    lapsed = stage["status"] == LAPSED
    np.minimum.at(given_up_us, job[lapsed], stage["done_us"][lapsed])
    return np.asarray(given_up_us[job], np.int64)


def _executed(record: Rows, rate: Floats, instant_us: Integers) -> Floats:
    """Add up the work that is done by each instant; each execution goes on evenly."""
    end_us = record["end_us"].astype(np.int64)
    begun_us = end_us - record["execution_us"]
    return _elapsed(begun_us, rate, instant_us) - _elapsed(end_us, rate, instant_us)


def _elapsed(since_us: Integers, rate: Floats, instant_us: Integers) -> Floats:
    """Add up the time, each at its rate, that has passed by each instant since each of the others.

    Counted from the middle of the run, so that no digits are lost.
    """
    middle_us = int(instant_us[-1]) // 2
    elapsed: Floats = _by_then(since_us, rate, instant_us) * (instant_us - middle_us)
    return elapsed - _by_then(since_us, rate * (since_us - middle_us), instant_us)


def _by_then(at_us: Integers, amount: Integers | Floats, instant_us: Integers) -> Floats:
    """Add up the amounts of all that has happened by each instant."""
    order = np.argsort(at_us, kind="stable")
    total = np.concatenate([[0.0], np.cumsum(amount[order], dtype=float)])
    by_then: Floats = total[np.searchsorted(at_us[order], instant_us, side="right")]
    return by_then
