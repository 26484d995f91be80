"""The one place for who holds what in a run: capacity, delivered worth, checks and routing.

Each subsystem is a column of holdings, one entry per holder, which `concentration` turns into
indices. Everything is read from the ledger; none of it knows who routed, or by which rule.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.market.accounts.concentration import (
    effective_number,
    herfindahl,
    nakamoto,
    residual_supply_index,
    shares,
    weakest_nakamoto,
)
from hanse.market.accounts.ledger import Ledger
from hanse.market.engine.states import AUDIT, RESIDUAL, RIGHT
from hanse.market.units import US_PER_S, Flags, Floats, Integers

THIRD: Final = 1.0 / 3.0
WEAKEST: Final = "(weakest)"

MEASURES: Final[Mapping[str, str]] = {
    "hhi": "index",
    "effective_number": "holders",
    "largest_share": "share",
    "nakamoto_half": "holders",
    "nakamoto_third": "holders",
}
"""What is said of each subsystem, with units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """Holdings by subsystem, and how far demand could do without each owner.

    Attributes
    ----------
    holdings : of "capacity" (GPU-s, by owner), "routed value" (USD of worth delivered, by the owner
        who did the work), "verification" (GPU-s of audits, by verifier, then by region of origin
        where no verifier may look), and "routing" (decided stages, by site of the plane).
    residual_supply : by owner: unit time of the others, less residual work, over all work that was
        asked for; NaN where there was none.
    """

    holdings: Mapping[str, Floats]
    residual_supply: Floats

    def rows(self) -> list[tuple[str, str, str, float]]:
        """List (subsystem, measure, unit, value), the weakest subsystem last."""
        rows = [
            (name, measure, MEASURES[measure], value)
            for name, holding in self.holdings.items()
            for measure, value in _said_of(holding).items()
        ]
        for measure, line in (("nakamoto_half", 0.5), ("nakamoto_third", THIRD)):
            _, number = weakest_nakamoto(self.holdings, line=line)
            rows.append((WEAKEST, measure, MEASURES[measure], float(number)))
        least = float(self.residual_supply.min(initial=np.inf))
        n_pivotal = float((self.residual_supply < 1.0).sum())
        rows.append(("capacity", "residual_supply_index_min", "ratio", least))
        rows.append(("capacity", "pivotal_owners", "owners", n_pivotal))
        return rows


def read_structure(
    ledger: Ledger, *, n_owners: int, n_verifiers: int, verifier: Integers
) -> Structure:
    """Read from a run who held what.

    Parameters
    ----------
    verifier : shape (n_stages,), who audits each stage; -1 where the region of origin does.
    """
    owner = ledger.offer["owner"][ledger.unit["offer"]]
    units = np.bincount(owner, minlength=n_owners)
    capacity: Floats = units * np.float64(ledger.horizon_us / US_PER_S)
    return Structure(
        holdings={
            "capacity": capacity,
            "routed value": routed_value_usd(ledger, n_owners),
            "verification": _audited_s(ledger, verifier, n_verifiers),
            "routing": _decided(ledger),
        },
        residual_supply=_residual_supply(ledger, capacity),
    )


def job_worth_usd(ledger: Ledger) -> Floats:
    """Return what each job's results were worth on arrival, if all were right; shape (n_jobs,).

    It is what `welfare` adds up by family.
    """
    fact, done_us = ledger.stage_fact, ledger.job_done_us
    first = np.flatnonzero(np.diff(fact["job"], prepend=-1))
    if len(first) == 0:
        return np.zeros(0)
    is_right = np.logical_and.reduceat(_is_right(ledger), first)
    counts = is_right & (done_us >= 0) & (done_us <= fact["deadline_us"][first])
    fall = fact["delay_usd_per_us"][first] * (done_us - fact["job_arrival_us"][first])
    return np.where(counts, np.maximum(0.0, fact["value_usd"][first] - fall), 0.0)


def routed_value_usd(ledger: Ledger, n_owners: int) -> Floats:
    """Share the worth of each job out over the owners of the units its stages ran on.

    Stages weigh by their work, or alike in a job without any.
    """
    worth = job_worth_usd(ledger)
    job = ledger.stage_fact["job"].astype(np.int64)
    work = ledger.stage_fact["work_us"].astype(float)
    whole = np.bincount(job, work, len(worth))
    count = np.bincount(job, minlength=len(worth))
    weight = np.where(whole[job] > 0, work, 1.0) / np.where(whole > 0, whole, count)[job]
    row = ledger.stage["record"]
    ran = np.flatnonzero((row >= 0) & (worth[job] > 0))
    owner = ledger.offer["owner"][ledger.unit["offer"][ledger.record["unit"][row[ran]]]]
    return np.bincount(owner, worth[job[ran]] * weight[ran], n_owners).astype(float)


def _said_of(holding: Floats) -> Mapping[str, float]:
    return {
        "hhi": herfindahl(holding),
        "effective_number": effective_number(holding),
        "largest_share": float(shares(holding).max(initial=0.0)),
        "nakamoto_half": float(nakamoto(holding)),
        "nakamoto_third": float(nakamoto(holding, line=THIRD)),
    }


def _is_right(ledger: Ledger) -> Flags:
    row = ledger.stage["record"]
    outcome = ledger.record["outcome"][np.maximum(row, 0)] if len(ledger.record) else row
    return np.asarray((row >= 0) & (outcome == RIGHT))


def _audited_s(ledger: Ledger, verifier: Integers, n_verifiers: int) -> Floats:
    audit = ledger.record[ledger.record["outcome"] == AUDIT]
    stage = audit["stage"]
    holder = np.where(
        verifier[stage] >= 0, verifier[stage], n_verifiers + ledger.stage_fact["origin"][stage]
    )
    return np.bincount(holder, audit["execution_us"] / US_PER_S, n_verifiers).astype(float)


def _decided(ledger: Ledger) -> Floats:
    """Count the stages that found a unit, by the region where their plane sits."""
    found = ledger.stage["record"] >= 0
    return np.bincount(ledger.plane_region[ledger.stage["plane"][found]]).astype(float)


def _residual_supply(ledger: Ledger, capacity_s: Floats) -> Floats:
    """Set what others have free against all work that was asked for within the horizon."""
    fact, residual = ledger.stage_fact, ledger.record[ledger.record["outcome"] == RESIDUAL]
    owner = ledger.offer["owner"][ledger.unit["offer"][residual["unit"]]]
    taken_us = np.minimum(residual["end_us"], ledger.horizon_us) - residual["accepted_us"]
    free_s = capacity_s - np.bincount(owner, taken_us / US_PER_S, len(capacity_s))
    asked = fact["job_arrival_us"] < ledger.horizon_us
    demand_s = float(fact["work_us"][asked].sum()) / US_PER_S
    if demand_s == 0:
        return np.full(len(capacity_s), np.nan)
    return residual_supply_index(np.maximum(0.0, free_s), demand_s)
