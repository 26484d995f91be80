"""The one place that reads from a run what each party was left with: owners, buyers, verifiers.

Every dollar of welfare is somebody's. Owners have what is paid for their units, less the hardware
and energy of the time those were used, less slashes; buyers the worth of right results, less what
they pay and the egress of their data; verifiers fees and their part of slashes, less what audits
cost; the treasury its part of slashes. Where owners charge for egress, they have the bill and bear
what the bytes cost. A rail has its fees, less the real resources that they pay for; owners pay
them, and give back what payers take back. A thief has what escrow lost. Control work, idle power,
people and the cost of capital fall on the commons, that is, on no voter. Locks are still their
owners' money. Transfers cancel: all columns together are welfare, whatever the
transfers are.
"""

from dataclasses import dataclass

import numpy as np

from hanse.agents.world import World
from hanse.market.accounts.energy import unit_joules
from hanse.market.accounts.ledger import Ledger
from hanse.market.accounts.money import FEE, TO_TREASURY, TO_VERIFIER
from hanse.market.accounts.occupancy import B, C, F, U
from hanse.market.accounts.payments import escrow_losses, payments_of, rows_taken_back, taken_back
from hanse.market.accounts.structure import job_worth_usd
from hanse.market.engine.egress import BILLED, COST
from hanse.market.engine.states import AUDIT, CAUGHT, FAILED
from hanse.market.units import J_PER_KWH, MICRO_USD_PER_USD, US_PER_HOUR, Floats
from hanse.scenarios.measuring.measures import Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Payoffs:
    """What a run left everybody with, in USD.

    Attributes
    ----------
    owner, buyer, verifier : by index of the holder.
    treasury, commons : of nobody in particular.
    rail : of whoever moves the money.
    thief : of whoever has what was lost in escrow.
    owner_paid, buyer_paid, verifier_paid : money that was moved to or from each, at least 0; what
        holdings of stake may follow.
    """

    owner: Floats
    buyer: Floats
    verifier: Floats
    treasury: float
    commons: float
    rail: float
    thief: float
    owner_paid: Floats
    buyer_paid: Floats
    verifier_paid: Floats

    @property
    def total(self) -> float:
        """Return the sum over everybody, which is welfare."""
        held = self.owner.sum() + self.buyer.sum() + self.verifier.sum()
        return float(held + self.treasury + self.commons + self.rail + self.thief)


def payoffs_of(measured: Measured) -> Payoffs:
    """Share the welfare of a run out over everybody."""
    world, ledger = measured.world, measured.ledger
    n_owners, n_buyers = len(world.fleet.owner), len(world.workload.buyer_region)
    n_verifiers = len(world.verifier_region)
    fees = _fees_usd(measured, n_buyers, n_verifiers)
    of_owner, of_buyer, slashed = _settled_usd(world, ledger)
    robbed_owner, robbed_buyer = _robbed_usd(world, ledger)
    used = _used_usd(measured)
    audit_usd, audit_sink_usd = _audits_usd(world, ledger, n_verifiers)
    worth = np.bincount(world.workload.job_buyer, job_worth_usd(ledger), n_buyers)
    egress = np.bincount(ledger.stage_fact["buyer"], ledger.stage["egress_usd"], n_buyers)
    billed, moved = _egress_usd(ledger, n_buyers, n_owners)
    welfare = measured.welfare
    unused_energy_usd = float(welfare.energy_usd.sum() + welfare.hardware_usd.sum() - used.sum())
    shared = welfare.control_usd + welfare.capital_usd + welfare.person_usd
    rail_fee, taken_owner, taken_buyer = _rail_usd(measured, n_owners, n_buyers)
    owner_cost = _by_owner(ledger, used - audit_sink_usd, n_owners)
    paid = of_buyer + fees.of_buyer
    return Payoffs(
        owner=of_owner
        - slashed
        - owner_cost
        - rail_fee
        - taken_owner
        - robbed_owner
        + (billed - moved).sum(axis=0),
        buyer=worth - egress - paid + taken_buyer - (billed - moved).sum(axis=1) - robbed_buyer,
        verifier=fees.of_verifier - audit_usd,
        treasury=fees.treasury,
        commons=-unused_energy_usd - float(shared.sum()),
        rail=float(rail_fee.sum() - welfare.settlement_usd.sum()),
        thief=float(robbed_owner.sum() + robbed_buyer.sum()),
        owner_paid=of_owner,
        buyer_paid=paid,
        verifier_paid=fees.of_verifier,
    )


def moved_usd(measured: Measured) -> tuple[Floats, Floats, Floats]:
    """Return the money moved to or from each owner, buyer and verifier, as `Payoffs` have it."""
    world = measured.world
    fees = _fees_usd(measured, len(world.workload.buyer_region), len(world.verifier_region))
    of_owner, of_buyer, _ = _settled_usd(world, measured.ledger)
    return of_owner, of_buyer + fees.of_buyer, fees.of_verifier


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fees:
    of_buyer: Floats
    of_verifier: Floats
    treasury: float


def _fees_usd(measured: Measured, n_buyers: int, n_verifiers: int) -> _Fees:
    """Read from the postings what audits are paid, and where slashed stake goes."""
    posted = measured.postings
    usd = posted.amount_micro_usd / MICRO_USD_PER_USD
    is_fee = posted.kind == FEE
    earns = is_fee | (posted.kind == TO_VERIFIER)
    return _Fees(
        of_buyer=np.bincount(posted.debit_holder[is_fee], usd[is_fee], n_buyers).astype(float),
        of_verifier=np.bincount(posted.credit_holder[earns], usd[earns], n_verifiers).astype(float),
        treasury=float(usd[posted.kind == TO_TREASURY].sum()),
    )


def _rail_usd(measured: Measured, n_owners: int, n_buyers: int) -> tuple[Floats, Floats, Floats]:
    """Return what owners owe the rail, and what is taken back from each owner by each buyer.

    All of it counts that final results lead to, within the horizon or beyond it.
    """
    world, rail = measured.world, measured.ledger.rail
    if rail.is_on == 0:
        return np.zeros(n_owners), np.zeros(n_owners), np.zeros(n_buyers)
    paid = payments_of(measured.ledger, world.terms)
    fee = np.bincount(paid.transfer_payee, paid.fee_micro_usd, n_owners) / MICRO_USD_PER_USD
    is_back = taken_back(paid, rail, world.workload.stage_chargeback)
    rows = rows_taken_back(paid, is_back)
    usd = paid.amount_micro_usd[rows] / MICRO_USD_PER_USD
    each = round(rail.chargeback_fee_micro_usd * paid.part) / MICRO_USD_PER_USD
    return (
        fee + each * np.bincount(paid.transfer_payee[is_back], minlength=n_owners),
        np.bincount(paid.owner[rows], usd, n_owners).astype(float),
        np.bincount(paid.buyer[rows], usd, n_buyers).astype(float),
    )


def _robbed_usd(world: World, ledger: Ledger) -> tuple[Floats, Floats]:
    """Return what escrow lost of each owner's pay-outs, and of what else was each buyer's."""
    n_owners, n_buyers = len(world.fleet.owner), len(world.workload.buyer_region)
    lost = escrow_losses(ledger, world.terms)
    paid = payments_of(ledger, world.terms)
    is_owed = np.zeros(len(ledger.record), bool)
    is_owed[paid.record[paid.is_owed]] = True
    work = ledger.record[ledger.work]
    usd, owed = lost.of_record[ledger.work] / MICRO_USD_PER_USD, is_owed[ledger.work]
    owner = ledger.offer["owner"][ledger.unit["offer"][work["unit"]]]
    buyer = ledger.stage_fact["buyer"][work["stage"]]
    of_buyer = np.bincount(buyer[~owed], usd[~owed], n_buyers).astype(float)
    bounced = ledger.stage_fact["buyer"][ledger.lock["stage"]]
    of_buyer += np.bincount(bounced, lost.of_lock / MICRO_USD_PER_USD, n_buyers)
    return np.bincount(owner[owed], usd[owed], n_owners).astype(float), of_buyer


def _egress_usd(ledger: Ledger, n_buyers: int, n_owners: int) -> tuple[Floats, Floats]:
    """Return what owners bill buyers for bytes, and what those bytes cost the owners."""
    if ledger.egress_bill.size == 0:
        nothing = np.zeros((n_buyers, n_owners))
        return nothing, nothing
    return ledger.egress_bill[BILLED], ledger.egress_bill[COST]


def _settled_usd(world: World, ledger: Ledger) -> tuple[Floats, Floats, Floats]:
    """Return what final results have paid each owner and cost each buyer, and owners' slashes."""
    n_owners, n_buyers = len(world.fleet.owner), len(world.workload.buyer_region)
    columns = ("final_us", "outcome", "unit", "stage", "payment_micro_usd")
    # Column by column: rows are wide.
    record = {name: ledger.record[name][ledger.work] for name in columns}
    is_final = (record["final_us"] >= 0) & (record["final_us"] <= ledger.horizon_us)
    caught = is_final & (record["outcome"] == CAUGHT)
    passed = is_final & ~caught & (record["outcome"] != FAILED)
    owner = ledger.offer["owner"][ledger.unit["offer"][record["unit"]]]
    buyer = ledger.stage_fact["buyer"][record["stage"]]
    price = record["payment_micro_usd"] / MICRO_USD_PER_USD
    stake = np.rint(world.terms.stake_multiple * record["payment_micro_usd"]) / MICRO_USD_PER_USD
    lost = np.bincount(owner[caught], stake[caught], n_owners).astype(float)
    return (
        np.bincount(owner[passed], price[passed], n_owners).astype(float),
        np.bincount(buyer[passed], price[passed], n_buyers).astype(float),
        lost if ledger.has_stakes else np.zeros(n_owners),
    )


def _used_usd(measured: Measured) -> Floats:
    """Return hardware and energy of all time that somebody's work used, at each sink."""
    occupancy, world, sink = measured.occupancy, measured.world, measured.ledger.sink
    used = np.isin(occupancy.label, (U, C, B, F))
    used &= occupancy.family < len(world.workload.family)
    price = world.geography.electricity_usd_per_kwh[sink["region"][occupancy.sink]] / J_PER_KWH
    rate = world.terms.hardware_usd_per_gpu_hour / US_PER_HOUR
    usd = unit_joules(occupancy, world.terms) * price + occupancy.unit_us * rate
    return np.bincount(occupancy.sink[used], usd[used], len(sink)).astype(float)


def _audits_usd(world: World, ledger: Ledger, n_verifiers: int) -> tuple[Floats, Floats]:
    """Return what audits cost within the horizon, by verifier and by sink."""
    audit = ledger.record[ledger.record["outcome"] == AUDIT]
    begun_us = audit["end_us"] - audit["execution_us"]
    used_us = np.clip(ledger.horizon_us - begun_us, 0, audit["execution_us"])
    sink = ledger.unit["sink"][audit["unit"]]
    usd = ledger.sink["busy_usd_per_us"][sink] * used_us
    holder = np.maximum(0, world.workload.stage_verifier[audit["stage"]])
    return (
        np.bincount(holder, usd, n_verifiers).astype(float),
        np.bincount(sink, usd, len(ledger.sink)).astype(float),
    )


def _by_owner(ledger: Ledger, sink_usd: Floats, n_owners: int) -> Floats:
    """Share the cost of each sink out over owners by the time their units worked there."""
    record = ledger.record[ledger.work]
    end_us = np.minimum(record["end_us"], ledger.horizon_us)
    worked_us = np.maximum(0, end_us - record["accepted_us"]).astype(float)
    sink = ledger.unit["sink"][record["unit"]]
    owner = ledger.offer["owner"][ledger.unit["offer"][record["unit"]]]
    whole_us = np.bincount(sink, worked_us, len(sink_usd))
    rate = np.divide(sink_usd, whole_us, out=np.zeros(len(sink_usd)), where=whole_us > 0)
    return np.bincount(owner, rate[sink] * worked_us, n_owners).astype(float)
