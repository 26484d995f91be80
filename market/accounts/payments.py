"""The one place for when what a run owes is due, sent and settled, and what its rail takes."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.market.accounts.ledger import Ledger
from hanse.market.engine.states import CAUGHT, FAILED
from hanse.market.rails import RailRules, sent_with_others_us, settle_all
from hanse.market.terms import Terms
from hanse.market.units import MICRO_USD_PER_USD, US_PER_S, Flags, Floats, Integers

NO_COINS: Final = np.zeros(0)
"""Of chargebacks, where no payment is taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payments:
    """One row per execution whose result is final within the horizon, in the order of records.

    Attributes
    ----------
    record, stage, buyer, owner : whose.
    final_us, due_us, sent_us, settled_us : instants; the last three may lie beyond the horizon.
    lead_us : how long before its lock escrow was funded, where it is funded ahead; else 0.
    is_owed : whether the result stands, so that its price is paid out at all.
    amount_micro_usd : the price, less what of it was lost in escrow.
    transfer : shape (n_rows,), which transfer carries it, or -1.
    fee_micro_usd : shape (n_transfers,), what the rail takes for each.
    transfer_payee, transfer_stage, transfer_us : its owner, its first stage, and when it settles.
    part : of what a transfer carries, how much falls into the run: a window that is longer than the
        run has more like it, and all of them share what is taken per transfer.
    """

    record: Integers
    stage: Integers
    buyer: Integers
    owner: Integers
    final_us: Integers
    due_us: Integers
    sent_us: Integers
    settled_us: Integers
    lead_us: Integers
    is_owed: Flags
    amount_micro_usd: Integers
    transfer: Integers
    fee_micro_usd: Integers
    transfer_payee: Integers
    transfer_stage: Integers
    transfer_us: Integers
    part: float


def payments_of(ledger: Ledger, terms: Terms) -> Payments:
    """Say of each final result when its price is settled, over the rail of the run."""
    rail, row = ledger.rail, ledger.work
    row = row[ledger.record["final_us"][row] >= 0]
    record, stage = ledger.record[row], ledger.record["stage"][row]
    final_us, region = record["final_us"], ledger.unit["region"][record["unit"]]
    buyer = ledger.stage_fact["buyer"][stage].astype(np.int64)
    owner = ledger.offer["owner"][ledger.unit["offer"][record["unit"]]]
    payer_us = ledger.zone_us[ledger.stage_fact["origin"][stage]]
    payee_us = ledger.zone_us[region]
    due_us = final_us + (0 if ledger.has_escrow else terms.invoice_lag_us)
    sent_us = sent_with_others_us(rail, due_us)
    part = min(1.0, ledger.horizon_us / max(1, rail.netting_us))
    there_us = settle_all(rail, sent_us, payer_us, payee_us)
    lead_us = np.zeros(len(row), np.int64)
    if ledger.has_escrow and rail.on_demand == 0:
        locked_us = record["escrow_us"]
        lead_us = settle_all(rail, locked_us, payer_us, payee_us) - locked_us
    is_owed = ~np.isin(record["outcome"], (CAUGHT, FAILED))
    lost = escrow_losses(ledger, terms).of_record[row]
    amount = record["payment_micro_usd"] - lost
    carried = _transfers(rail.netting_us > 0, buyer, owner, region, sent_us, is_owed)
    paid = np.flatnonzero(is_owed)
    first = paid[np.unique(carried[paid], return_index=True)[1]]
    whole = np.bincount(carried[paid], amount[paid], len(first)).astype(float)
    return Payments(
        record=row,
        stage=stage,
        buyer=buyer,
        owner=owner,
        final_us=final_us,
        due_us=due_us,
        sent_us=sent_us,
        settled_us=there_us,
        lead_us=lead_us,
        is_owed=is_owed,
        amount_micro_usd=amount,
        transfer=carried,
        fee_micro_usd=_fees(whole, rail.fee_share, rail.fee_micro_usd * part),
        transfer_payee=owner[first],
        transfer_stage=stage[first],
        transfer_us=there_us[first],
        part=part,
    )


def settled_of_records(ledger: Ledger, terms: Terms) -> Integers:
    """Return when the price of each execution is settled, or -1 where it is not final yet.

    Shape (n_records,). Without a rail a payment is there as it falls due.
    """
    if ledger.rail.is_on == 0:
        final_us = ledger.record["final_us"]
        lag_us = 0 if ledger.has_escrow else terms.invoice_lag_us
        return np.where(final_us >= 0, final_us + lag_us, -1)
    paid = payments_of(ledger, terms)
    settled_us = np.full(len(ledger.record), -1)
    settled_us[paid.record] = paid.settled_us
    return settled_us


@dataclass(frozen=True, slots=True, kw_only=True)
class Returns:
    """When what goes back to whom it came from is there again, over the rail of the run.

    Attributes
    ----------
    refund_us : shape (n_records,), of the price of a result that is final and not owed; else -1.
    release_us : the same, of the stake of a result that is final and was not caught; else -1.
    lock_us : shape (n_locks,), of what was locked for commands that bounced.
    """

    refund_us: Integers
    release_us: Integers
    lock_us: Integers


def returns_of(ledger: Ledger) -> Returns:
    """Say when refunds and stakes are back: sent as payments are, on the same rail.

    A refund goes from the place of the unit to that of the buyer, a stake stays where it is; what a
    bounced command had locked never left the buyer's place. Without a rail all is there at once.
    """
    record, zone_us = ledger.record, ledger.zone_us
    final_us, outcome = record["final_us"], record["outcome"]
    is_final = np.zeros(len(record), bool)
    is_final[ledger.work] = final_us[ledger.work] >= 0
    stage = np.where(is_final, record["stage"], 0)
    origin_us = zone_us[ledger.stage_fact["origin"][stage]]
    here_us = zone_us[ledger.unit["region"][record["unit"]]]
    is_caught = outcome == CAUGHT
    return Returns(
        refund_us=_back_us(
            ledger, final_us, here_us, origin_us, is_final & (is_caught | (outcome == FAILED))
        ),
        release_us=_back_us(ledger, final_us, here_us, here_us, is_final & ~is_caught),
        lock_us=_back_us(ledger, ledger.lock["freed_us"], *_home_us(ledger)),
    )


def _home_us(ledger: Ledger) -> tuple[Integers, Integers, Flags]:
    lock = ledger.lock
    home_us = ledger.zone_us[ledger.stage_fact["origin"][lock["stage"]]]
    return home_us, home_us, np.ones(len(lock), bool)


def _back_us(
    ledger: Ledger, freed_us: Integers, from_us: Integers, to_us: Integers, chosen: Flags
) -> Integers:
    """Return when money that is free at an instant is back; -1 where none comes back."""
    back_us = np.full(len(freed_us), -1)
    sent_us = sent_with_others_us(ledger.rail, freed_us[chosen])
    back_us[chosen] = settle_all(ledger.rail, sent_us, from_us[chosen], to_us[chosen])
    return back_us


@dataclass(frozen=True, slots=True, kw_only=True)
class EscrowLosses:
    """What was lost of each price that lay in escrow, in micro-dollars.

    Attributes
    ----------
    of_record : shape (n_records,).
    of_lock : shape (n_locks,), of commands that bounced.
    """

    of_record: Integers
    of_lock: Integers


def escrow_losses(ledger: Ledger, terms: Terms) -> EscrowLosses:
    """Say what is missing from escrow once a share of it is lost, rounded down per price.

    It is missing from what is paid out, or given back, later. A transfer, to whoever has it now.
    """
    record, lock = ledger.record, ledger.lock
    of_record, of_lock = np.zeros(len(record), np.int64), np.zeros(len(lock), np.int64)
    share, at_us = terms.settlement.escrow_loss_share, terms.settlement.escrow_loss_us
    if ledger.has_escrow and share > 0.0 and at_us < ledger.horizon_us:
        work = record[ledger.work]
        stays = (work["final_us"] < 0) | (work["final_us"] > at_us)
        price = np.where(stays & (work["escrow_us"] <= at_us), work["payment_micro_usd"], 0)
        of_record[ledger.work] = np.floor(price * share).astype(np.int64)
        lies = (lock["locked_us"] <= at_us) & (lock["freed_us"] > at_us)
        of_lock = np.floor(np.where(lies, lock["amount_micro_usd"], 0) * share).astype(np.int64)
    return EscrowLosses(of_record=of_record, of_lock=of_lock)


def fee_resource_usd(ledger: Ledger, terms: Terms, n_families: int) -> Floats:
    """Return what the rail's fees pay for in real resources, shape (n_families + 1,).

    A transfer's part falls on the families of what it carries by their amounts; where it carries
    nothing but zeros, evenly.
    """
    total = np.zeros(n_families + 1)
    if ledger.rail.is_on == 0 or ledger.rail.resource_share == 0.0:
        return total
    paid = payments_of(ledger, terms)
    owed = np.flatnonzero(paid.is_owed)
    carried, amount = paid.transfer[owed], paid.amount_micro_usd[owed].astype(float)
    n_transfers = len(paid.fee_micro_usd)
    whole = np.bincount(carried, amount, n_transfers)[carried]
    even = 1.0 / np.bincount(carried, minlength=n_transfers)[carried]
    share = np.divide(amount, whole, out=even, where=whole > 0)
    usd = share * paid.fee_micro_usd[carried] * ledger.rail.resource_share / MICRO_USD_PER_USD
    np.add.at(total, ledger.stage_fact["family"][paid.stage[owed]], usd)
    return total


def taken_back(paid: Payments, rail: RailRules, coin: Floats) -> Flags:
    """Say of each transfer whether its payer takes it back, by the coin of its first stage.

    Parameters
    ----------
    coin : shape (n_stages,), or of no length where nothing is taken back.
    """
    if len(coin) == 0:
        return np.zeros(len(paid.transfer_stage), bool)
    back: Flags = coin[paid.transfer_stage] < rail.chargeback_share
    return back


def rows_taken_back(paid: Payments, back: Flags) -> Flags:
    """Say of each row whether the transfer that carries it is taken back."""
    return np.asarray(paid.is_owed & np.append(back, False)[paid.transfer])


def chargeback_person_hours(ledger: Ledger, terms: Terms, coin: Floats, n_families: int) -> Floats:
    """Return what people work on chargebacks, by family of the first stage of what was paid."""
    hours = ledger.rail.chargeback_person_hours
    if ledger.rail.is_on == 0 or hours == 0.0 or len(coin) == 0:
        return np.zeros(n_families)
    paid = payments_of(ledger, terms)
    stage = paid.transfer_stage[taken_back(paid, ledger.rail, coin)]
    family = ledger.stage_fact["family"][stage]
    count = np.bincount(family, minlength=n_families).astype(float)
    return np.asarray(count * (hours * paid.part))


def locked_usd_s(payments: Payments) -> float:
    """Return dollar-seconds that prices of standing results lie between finality and settlement."""
    away_s = (payments.settled_us - payments.final_us + payments.lead_us) / US_PER_S
    usd = payments.amount_micro_usd / MICRO_USD_PER_USD
    return float((usd * away_s)[payments.is_owed].sum())


def _transfers(
    is_netted: bool,
    buyer: Integers,
    owner: Integers,
    region: Integers,
    sent_us: Integers,
    is_owed: Flags,
) -> Integers:
    """Give each row that is owed the number of its transfer, and -1 to all others."""
    carried = np.full(len(buyer), -1)
    owed = np.flatnonzero(is_owed)
    if not is_netted:
        carried[owed] = np.arange(len(owed))
        return carried
    keys = np.stack([buyer[owed], owner[owed], region[owed], sent_us[owed]])
    carried[owed] = np.unique(keys, axis=1, return_inverse=True)[1].reshape(-1)
    return carried


def _fees(amount: Floats, share: float, each: float) -> Integers:
    return np.rint(amount * share + each).astype(np.int64)
