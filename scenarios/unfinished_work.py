"""Unfinished work: the one place that reads off a ledger what is left to do, and what gets done."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.market.ledger import Ledger
from hanse.market.states import COMPLETE, LAPSED, RIGHT
from hanse.market.units import US_PER_S, Floats, Integers

_NEVER: Final = np.int64(1) << 62
N_INSTANTS: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkPath:
    """Unfinished work over time, per unit of the fleet.

    Attributes
    ----------
    instant_s : shape (n_instants,), evenly from 0 to the horizon.
    unfinished_s : shape (n_instants,), accelerator-seconds of jobs that have arrived and are
        neither done nor given up, over the units of the fleet.
    payload_share : shape (n_instants - 1,), of right results, done between two instants: their work
        over units x time. Above 1 where a lot of work ends at once.
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
    fact = ledger.stage_fact
    work_us = fact["work_us"].astype(np.int64)
    instant_us = np.linspace(0, ledger.horizon_us, n_instants).astype(np.int64)
    arrived_us = _by_then(fact["job_arrival_us"], work_us, instant_us)
    ended_us = _by_then(_ends_us(ledger), work_us, instant_us)
    right = ledger.stage["status"] == COMPLETE
    right[right] &= ledger.record["outcome"][ledger.stage["record"][right]] == RIGHT
    done_us = _by_then(ledger.stage["done_us"][right], work_us[right], instant_us)
    n_units = len(ledger.unit)
    return WorkPath(
        instant_s=instant_us / US_PER_S,
        unfinished_s=(arrived_us - ended_us) / US_PER_S / n_units,
        payload_share=np.diff(done_us) / np.diff(instant_us) / n_units,
    )


def _ends_us(ledger: Ledger) -> Integers:
    """Return when each stage is done, or when its job is given up; far away if neither is."""
    job, stage = ledger.stage_fact["job"], ledger.stage
    given_up_us = np.full(int(job.max(initial=-1)) + 1, _NEVER)
    lapsed = stage["status"] == LAPSED
    np.minimum.at(given_up_us, job[lapsed], stage["done_us"][lapsed])
    done_us = np.where(stage["status"] == COMPLETE, stage["done_us"], _NEVER)
    return np.asarray(np.minimum(done_us, given_up_us[job]), np.int64)


def _by_then(at_us: Integers, work_us: Integers, instant_us: Integers) -> Integers:
    """Add up the work of all that has happened by each instant."""
    order = np.argsort(at_us, kind="stable")
    total = np.concatenate([[0], np.cumsum(work_us[order])])
    return np.asarray(total[np.searchsorted(at_us[order], instant_us, side="right")], np.int64)
