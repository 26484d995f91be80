"""Contagion: who cannot pay if the largest buyer, or the escrow, fails; from what a run has owed.

Debts and cash are read from a ledger at an instant, in every regime alike. Buyers owe what has been
delivered to them and not been settled; escrow owes what has been locked with it; owners owe outside
what their units have used. Debts are cleared by Eisenberg and Noe's rule. Nothing of it reaches
the run: it says who would be next. See docs/why/shocks-strike-the-world.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
import pandas as pd

from hanse.market.accounts.ledger import Ledger
from hanse.market.accounts.payments import payments_of
from hanse.market.engine.states import CAUGHT, FAILED
from hanse.market.exchange.clearing_house import bilateral_payments
from hanse.market.regime import Rung, ladder
from hanse.market.terms import Terms
from hanse.market.units import MICRO_USD_PER_USD, US_PER_HOUR, US_PER_S, Flags, Floats, Integers
from hanse.scenarios.draw import draw_world
from hanse.scenarios.experiment import checked_seeds
from hanse.scenarios.measuring.measures import Measured, measure
from hanse.scenarios.running.batches import run_in_order
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.selftest.checks import run_ledger

STRIKES: Final = ("none", "largest buyer", "escrow")
_COLUMNS: Final = (
    "rung",
    "seed",
    "strike",
    "owed_usd",
    "unpaid_usd",
    "buyers_failed",
    "owners_failed",
    "escrow_failed",
    "unpaid_to_owners_usd",
    "unpaid_outside_usd",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposures:
    """Who owes whom at an instant, and who has what; whole micro-dollars.

    Parties are the buyers, then the owners, escrow, and all outside.

    Attributes
    ----------
    owed : shape (n_parties, n_parties), row owes column.
    cash : shape (n_parties,).
    """

    n_buyers: int
    n_owners: int
    owed: Integers
    cash: Integers

    @property
    def escrow(self) -> int:
        """Return the index of escrow; all outside come next."""
        return self.n_buyers + self.n_owners


def exposures(measured: Measured, *, at_us: int, working_hours: float) -> Exposures:
    """Read from a run what is owed at an instant, and what each has to pay it with.

    A buyer has what jobs that are done were worth to it, less what it has paid, if that is above
    zero; an owner what has been settled to it, and the cost of its units for some hours besides;
    escrow what is locked.

    Parameters
    ----------
    working_hours : cost of all its units that an owner has in hand, in hours.
    """
    world, ledger = measured.world, measured.ledger
    n_buyers, n_owners = len(world.workload.buyer_region), len(world.fleet.owner)
    escrow = n_buyers + n_owners
    size = escrow + 2
    due = _due(ledger, world.terms, at_us, shape=(n_buyers, n_owners))
    owed, cash = np.zeros((size, size), np.int64), np.zeros(size, np.int64)
    debtor = np.full(len(due.buyer), escrow) if ledger.has_escrow else due.buyer
    to_owner = due.is_delivered if ledger.has_escrow else np.ones(len(due.buyer), bool)
    creditor = np.where(to_owner, n_buyers + due.owner, due.buyer)
    np.add.at(owed, (debtor, creditor), due.amount)
    cost = _cost_micro_usd(ledger, n_owners, at_us)
    owed[n_buyers:escrow, escrow + 1] = cost
    earned = _earned_micro_usd(measured, n_buyers, at_us)
    cash[:n_buyers] = np.maximum(0, earned - due.paid_by_buyer)
    cash[n_buyers:escrow] = due.paid_to_owner
    cash[n_buyers:escrow] += _hourly_micro_usd(ledger, n_owners, working_hours)
    cash[escrow] = owed[escrow].sum()
    return Exposures(n_buyers=n_buyers, n_owners=n_owners, owed=owed, cash=cash)


def struck(exposed: Exposures, strike: str, *, loss_share: float) -> Exposures:
    """Take from the largest debtor among buyers all it has, or from escrow a share."""
    cash = exposed.cash.copy()
    if strike == STRIKES[1]:
        debt = exposed.owed[: exposed.n_buyers].sum(axis=1)
        largest = int(debt.argmax()) if debt.any() else int(cash[: exposed.n_buyers].argmax())
        cash[largest] = 0
    elif strike == STRIKES[2]:
        cash[exposed.escrow] -= round(int(cash[exposed.escrow]) * loss_share)
    return replace(exposed, cash=cash)


def contagion(
    scenario: Scenario,
    *,
    seeds: Sequence[int],
    regimes: Sequence[Rung] = ladder,
    at_s: float | None = None,
    loss_share: float = 1.0,
    working_hours: float = 1.0,
    workers: int | None = None,
) -> pd.DataFrame:
    """Say on each rung how far a failure of the largest buyer, or of escrow, would spread.

    Parameters
    ----------
    at_s : the instant; the middle of the run where it is not given.
    loss_share : of what lies in escrow.

    Returns
    -------
    pd.DataFrame
        A row per rung, seed and strike; what is owed and stays unpaid, and how many fail.
    """
    work = partial(
        _of_seed,
        scenario=scenario,
        regimes=tuple(regimes),
        at_s=at_s,
        loss_share=loss_share,
        working_hours=working_hours,
    )
    found = run_in_order(work, checked_seeds(seeds), workers=workers)
    return pd.DataFrame([row for rows in found for row in rows], columns=_COLUMNS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Due:
    buyer: Integers
    owner: Integers
    amount: Integers
    is_delivered: Flags
    paid_by_buyer: Integers
    paid_to_owner: Integers


def _due(ledger: Ledger, terms: Terms, at_us: int, *, shape: tuple[int, int]) -> _Due:
    """List what is agreed and not settled at an instant, and add up what has been settled."""
    record = ledger.record[ledger.work]
    buyer = ledger.stage_fact["buyer"][record["stage"]].astype(np.int64)
    owner = ledger.offer["owner"][ledger.unit["offer"][record["unit"]]]
    settled_us = np.full(len(ledger.record), np.iinfo(np.int64).max)
    paid = payments_of(ledger, terms)
    settled_us[paid.record] = paid.settled_us
    settled_us = settled_us[ledger.work]
    is_void = np.isin(record["outcome"], (CAUGHT, FAILED)) & (record["final_us"] <= at_us)
    begun_us = record["escrow_us"] if ledger.has_escrow else record["end_us"]
    is_open = (begun_us <= at_us) & (settled_us > at_us) & ~is_void
    is_paid = (settled_us <= at_us) & ~is_void
    price = record["payment_micro_usd"]
    # Money that lies in escrow has left its buyer already.
    gone = is_paid | (is_open if ledger.has_escrow else np.zeros(len(price), bool))
    by_buyer, to_owner = (np.zeros(size, np.int64) for size in shape)
    np.add.at(by_buyer, buyer[gone], price[gone])
    np.add.at(to_owner, owner[is_paid], price[is_paid])
    return _Due(
        buyer=buyer[is_open],
        owner=owner[is_open],
        amount=price[is_open],
        is_delivered=record["end_us"][is_open] <= at_us,
        paid_by_buyer=by_buyer,
        paid_to_owner=to_owner,
    )


def _cost_micro_usd(ledger: Ledger, n_owners: int, at_us: int) -> Integers:
    """Return what the time that units have worked until an instant has cost each owner."""
    record = ledger.record[ledger.work]
    worked_us = np.clip(np.minimum(record["end_us"], at_us) - record["accepted_us"], 0, None)
    usd = worked_us * ledger.sink["busy_usd_per_us"][ledger.unit["sink"][record["unit"]]]
    owner = ledger.offer["owner"][ledger.unit["offer"][record["unit"]]]
    return _whole(np.bincount(owner, usd, n_owners).astype(float))


def _hourly_micro_usd(ledger: Ledger, n_owners: int, hours: float) -> Integers:
    owner = ledger.offer["owner"][ledger.unit["offer"]]
    usd = ledger.sink["busy_usd_per_us"][ledger.unit["sink"]] * US_PER_HOUR * hours
    return _whole(np.bincount(owner, usd, n_owners).astype(float))


def _earned_micro_usd(measured: Measured, n_buyers: int, at_us: int) -> Integers:
    """Return what jobs done by an instant were worth to each buyer, for all that it knows."""
    workload, done_us = measured.world.workload, measured.ledger.job_done_us
    is_done = (done_us >= 0) & (done_us <= at_us)
    fall = workload.job_delay_usd_per_s * (done_us - workload.job_arrival_us) / US_PER_S
    worth = np.maximum(0.0, workload.job_value_usd - fall)
    return _whole(np.bincount(workload.job_buyer[is_done], worth[is_done], n_buyers).astype(float))


def _whole(usd: Floats) -> Integers:
    return np.rint(usd * MICRO_USD_PER_USD).astype(np.int64)


def _of_seed(
    seed: int,
    *,
    scenario: Scenario,
    regimes: tuple[Rung, ...],
    at_s: float | None,
    loss_share: float,
    working_hours: float,
) -> list[tuple[object, ...]]:
    world = draw_world(scenario, seed)
    rows: list[tuple[object, ...]] = []
    at_us = world.horizon_us // 2 if at_s is None else round(at_s * US_PER_S)
    for rung in regimes:
        measured = measure(world, run_ledger(world, rung.regime))
        exposed = exposures(measured, at_us=at_us, working_hours=working_hours)
        for strike in STRIKES:
            after = struck(exposed, strike, loss_share=loss_share)
            rows.append((rung.name, seed, strike, *cleared_row(after)))
    return rows


def cleared_row(exposed: Exposures) -> tuple[float | int, ...]:
    """Clear debts, and say what stays unpaid and who has failed; in the order of the table."""
    owed, first, escrow = exposed.owed, exposed.n_buyers, exposed.escrow
    short = owed - bilateral_payments(owed, exposed.cash)
    failed = short.sum(axis=1) > 0
    usd = [owed.sum(), short.sum()]
    of_others = [short[:, first:escrow].sum(), short[:, escrow + 1].sum()]
    return (
        *(float(amount) / MICRO_USD_PER_USD for amount in usd),
        int(failed[:first].sum()),
        int(failed[first:escrow].sum()),
        int(failed[escrow]),
        *(float(amount) / MICRO_USD_PER_USD for amount in of_others),
    )
