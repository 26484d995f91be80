"""The one place that reads from a season's ledger what its agents saw: accounts and statistics.

An owner knows what its units sold and earned, a buyer what its jobs cost it and brought. Both know
what everybody can read: mean prices, and how much work found no unit in time. Nobody sees another's
accounts, what a result would have been worth to somebody else, or which regime ran.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.agents.asking import W_PER_KW
from hanse.agents.capacity import Capacity
from hanse.agents.sums import mean_of, summed
from hanse.market.accounts.ledger import Ledger
from hanse.market.accounts.money import VERIFIER
from hanse.market.engine.columns import Rows
from hanse.market.engine.states import ABANDONED, CAUGHT, FAILED, N_WAITING_STATES, TOOL
from hanse.market.units import (
    MICRO_USD_PER_USD,
    S_PER_HOUR,
    US_PER_HOUR,
    US_PER_S,
    Flags,
    Floats,
    Integers,
)
from hanse.scenarios.measuring.measures import Measured
from hanse.scenarios.seasons.world import SeasonWorld
from hanse.scenarios.studies.learned_cheating import Payoffs, payoffs_of

_UNPAID: Final = (CAUGHT, FAILED, ABANDONED)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowAccounts:
    """What each row of capacity sold and earned; shape (n_rows,), money in USD.

    Attributes
    ----------
    sold_hours : hours that work of jobs occupied.
    idle_held_hours : hours in which units stood idle that a buyer held.
    customers_usd, own_usd : agreed for buyers' work, and for the owner's own.
    others_usd : agreed for other owners' own work.
    held_usd : paid for idle held hours, at the posted price.
    energy_usd : electricity, at idle and at active power.
    """

    sold_hours: Floats
    idle_held_hours: Floats
    customers_usd: Floats
    own_usd: Floats
    others_usd: Floats
    held_usd: Floats
    energy_usd: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class BuyerAccounts:
    """What each buyer's own jobs, not those of first parties, cost it and brought; (n_buyers,).

    Attributes
    ----------
    jobs : brought.
    need_units : work over the length of the season, of all jobs the buyer is named for.
    paid_usd, hours : agreed, and the accelerator-hours that this bought.
    price_usd : mean per GPU-hour; NaN where nothing was bought.
    wait_s : mean wait of a job, tools left out.
    delay_usd_per_s, job_hours : means of what a second of delay costs a job, and of its work.
    missed : share of the worth of jobs that are done or given up that did not come; NaN for none.
    """

    jobs: Integers
    need_units: Floats
    paid_usd: Floats
    hours: Floats
    price_usd: Floats
    wait_s: Floats
    delay_usd_per_s: Floats
    job_hours: Floats
    missed: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """What one season left in everybody's books.

    Attributes
    ----------
    hours : length of the season.
    unserved_share : share of the work of jobs that are done or given up that was given up.
    rent_usd : what each owner got for routing, and paid for it; sums to zero.
    subsidy_usd : what the tokens are worth that each owner was handed.
    idle_held_hours : idle time of units held, by who holds them; shape (n_buyers,).
    held_usd : what that costs who holds them; shape (n_buyers,).
    holder : for which buyer alone each node really was, or -1; shape (n_nodes,).
    honoured : share of the units held that were for nobody else; NaN if none were held.
    payoffs : of honest work and of cheating, by independents and by hyperscalers.
    verifier_usd : earned by all verifiers together.
    own_worth_usd, own_hours : of first parties' jobs done, by owner; and their hours on own units.
    """

    hours: float
    rows: RowAccounts
    buyers: BuyerAccounts
    unserved_share: float
    rent_usd: Floats
    subsidy_usd: Floats
    idle_held_hours: Floats
    held_usd: Floats
    holder: Integers
    honoured: float
    payoffs: tuple[Payoffs, Payoffs]
    verifier_usd: float
    own_worth_usd: Floats
    own_hours: Floats


def read_accounts(
    season: SeasonWorld,
    capacity: Capacity,
    measured: Measured,
    *,
    hub_rent_share: float,
    saved_share: float,
    subsidy_usd: Floats,
) -> Accounts:
    """Read everybody's accounts of one season.

    Parameters
    ----------
    subsidy_usd : shape (n_owners,), what a rule of emission handed each beside the season.
    """
    ledger, world = measured.ledger, season.world
    hours = ledger.horizon_us / US_PER_HOUR
    sales = _sales(ledger)
    owner = world.fleet.node_owner[sales.unit]
    is_own = ledger.stage_fact["first_party"][sales.stage] == owner
    tenant, n_buyers = world.fleet.node_tenant, len(world.workload.buyer_region)
    is_kept = (tenant >= 0) & (ledger.unit["plane"] >= 0)
    idle_h = np.where(is_kept, hours - _busy_hours(ledger), 0.0)
    idle_usd = idle_h * world.fleet.node_posted_usd_per_gpu_hour
    holder = np.where(is_kept, tenant, 0)
    jobs = _jobs(ledger)
    n_owners = len(capacity.owner_name)
    own_worth = np.where(jobs.first_party >= 0, jobs.got_usd, 0.0)
    given_up = float(jobs.work_us[jobs.is_lapsed].sum())
    settled = float(jobs.work_us[jobs.is_lapsed | jobs.is_done].sum())
    return Accounts(
        hours=hours,
        rows=_rows(
            season,
            capacity,
            sales,
            is_own=is_own,
            is_buyers=ledger.stage_fact["first_party"][sales.stage] < 0,
            hours=hours,
            idle_h=idle_h,
            idle_usd=idle_usd,
        ),
        buyers=_buyers(season, ledger, sales=sales, jobs=jobs),
        unserved_share=given_up / settled if settled else 0.0,
        rent_usd=_rents(ledger, season, sales=sales, is_own=is_own) * hub_rent_share,
        subsidy_usd=subsidy_usd,
        idle_held_hours=summed(holder, idle_h, n_buyers),
        held_usd=summed(holder, idle_usd, n_buyers),
        holder=np.where(is_kept, tenant, -1),
        honoured=float(is_kept.sum() / max(1, (tenant >= 0).sum()))
        if (tenant >= 0).any()
        else float("nan"),
        payoffs=_payoffs(season, ledger, saved_share),
        verifier_usd=_verifiers_usd(measured),
        own_worth_usd=summed(np.maximum(0, jobs.first_party), own_worth, n_owners),
        own_hours=summed(owner, np.where(is_own, sales.hours, 0.0), n_owners),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sales:
    """Executions by stage and unit: hours within the season, and what is agreed for them."""

    stage: Integers
    unit: Integers
    hours: Floats
    usd: Floats


def _sales(ledger: Ledger) -> _Sales:
    """List what was sold; what fails or is caught earns nothing, what runs on as far as it ran."""
    record: Rows = ledger.record[ledger.work]
    whole_us = record["end_us"] - record["accepted_us"]
    within_us = np.minimum(record["end_us"], ledger.horizon_us) - record["accepted_us"]
    share = np.divide(within_us, whole_us, out=np.zeros(len(record)), where=whole_us > 0)
    usd = record["payment_micro_usd"] / MICRO_USD_PER_USD * share
    return _Sales(
        stage=record["stage"].astype(np.int64),
        unit=record["unit"].astype(np.int64),
        hours=within_us / US_PER_HOUR,
        usd=np.where(np.isin(record["outcome"], _UNPAID), 0.0, usd),
    )


def _busy_hours(ledger: Ledger) -> Floats:
    """Add up the hours that anything occupied each unit: work, audits, residual work."""
    record = ledger.record
    begin = np.minimum(record["accepted_us"], ledger.horizon_us)
    within_us = np.minimum(record["end_us"], ledger.horizon_us) - begin
    total_us = summed(record["unit"], within_us, len(ledger.unit))
    return np.asarray(total_us / US_PER_HOUR)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Jobs:
    """What became of each job, as its buyer sees it: a wrong result that passed is a result."""

    first_party: Integers
    is_done: Flags
    is_lapsed: Flags
    worth_usd: Floats
    got_usd: Floats
    work_us: Floats
    wait_us: Floats


def _jobs(ledger: Ledger) -> _Jobs:
    fact = ledger.stage_fact
    first = np.flatnonzero(np.diff(fact["job"], prepend=-1))
    of_job = fact[first]
    done_us, n_jobs = ledger.job_done_us, len(first)
    late = of_job["delay_usd_per_us"] * (done_us - of_job["job_arrival_us"])
    in_time = (done_us >= 0) & (done_us <= of_job["deadline_us"])
    wait_us = ledger.time_us[:, TOOL + 1 : N_WAITING_STATES].sum(axis=1)
    return _Jobs(
        first_party=of_job["first_party"].astype(np.int64),
        is_done=done_us >= 0,
        is_lapsed=ledger.lapsed_job[first],
        worth_usd=of_job["value_usd"],
        got_usd=np.where(in_time, np.maximum(0.0, of_job["value_usd"] - late), 0.0),
        work_us=summed(fact["job"], fact["work_us"], n_jobs),
        wait_us=summed(fact["job"], wait_us, n_jobs),
    )


def _rows(
    season: SeasonWorld,
    capacity: Capacity,
    sales: _Sales,
    *,
    is_own: Flags,
    is_buyers: Flags,
    hours: float,
    idle_h: Floats,
    idle_usd: Floats,
) -> RowAccounts:
    terms, row = season.world.terms, season.node_row[sales.unit]

    def add_up(amount: Floats, rows: Integers = row) -> Floats:
        return summed(rows, amount, capacity.n_rows)

    sold = add_up(sales.hours)
    power = sold * terms.active_w + (capacity.units * hours - sold) * terms.idle_w
    price = season.world.geography.electricity_usd_per_kwh[capacity.region]
    return RowAccounts(
        sold_hours=sold,
        idle_held_hours=add_up(idle_h, season.node_row),
        customers_usd=add_up(np.where(is_buyers, sales.usd, 0.0)),
        own_usd=add_up(np.where(is_own, sales.usd, 0.0)),
        others_usd=add_up(np.where(is_own | is_buyers, 0.0, sales.usd)),
        held_usd=add_up(idle_usd, season.node_row),
        energy_usd=power / W_PER_KW * price,
    )


def _buyers(season: SeasonWorld, ledger: Ledger, *, sales: _Sales, jobs: _Jobs) -> BuyerAccounts:
    n_buyers = len(season.world.workload.buyer_region)
    buyer = season.job_buyer
    mine = (jobs.first_party < 0).astype(float)
    of_sale = ledger.stage_fact["job"][sales.stage]

    def add_up(amount: Floats) -> Floats:
        return summed(buyer, amount, n_buyers)

    paid = summed(buyer[of_sale], sales.usd * mine[of_sale], n_buyers)
    hours = summed(buyer[of_sale], sales.hours * mine[of_sale], n_buyers)
    n_jobs = add_up(mine)
    settled = (jobs.is_done | jobs.is_lapsed) * mine
    lost = mean_of(
        add_up((jobs.worth_usd - jobs.got_usd) * settled), add_up(jobs.worth_usd * settled)
    )
    delay = season.world.workload.job_delay_usd_per_s
    return BuyerAccounts(
        jobs=n_jobs.astype(np.int64),
        need_units=add_up(jobs.work_us) / ledger.horizon_us,
        paid_usd=paid,
        hours=hours,
        price_usd=mean_of(paid, hours),
        wait_s=mean_of(add_up(jobs.wait_us * mine), n_jobs) / US_PER_S,
        delay_usd_per_s=mean_of(add_up(delay * mine), n_jobs),
        job_hours=mean_of(add_up(jobs.work_us * mine), n_jobs) / US_PER_S / S_PER_HOUR,
        missed=lost,
    )


def _rents(ledger: Ledger, season: SeasonWorld, *, sales: _Sales, is_own: Flags) -> Floats:
    """Return what owners would get for routing, less what they would pay, if all were rent.

    Who owns most units in the region of the plane that decided takes it; where nobody has any,
    nobody does. Work on units of one's own pays nothing to oneself.
    """
    fleet, n_regions = season.world.fleet, season.world.geography.n_regions
    n_owners = len(fleet.owner)
    cell = fleet.node_region * n_owners + fleet.node_owner
    units = np.bincount(cell, minlength=n_regions * n_owners).reshape(n_regions, n_owners)
    largest = np.where(units.any(axis=1), units.argmax(axis=1), -1)
    router = largest[ledger.plane_region[ledger.stage["plane"][sales.stage]]]
    owner = fleet.node_owner[sales.unit]
    usd = np.where((router >= 0) & ~is_own, sales.usd, 0.0)
    taken = summed(np.maximum(0, router), usd, n_owners)
    return np.asarray(taken - summed(owner, usd, n_owners))


def _payoffs(season: SeasonWorld, ledger: Ledger, saved_share: float) -> tuple[Payoffs, Payoffs]:
    terms, fleet = season.world.terms, season.world.fleet
    is_large = fleet.owner_is_hyperscaler[fleet.node_owner]
    first, second = (
        payoffs_of(
            ledger,
            stake_multiple=terms.stake_multiple,
            saved_share=saved_share,
            of_unit=chosen,
        )
        for chosen in (~is_large, is_large)
    )
    return first, second


def _verifiers_usd(measured: Measured) -> float:
    postings = measured.postings
    got = postings.amount_micro_usd[postings.credit == VERIFIER].sum()
    paid = postings.amount_micro_usd[postings.debit == VERIFIER].sum()
    return float(got - paid) / MICRO_USD_PER_USD
