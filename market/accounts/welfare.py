"""Welfare: what right results are worth less all real resources, at the world's prices."""

from dataclasses import dataclass

import numpy as np

from hanse.market.accounts.energy import core_time, unit_joules
from hanse.market.accounts.ledger import Ledger
from hanse.market.accounts.occupancy import B, C, F, Occupancy, U
from hanse.market.accounts.payments import (
    NO_COINS,
    chargeback_person_hours,
    fee_resource_usd,
    payments_of,
    returns_of,
)
from hanse.market.engine.columns import Rows
from hanse.market.engine.states import CAUGHT, COMPLETE, RIGHT
from hanse.market.kernels import kernel
from hanse.market.terms import Terms
from hanse.market.units import (
    J_PER_KWH,
    MICRO_USD_PER_USD,
    S_PER_YEAR,
    US_PER_HOUR,
    US_PER_S,
    Floats,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Welfare:
    """Value and resources per family, in USD; the last row is what belongs to no family.

    Transfers do not enter. Every array has shape (n_families + 1,).
    """

    value_usd: Floats
    hardware_usd: Floats
    energy_usd: Floats
    control_usd: Floats
    egress_usd: Floats
    capital_usd: Floats
    person_usd: Floats
    settlement_usd: Floats
    person_hours: Floats
    joules: Floats
    control_core_s: Floats

    @property
    def resource_usd(self) -> Floats:
        """Return the cost of all resources."""
        return (
            self.hardware_usd
            + self.energy_usd
            + self.control_usd
            + self.egress_usd
            + self.capital_usd
            + self.person_usd
            + self.settlement_usd
        )

    @property
    def welfare_usd(self) -> Floats:
        """Return value less resources."""
        return self.value_usd - self.resource_usd


def measure_welfare(
    ledger: Ledger,
    occupancy: Occupancy,
    terms: Terms,
    *,
    n_families: int,
    electricity_usd_per_kwh: Floats,
    recovery_person_hours: float = 0.0,
    chargeback_coin: Floats = NO_COINS,
) -> Welfare:
    """Value a run at the world's resource prices.

    Whoever brings sites of control back, `recovery_person_hours`, works for no family.

    Parameters
    ----------
    chargeback_coin : shape (n_stages,); of no length where no payment is taken back.
    """
    joules, hardware = np.zeros(n_families + 1), np.zeros(n_families + 1)
    energy = np.zeros(n_families + 1)
    rows_joules = unit_joules(occupancy, terms)
    region = ledger.sink["region"][occupancy.sink]
    np.add.at(joules, occupancy.family, rows_joules)
    price = electricity_usd_per_kwh[region] / J_PER_KWH
    np.add.at(energy, occupancy.family, rows_joules * price)
    used = np.isin(occupancy.label, (U, C, B, F)) & (occupancy.family < n_families)
    rate = terms.hardware_usd_per_gpu_hour / US_PER_HOUR
    np.add.at(hardware, occupancy.family[used], occupancy.unit_us[used] * rate)
    core_s = _control_core_s(ledger, terms, n_families)
    core_joules = core_s * terms.core_w * terms.pue
    person_hours = _per_family(ledger, ledger.tally["approvals"], n_families)
    person_hours *= terms.approval_person_hours
    backs = chargeback_person_hours(ledger, terms, chargeback_coin, n_families)
    person_hours[:n_families] += backs + dispute_person_hours(ledger, terms, n_families)
    person_hours += procurement_person_hours(ledger, terms, n_families)
    person_hours[n_families] += recovery_person_hours
    mean_price = float(electricity_usd_per_kwh.mean()) / J_PER_KWH
    return Welfare(
        value_usd=_value_usd(ledger, n_families),
        hardware_usd=hardware,
        energy_usd=energy + core_joules * mean_price,
        control_usd=core_s * terms.core_usd_per_hour / US_PER_HOUR * US_PER_S,
        egress_usd=_per_family(ledger, ledger.stage["egress_usd"], n_families),
        capital_usd=_capital_usd(ledger, terms, n_families),
        person_usd=person_hours * terms.person_usd_per_hour,
        settlement_usd=fee_resource_usd(ledger, terms, n_families),
        person_hours=person_hours,
        joules=joules + core_joules,
        control_core_s=core_s,
    )


def procurement_person_hours(ledger: Ledger, terms: Terms, n_families: int) -> Floats:
    """Return what people work before a buyer's first purchase from an owner, by its family.

    Whoever is found, vetted and contracted once serves for the rest of the run. Nobody has to
    procure what is its own. Shape (n_families + 1,).
    """
    total = np.zeros(n_families + 1)
    if terms.procurement_person_hours == 0.0:
        return total
    stage = ledger.record["stage"][ledger.work]
    fact, unit = ledger.stage_fact, ledger.record["unit"][ledger.work]
    owner = ledger.offer["owner"][ledger.unit["offer"][unit]]
    bought = np.flatnonzero(fact["first_party"][stage] != owner)
    pair = fact["buyer"][stage[bought]] * (int(owner.max(initial=0)) + 1) + owner[bought]
    first = np.unique(pair, return_index=True)[1]  # records come in order of acceptance
    family = fact["family"][stage[bought[first]]]
    count = np.bincount(family, minlength=n_families + 1)
    return np.asarray(count * terms.procurement_person_hours)


def dispute_person_hours(ledger: Ledger, terms: Terms, n_families: int) -> Floats:
    """Return what people work on results that were found wrong, whoever found it, by family."""
    record = ledger.record[ledger.work]
    disputed = record["stage"][record["outcome"] == CAUGHT]
    count = np.bincount(ledger.stage_fact["family"][disputed], minlength=n_families)
    return np.asarray(count * terms.dispute_person_hours)


def _per_family(ledger: Ledger, amount: Floats, n_families: int) -> Floats:
    return np.bincount(ledger.stage_fact["family"], amount, n_families + 1).astype(float)


def _control_core_s(ledger: Ledger, terms: Terms, n_families: int) -> Floats:
    """Add up control work: each stage's own, and the refreshes that belong to nobody."""
    cores = core_time(ledger, terms)
    own_us = cores.decision_us + cores.verification_us + cores.data_us
    total = _per_family(ledger, own_us + cores.signing_us, n_families)
    total[n_families] = cores.unshared_us + int(cores.refresh_us.sum())
    return total / US_PER_S


def _value_usd(ledger: Ledger, n_families: int) -> Floats:
    """Add up v_j at arrival of the last result, over jobs all of whose results are right."""
    total = np.zeros(n_families + 1)
    _add_worth(ledger.stage_fact, ledger.stage, ledger.record, total)
    return total


@kernel
def _add_worth(fact: Rows, stage: Rows, record: Rows, total: Floats) -> None:
    """Add up what jobs are worth, each at its last stage, by when the last of its results came.

    A result that is not there is not right.
    """
    done_us, is_right = 0, True
    for k in range(len(stage)):
        row, of_job = stage[k]["record"], fact[k]
        done_us = max(done_us, stage[k]["done_us"])
        is_right &= row >= 0 and record[row]["outcome"] == RIGHT and stage[k]["status"] == COMPLETE
        if k + 1 < len(stage) and fact[k + 1]["job"] == of_job["job"]:
            continue
        if is_right and done_us <= of_job["deadline_us"]:
            fall = of_job["delay_usd_per_us"] * (done_us - of_job["job_arrival_us"])
            total[of_job["family"]] += max(0.0, of_job["value_usd"] - fall)
        done_us, is_right = 0, True


def _capital_usd(ledger: Ledger, terms: Terms, n_families: int) -> Floats:
    """Charge capital: what is owed until it is settled, escrow until finality, and stakes.

    Escrow that is funded ahead is locked from when its money was sent.
    """
    record, horizon_us = ledger.record, ledger.horizon_us
    work = ledger.work
    final_us = record["final_us"][work]
    end_us = np.where(final_us >= 0, final_us, horizon_us)
    price_usd = record["payment_micro_usd"][work] / MICRO_USD_PER_USD
    locked_us = np.zeros(len(work))
    if ledger.has_escrow:
        locked_us += np.maximum(0, end_us - record["escrow_us"][work])
    else:
        locked_us += np.where(final_us >= 0, terms.invoice_lag_us, 0)
    if ledger.rail.is_on == 1:
        locked_us += _on_the_rail_us(ledger, terms)
    if ledger.has_stakes:
        locked_us += terms.stake_multiple * (end_us - record["accepted_us"][work])
    cost = price_usd * terms.capital_rate_per_year * locked_us / US_PER_S / S_PER_YEAR
    family = ledger.stage_fact["family"][record["stage"][work]]
    total = np.bincount(family, cost, n_families + 1).astype(float)
    if ledger.has_escrow:
        total += _bounced_capital_usd(ledger, terms, n_families)
    return total


def _on_the_rail_us(ledger: Ledger, terms: Terms) -> Floats:
    """Return how much longer its rail keeps the price of each execution from whom it is for.

    That is its payee, or its buyer where it is refunded; a stake counts as so many prices.
    """
    paid = payments_of(ledger, terms)
    extra_us = np.zeros(len(ledger.record))
    late_us = np.where(paid.is_owed, paid.settled_us - paid.due_us, 0)
    extra_us[paid.record] = late_us + paid.lead_us
    back, final_us = returns_of(ledger), ledger.record["final_us"]
    if ledger.has_escrow:
        extra_us += np.where(back.refund_us >= 0, back.refund_us - final_us, 0)
    if ledger.has_stakes:
        stake_us = np.where(back.release_us >= 0, back.release_us - final_us, 0)
        extra_us += terms.stake_multiple * stake_us
    return np.asarray(extra_us[ledger.work])


def _bounced_capital_usd(ledger: Ledger, terms: Terms, n_families: int) -> Floats:
    """Charge the capital that commands had locked which bounced, until it is back."""
    lock = ledger.lock
    locked_us = np.minimum(lock["freed_us"], ledger.horizon_us) - lock["locked_us"]
    locked_us = np.maximum(0, locked_us)
    if ledger.rail.is_on == 1:
        is_free = lock["freed_us"] <= ledger.horizon_us
        locked_us += np.where(is_free, returns_of(ledger).lock_us - lock["freed_us"], 0)
    balance_usd_s = lock["amount_micro_usd"] / MICRO_USD_PER_USD * (locked_us / US_PER_S)
    cost = balance_usd_s * (terms.capital_rate_per_year / S_PER_YEAR)
    family = ledger.stage_fact["family"][lock["stage"]]
    return np.bincount(family, cost, n_families + 1).astype(float)
