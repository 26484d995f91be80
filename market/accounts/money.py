"""The ledger of money: double entry, in whole micro-dollars; money is moved, never made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.market.accounts.ledger import Ledger
from hanse.market.accounts.payments import (
    NO_COINS,
    EscrowLosses,
    Payments,
    escrow_losses,
    payments_of,
    returns_of,
    rows_taken_back,
    taken_back,
)
from hanse.market.engine.egress import BILLED
from hanse.market.engine.states import AUDIT, CAUGHT, FAILED
from hanse.market.terms import Terms
from hanse.market.units import MICRO_USD_PER_USD, Floats, Integers
from hanse.verification.incentives import slash

ACCOUNTS: Final = (
    "buyer",
    "owner",
    "verifier",
    "escrow",
    "stake",
    "treasury",
    "in transit",
    "rail",
    "thief",
)
BUYER, OWNER, VERIFIER, ESCROW, STAKE, TREASURY, IN_TRANSIT, RAIL, THIEF = range(len(ACCOUNTS))

KINDS: Final = (
    "invoice",
    "escrow lock",
    "payout",
    "refund",
    "stake lock",
    "stake release",
    "slash to treasury",
    "slash to verifier",
    "audit fee",
    "settlement",
    "rail fee",
    "chargeback",
    "egress",
    "escrow loss",
)
INVOICE, LOCK, PAYOUT, REFUND, STAKE_LOCK, STAKE_RELEASE, TO_TREASURY, TO_VERIFIER, FEE = range(9)
SETTLED, RAIL_FEE, CHARGEBACK, EGRESS, LOSS = range(9, len(KINDS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Postings:
    """Transfers, one row each, in order of time: amount leaves debit and enters credit.

    Attributes
    ----------
    debit, credit : type of account, index into `ACCOUNTS`.
    debit_holder, credit_holder : whose account; 0 for the common ones.
    amount_micro_usd : >= 0.
    """

    at_us: Integers
    kind: Integers
    debit: Integers
    debit_holder: Integers
    credit: Integers
    credit_holder: Integers
    amount_micro_usd: Integers

    def balances(self) -> dict[tuple[int, int], int]:
        """Return the balance of each account that was touched; they sum to zero, exactly."""
        balance: dict[tuple[int, int], int] = {}
        entries = zip(
            self.debit.tolist(),
            self.debit_holder.tolist(),
            self.credit.tolist(),
            self.credit_holder.tolist(),
            self.amount_micro_usd.tolist(),
            strict=True,
        )
        for debit, debit_holder, credit, credit_holder, amount in entries:
            balance[debit, debit_holder] = balance.get((debit, debit_holder), 0) - amount
            balance[credit, credit_holder] = balance.get((credit, credit_holder), 0) + amount
        assert sum(balance.values()) == 0, "money was made or lost"
        return balance


_NEEDED: Final = (
    "stage",
    "unit",
    "outcome",
    "accepted_us",
    "final_us",
    "escrow_us",
    "payment_micro_usd",
)


def post(
    ledger: Ledger, terms: Terms, *, verifier: Integers, chargeback_coin: Floats = NO_COINS
) -> Postings:
    """Post every transfer of a run up to the horizon.

    Invoices are posted when the result is final; that they are paid only after the lag is a cost of
    capital, not a transfer. Over a rail what is due, or goes back, is in transit until it is
    settled.

    Parameters
    ----------
    verifier : shape (n_stages,), who audits each stage.
    chargeback_coin : shape (n_stages,), in [0, 1); of no length where no payment is taken back.
    """
    record = ledger.record
    work = ledger.work
    rows = {name: record[name][work] for name in _NEEDED}
    buyer = ledger.stage_fact["buyer"][rows["stage"]]
    owner = ledger.offer["owner"][ledger.unit["offer"][rows["unit"]]]
    is_final = (rows["final_us"] >= 0) & (rows["final_us"] <= ledger.horizon_us)
    caught = is_final & (rows["outcome"] == CAUGHT)
    failed = is_final & (rows["outcome"] == FAILED)
    passed = is_final & ~caught & ~failed
    price, at_us = rows["payment_micro_usd"], rows["final_us"]
    book, payee = _Journal(), _over_rail(ledger, OWNER, owner)
    if ledger.has_escrow:
        book.add(rows["escrow_us"], LOCK, (BUYER, buyer), (ESCROW, 0), price)
        lost = escrow_losses(ledger, terms)
        left = price - lost.of_record[work]
        book.add(at_us, PAYOUT, (ESCROW, 0), payee, left, passed)
        refunded = _over_rail(ledger, BUYER, buyer)
        book.add(at_us, REFUND, (ESCROW, 0), refunded, left, caught | failed)
        _post_bounced(book, ledger, lost.of_lock)
        _post_losses(book, terms, lost)
    else:
        book.add(at_us, INVOICE, (BUYER, buyer), payee, price, passed)
    if ledger.rail.is_on == 1:
        _post_rail(book, ledger, payments_of(ledger, terms), chargeback_coin)
    if ledger.has_stakes:
        stake = np.rint(terms.stake_multiple * price).astype(np.int64)
        freed = _over_rail(ledger, OWNER, owner)
        checker = verifier[rows["stage"]]
        _post_stakes(book, rows, stake, owner, checker, freed, passed | failed, caught)
        _post_fees(book, ledger, verifier)
    if ledger.rail.is_on == 1:
        _post_returns(book, ledger, terms, owner=owner, buyer=buyer, price=price)
    _post_egress(book, ledger)
    return book.close()


def _over_rail(ledger: Ledger, account: int, holder: Integers) -> tuple[int, Integers]:
    """Return where money goes that is for somebody: into transit, where a rail carries it."""
    return (IN_TRANSIT, np.zeros_like(holder)) if ledger.rail.is_on == 1 else (account, holder)


class _Journal:
    """Postings as they are written down, before they are sorted by time."""

    def __init__(self) -> None:
        self._parts: list[list[Integers | int]] = []
        self._n_rows: list[int] = []

    def add(
        self,
        at_us: Integers,
        kind: int,
        debit: tuple[int, Integers | int],
        credit: tuple[int, Integers | int],
        amount: Integers,
        where: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] | None = None,
    ) -> None:
        """Write down one kind of transfer for the rows where it happens."""
        chosen = np.arange(len(at_us)) if where is None else np.flatnonzero(where)
        columns = (at_us, kind, *debit, *credit, amount)
        self._n_rows.append(len(chosen))
        self._parts.append(
            [column if isinstance(column, int) else column[chosen] for column in columns]
        )

    def close(self) -> Postings:
        """Return all postings in order of time, then of writing."""
        at_us = self._next_column()
        order = np.argsort(at_us, kind="stable")
        at_us = at_us[order]
        kind, debit, debit_holder, credit, credit_holder, amount = (
            self._next_column()[order] for _ in range(6)
        )
        assert (amount >= 0).all(), "a posting must not be negative"
        return Postings(
            at_us=at_us,
            kind=kind,
            debit=debit,
            debit_holder=debit_holder,
            credit=credit,
            credit_holder=credit_holder,
            amount_micro_usd=amount,
        )

    def _next_column(self) -> Integers:
        """Take the next column of all parts: one at a time, so that memory holds few twice."""
        whole = np.empty(sum(self._n_rows), np.int64)
        first = 0
        for part, n_rows in zip(self._parts, self._n_rows, strict=True):
            whole[first : first + n_rows] = part.pop(0)
            first += n_rows
        return whole


def _post_losses(book: _Journal, terms: Terms, lost: EscrowLosses) -> None:
    """Let what was lost leave escrow."""
    for amount in (lost.of_record, lost.of_lock):
        at_us = np.full(len(amount), terms.settlement.escrow_loss_us)
        book.add(at_us, LOSS, (ESCROW, 0), (THIEF, 0), amount, amount > 0)


def _post_bounced(book: _Journal, ledger: Ledger, lost: Integers) -> None:
    """Lock the price of commands that bounced, and give it back once their planes know."""
    lock = ledger.lock
    buyer, amount = ledger.stage_fact["buyer"][lock["stage"]], lock["amount_micro_usd"]
    is_back = lock["freed_us"] <= ledger.horizon_us
    book.add(lock["locked_us"], LOCK, (BUYER, buyer), (ESCROW, 0), amount)
    refunded = _over_rail(ledger, BUYER, buyer)
    book.add(lock["freed_us"], REFUND, (ESCROW, 0), refunded, amount - lost, is_back)


def _post_rail(book: _Journal, ledger: Ledger, paid: Payments, chargeback_coin: Floats) -> None:
    """Post what the rail settles, what it takes for it, and what payers take back."""
    rail, horizon_us = ledger.rail, ledger.horizon_us
    there = paid.is_owed & (paid.settled_us <= horizon_us)
    amount, owner = paid.amount_micro_usd, (OWNER, paid.owner)
    book.add(paid.settled_us, SETTLED, (IN_TRANSIT, 0), owner, amount, there)
    fee, is_taken = paid.fee_micro_usd, paid.transfer_us <= horizon_us
    payee = (OWNER, paid.transfer_payee)
    book.add(paid.transfer_us, RAIL_FEE, payee, (RAIL, 0), fee, is_taken)
    is_back = taken_back(paid, rail, chargeback_coin)
    back_us = paid.settled_us + rail.chargeback_us
    rows = rows_taken_back(paid, is_back) & (back_us <= horizon_us)
    book.add(back_us, CHARGEBACK, owner, (BUYER, paid.buyer), amount, rows)
    each = np.full(len(fee), round(rail.chargeback_fee_micro_usd * paid.part))
    back_us = paid.transfer_us + rail.chargeback_us
    book.add(back_us, RAIL_FEE, payee, (RAIL, 0), each, is_back & (back_us <= horizon_us))


def _post_returns(
    book: _Journal,
    ledger: Ledger,
    terms: Terms,
    *,
    owner: Integers,
    buyer: Integers,
    price: Integers,
) -> None:
    """Settle what goes back over the rail: refunds of prices and locks, and stakes."""
    back, horizon_us, work = returns_of(ledger), ledger.horizon_us, ledger.work

    def settle(at_us: Integers, payee: tuple[int, Integers], amount: Integers) -> None:
        there = (at_us >= 0) & (at_us <= horizon_us)
        book.add(at_us, SETTLED, (IN_TRANSIT, 0), payee, amount, there)

    if ledger.has_escrow:
        lost = escrow_losses(ledger, terms)
        settle(back.refund_us[work], (BUYER, buyer), price - lost.of_record[work])
        locker = ledger.stage_fact["buyer"][ledger.lock["stage"]]
        left = ledger.lock["amount_micro_usd"] - lost.of_lock
        settle(back.lock_us, (BUYER, locker), left)
    if ledger.has_stakes:
        stake = np.rint(terms.stake_multiple * price).astype(np.int64)
        settle(back.release_us[work], (OWNER, owner), stake)


def _post_stakes(
    book: _Journal,
    rows: Mapping[str, Integers],
    stake: Integers,
    owner: Integers,
    verifier: Integers,
    freed: tuple[int, Integers],
    passed: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    caught: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
) -> None:
    at_us = rows["final_us"]
    book.add(rows["accepted_us"], STAKE_LOCK, (OWNER, owner), (STAKE, 0), stake)
    book.add(at_us, STAKE_RELEASE, (STAKE, 0), freed, stake, passed)
    halves = [slash(int(amount)) for amount in stake[caught]]
    nobody = np.zeros(len(halves), np.int64)
    for kind, account, holder, part in (
        (TO_TREASURY, TREASURY, nobody, [half.treasury_micro_usd for half in halves]),
        (TO_VERIFIER, VERIFIER, verifier[caught], [half.verifier_micro_usd for half in halves]),
    ):
        book.add(at_us[caught], kind, (STAKE, 0), (account, holder), np.array(part, np.int64))


def _post_egress(book: _Journal, ledger: Ledger) -> None:
    """Bill buyers, at the horizon, for the bytes that left the owners who charge for them."""
    if ledger.egress_bill.size == 0:
        return
    bill = np.rint(ledger.egress_bill[BILLED] * MICRO_USD_PER_USD).astype(np.int64)
    buyer, owner = np.nonzero(bill)
    at_us = np.full(len(buyer), ledger.horizon_us)
    book.add(at_us, EGRESS, (BUYER, buyer), (OWNER, owner), bill[buyer, owner])


def _post_fees(book: _Journal, ledger: Ledger, verifier: Integers) -> None:
    """Let buyers pay their audits at resource cost, when they end."""
    record = ledger.record
    audits = record[(record["outcome"] == AUDIT) & (record["end_us"] <= ledger.horizon_us)]
    sink = ledger.unit["sink"][audits["unit"]]
    cost = ledger.sink["busy_usd_per_us"][sink] * audits["execution_us"] * MICRO_USD_PER_USD
    buyer = ledger.stage_fact["buyer"][audits["stage"]]
    fee = np.rint(cost).astype(np.int64)
    book.add(audits["end_us"], FEE, (BUYER, buyer), (VERIFIER, verifier[audits["stage"]]), fee)
