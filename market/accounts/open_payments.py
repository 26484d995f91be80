"""Open payments: what is delivered and unpaid, and what is paid and undelivered."""

import numpy as np

from hanse.market.accounts.ledger import Ledger
from hanse.market.accounts.obligations import (
    CLOSED,
    EXPIRED,
    IN_VAIN,
    STILL_OPEN,
    UNDELIVERED,
    UNPAID,
    Executions,
    Part,
)
from hanse.market.accounts.payments import returns_of, settled_of_records
from hanse.market.engine.states import ACTIVE, CAUGHT, FAILED
from hanse.market.terms import Terms
from hanse.market.units import Integers


def open_payments(ledger: Ledger, work: Executions, terms: Terms) -> list[Part]:
    """List what is delivered and unpaid, and what is locked and undelivered.

    A delivery is there when the execution ends, and due out of escrow at finality, or by invoice a
    lag later; it is paid when its rail has settled it. What was caught, or failed, is owed nothing:
    its claim is in default.
    """
    horizon_us = ledger.horizon_us
    price = ledger.record["payment_micro_usd"][work.record]
    ended = np.flatnonzero((work.end_us <= horizon_us) & (price > 0))
    final_us = ledger.record["final_us"][work.record[ended]]
    outcome = ledger.record["outcome"][work.record[ended]]
    is_caught = (outcome == CAUGHT) | (outcome == FAILED)
    due_us = np.where(is_caught, final_us, settled_of_records(ledger, terms)[work.record[ended]])
    is_final = final_us >= 0
    fate = np.where(is_caught, EXPIRED, CLOSED)
    fate[~is_final | (due_us > horizon_us)] = STILL_OPEN
    due_us = np.where(is_final, due_us, horizon_us)
    claim = _part(UNPAID, work, ended, work.end_us[ended], due_us, price[ended], fate)
    if not ledger.has_escrow:
        return [claim]
    locked = np.flatnonzero(price > 0)
    until_us = np.minimum(work.end_us[locked], horizon_us)
    fate = np.where(work.end_us[locked] <= horizon_us, CLOSED, STILL_OPEN)
    since_us = work.left_us[locked]
    lock = _part(UNDELIVERED, work, locked, since_us, until_us, price[locked], fate)
    whole = [claim, lock, _bounced(ledger), _on_its_way(ledger)]
    return whole if ledger.rail.is_on == 0 else [*whole, _going_back(ledger, work)]


def _part(
    kind: int,
    work: Executions,
    chosen: Integers,
    opened_us: Integers,
    ended_us: Integers,
    amount: Integers,
    fate: Integers,
) -> Part:
    return Part(
        kind=kind,
        stage=work.stage[chosen],
        region=work.region[chosen],
        fate=fate,
        is_interest=~work.is_first[chosen],
        opened_us=opened_us,
        ended_us=ended_us,
        amount=amount,
        usd_per_unit=np.zeros(len(chosen)),
    )


def _on_its_way(ledger: Ledger) -> Part:
    """List what is locked for commands that had not landed by the horizon."""
    row = ledger.stage
    bound = (row["unit"] >= 0) & (row["record"] < 0) & (row["status"] == ACTIVE)
    stage = np.flatnonzero(bound & (row["escrow_us"] <= ledger.horizon_us))
    return Part(
        kind=UNDELIVERED,
        stage=stage,
        region=ledger.unit["region"][row["unit"][stage]],
        fate=np.full(len(stage), STILL_OPEN),
        is_interest=row["attempt"][stage] > 0,
        opened_us=row["escrow_us"][stage],
        ended_us=np.full(len(stage), ledger.horizon_us),
        amount=row["payment_micro_usd"][stage],
        usd_per_unit=np.zeros(len(stage)),
    )


def _going_back(ledger: Ledger, work: Executions) -> Part:
    """List prices that are on their way back to buyers: paid, and nothing came of it."""
    price = ledger.record["payment_micro_usd"][work.record]
    back_us = returns_of(ledger).refund_us[work.record]
    chosen = np.flatnonzero((back_us >= 0) & (price > 0))
    back_us, final_us = back_us[chosen], ledger.record["final_us"][work.record[chosen]]
    fate = np.where(back_us <= ledger.horizon_us, CLOSED, STILL_OPEN)
    until_us = np.minimum(back_us, ledger.horizon_us)
    return _part(UNDELIVERED, work, chosen, final_us, until_us, price[chosen], fate)


def _bounced(ledger: Ledger) -> Part:
    """List the locks of commands that bounced: nothing was delivered for them."""
    lock, back_us = ledger.lock, ledger.lock["freed_us"]
    if ledger.rail.is_on == 1:
        back_us = returns_of(ledger).lock_us
    is_back = back_us <= ledger.horizon_us
    return Part(
        kind=UNDELIVERED,
        stage=lock["stage"],
        region=ledger.stage_fact["origin"][lock["stage"]],
        fate=np.where(is_back, IN_VAIN, STILL_OPEN),
        is_interest=np.ones(len(lock), bool),
        opened_us=lock["locked_us"],
        ended_us=np.minimum(back_us, ledger.horizon_us),
        amount=lock["amount_micro_usd"],
        usd_per_unit=np.zeros(len(lock)),
    )
