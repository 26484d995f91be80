"""Obligations that records show: against postings, stage time and occupancy, and by brute force."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings

from hanse.market.accounts.debt_accounts import METERED, PricedAccount, shown_path
from hanse.market.accounts.debt_breakdown import DIMENSIONS
from hanse.market.accounts.money import ESCROW as ESCROW_ACCOUNT
from hanse.market.accounts.obligations import (
    APPROVAL,
    CLOSED,
    EXPIRED,
    IN_VAIN,
    N_KINDS,
    REBUILD,
    REPLICA,
    STILL_OPEN,
    UNDELIVERED,
    UNPAID,
)
from hanse.market.accounts.occupancy import C
from hanse.market.engine.columns import N_DEBT_BINS
from hanse.market.engine.states import ACTIVE, CAUGHT, CONTEXT, ON_AUTHORITY, ON_STATE, OPEN
from hanse.market.regime import AUDITED_MARKET, Regime, ladder
from hanse.market.units import US_PER_S
from hanse.scenarios.measuring.debt_by import debt_by
from tests.strategies import (
    HUB,
    Finished,
    SmallWorld,
    cheating_worlds,
    finish,
    finished,
    small_worlds,
    with_jobs,
    world_of,
)
from tests.test_debt_of_crossings_by_hand import ESCROW
from tests.test_debt_of_crossings_by_hand import run as crossing_run

PAID = (CLOSED, IN_VAIN)
REGIMES = (ladder[0].regime, ladder[4].regime, AUDITED_MARKET)


def runs_of(small: SmallWorld) -> list[Finished]:
    return [finished(small, regime) for regime in REGIMES]


def shown_accounts(run: Finished) -> list[tuple[int, PricedAccount]]:
    """Pair each account of what records show with its kind."""
    n_families = len(run.world.workload.family)
    accounts = run.measured.debt[len(METERED) * n_families :]
    return [(k // n_families, account) for k, account in enumerate(accounts)]


def rows_of(run: Finished, kind: int, family: int) -> list[dict[str, int]]:
    """List the rows of a kind and a family, as plain numbers."""
    rows = run.measured.obligations
    of_family = run.ledger.stage_fact["family"][rows.stage]
    names = ("fate", "is_interest", "opened_us", "ended_us", "paid_us", "amount")
    return [
        {name: int(getattr(rows, name)[k]) for name in names}
        for k in np.flatnonzero((rows.kind == kind) & (of_family == family))
    ]


def integral_us2(steps: list[tuple[int, int, float]], horizon_us: int) -> float:
    """Integrate over time what is owed from one instant to another, walking from event to event."""
    change: defaultdict[int, float] = defaultdict(float)
    for from_us, to_us, amount in steps:
        change[from_us] += amount
        change[to_us] -= amount
    area, stock, before = 0.0, 0.0, 0
    for instant in sorted(change):
        area += stock * (min(instant, horizon_us) - min(before, horizon_us))
        stock, before = stock + change[instant], instant
    return area


@settings(max_examples=40)
@given(small=cheating_worlds())
def test_what_accrues_and_its_interest_is_paid_or_defaults(small: SmallWorld) -> None:
    for run in runs_of(small):
        for kind, account in shown_accounts(run):
            rows = rows_of(run, kind, account.family)
            paid = sum(row["amount"] for row in rows if row["fate"] in PAID) / US_PER_S
            assert account.paydown == pytest.approx(paid, rel=1e-12)
            assert account.accrual + account.interest == pytest.approx(
                account.paydown + account.default, rel=1e-12, abs=1e-15
            )
            fates = [row["fate"] for row in rows if row["fate"] != IN_VAIN]
            assert account.count == len(fates)
            assert account.expired_count == fates.count(EXPIRED)
            assert account.open_count == fates.count(STILL_OPEN)


@settings(max_examples=40)
@given(small=cheating_worlds())
def test_the_mean_stock_is_the_integral_over_events(small: SmallWorld) -> None:
    for run in runs_of(small):
        horizon_us = run.ledger.horizon_us
        for kind, account in shown_accounts(run):
            rows = rows_of(run, kind, account.family)
            n_closed = sum(row["fate"] == CLOSED for row in rows)
            paid = sum(row["amount"] for row in rows if row["fate"] in PAID)
            mean = paid / n_closed if n_closed else 0.0
            settled, still = [], []
            for row in rows:
                is_paid = row["fate"] in PAID
                size = row["amount"] if is_paid or kind >= UNPAID else mean
                until_us = row["paid_us"] if is_paid else row["ended_us"]
                target = still if row["fate"] == STILL_OPEN else settled
                target.append((row["opened_us"], until_us, size))
            for steps, found in (
                (settled, account.mean_stock),
                (still, account.open_mean_stock),
            ):
                expected = integral_us2(steps, horizon_us) / horizon_us / US_PER_S
                assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


@settings(max_examples=40)
@given(small=small_worlds())
def test_little_s_identity_holds_for_the_stock(small: SmallWorld) -> None:
    for run in runs_of(small):
        shown, horizon_us = run.measured.obligations, run.ledger.horizon_us
        path = shown_path(shown, horizon_us)
        for kind in range(N_KINDS):
            rows = (shown.kind == kind) & (shown.fate == CLOSED)
            if (
                kind < UNPAID
                and rows.any()
                and not (shown.fate[shown.kind == kind] != CLOSED).any()
            ):
                rate = rows.sum() / horizon_us
                size_age = shown.amount[rows] * (shown.paid_us[rows] - shown.opened_us[rows])
                stock = sum(a.mean_stock for k, a in shown_accounts(run) if k == kind)
                assert stock * US_PER_S == pytest.approx(rate * size_age.mean(), rel=1e-9)
            assert path[kind].min() >= 0


@settings(max_examples=40)
@given(small=small_worlds())
def test_the_path_is_what_had_accrued_and_was_not_paid(small: SmallWorld) -> None:
    for run in runs_of(small):
        shown, horizon_us = run.measured.obligations, run.ledger.horizon_us
        path = shown_path(shown, horizon_us)
        edge = np.arange(N_DEBT_BINS + 1)[:, None] * horizon_us
        for kind in range(N_KINDS):
            rows = (shown.kind == kind) & ((shown.amount > 0) | (shown.fate == CLOSED))
            owed = shown.opened_us[rows] * N_DEBT_BINS < edge
            paid = shown.paid_us[rows] * N_DEBT_BINS < edge
            stock = ((owed & ~paid) * shown.amount[rows]).sum(axis=1) / US_PER_S
            assert path[kind].tolist() == pytest.approx(stock.tolist(), abs=1e-12)


@settings(max_examples=60)
@given(small=small_worlds())
def test_every_crossing_that_ended_is_in_the_ledger_of_stages(small: SmallWorld) -> None:
    for run in runs_of(small):
        shown, ledger = run.measured.obligations, run.ledger
        for kind, state in ((REPLICA, ON_STATE), (APPROVAL, ON_AUTHORITY)):
            rows = shown.kind == kind
            paid_us = np.zeros(len(ledger.stage), np.int64)
            np.add.at(paid_us, shown.stage[rows], shown.amount[rows])
            is_open = np.zeros(len(ledger.stage), bool)
            is_open[shown.stage[rows & (shown.fate == STILL_OPEN)]] = True
            is_open |= (ledger.stage["unit"] >= 0) & (ledger.stage["record"] < 0)
            known = ~is_open & (ledger.stage["redos"] == 0) & (ledger.stage["epoch"] == 0)
            assert (paid_us[known] == ledger.time_us[known, state]).all()


@settings(max_examples=60)
@given(small=cheating_worlds())
def test_rebuilds_that_ended_are_those_that_units_spent_time_on(small: SmallWorld) -> None:
    for run in runs_of(small):
        shown, ledger = run.measured.obligations, run.ledger
        ended_us = 0
        for record in run.work:
            held = sum(
                int(record[name])
                for name in ("identity_us", "policy_us", "state_us", "authority_us", "transfer_us")
            )
            done_us = int(record["accepted_us"]) + held + int(record["context_us"])
            ended_us += int(record["context_us"]) if done_us <= ledger.horizon_us else 0
        rows = shown.kind == REBUILD
        assert shown.amount[rows].sum() == ended_us
        chosen = (run.measured.occupancy.label == C) & (run.measured.occupancy.operation == CONTEXT)
        assert shown.amount[rows].sum() <= run.measured.occupancy.unit_us[chosen].sum()
        assert (shown.opened_us[rows] <= shown.paid_us[rows]).all()


@settings(max_examples=60)
@given(small=cheating_worlds())
def test_money_in_escrow_is_owed_to_somebody_at_every_instant(small: SmallWorld) -> None:
    run = finished(small, AUDITED_MARKET)
    posted, ledger = run.measured.postings, run.ledger
    out = [
        (at_us, ledger.horizon_us, float(amount * sign))
        for account, sign in ((posted.credit, 1), (posted.debit, -1))
        for at_us, amount, holder in zip(
            posted.at_us.tolist(), posted.amount_micro_usd.tolist(), account.tolist(), strict=True
        )
        if holder == ESCROW_ACCOUNT and at_us <= ledger.horizon_us
    ]
    # What is locked for commands on their way is not posted before they land.
    row = ledger.stage
    bound = (row["unit"] >= 0) & (row["record"] < 0) & (row["status"] == ACTIVE)
    out += [
        (int(stage["escrow_us"]), ledger.horizon_us, float(stage["payment_micro_usd"]))
        for stage in row[bound & (row["escrow_us"] <= ledger.horizon_us)]
    ]
    owed = sum(
        account.mean_stock + account.open_mean_stock
        for kind, account in shown_accounts(run)
        if kind in (UNPAID, UNDELIVERED)
    )
    balance = integral_us2(out, ledger.horizon_us) / ledger.horizon_us / US_PER_S
    assert owed == pytest.approx(balance, rel=1e-9, abs=1e-12)


@settings(max_examples=40)
@given(small=small_worlds())
def test_an_invoice_is_owed_from_the_end_of_work_until_the_lag_is_over(small: SmallWorld) -> None:
    run = finished(small, REGIMES[0])
    steps = []
    for record in run.work:
        if record["outcome"] != OPEN and record["outcome"] != CAUGHT:
            final_us = int(record["final_us"])
            until_us = final_us + run.world.terms.invoice_lag_us
            until_us = until_us if final_us >= 0 else run.ledger.horizon_us
            steps.append((int(record["end_us"]), until_us, float(record["payment_micro_usd"])))
    expected = integral_us2(steps, run.ledger.horizon_us) / run.ledger.horizon_us / US_PER_S
    owed = sum(a.mean_stock + a.open_mean_stock for k, a in shown_accounts(run) if k == UNPAID)
    assert owed == pytest.approx(expected, rel=1e-9, abs=1e-12)


def evicted(patience_s: float, regime: Regime = HUB) -> PricedAccount:
    """Run two jobs of two stages on one unit that forgets at once, and a long one in between."""
    world = world_of(
        arrival_s=[1.0, 2.0],
        work_s=[10.0, 2.0, 30.0, 2.0],
        stage_job=[0, 0, 1, 1],
        units=[0],
        patience_s=patience_s,
        context_tokens_per_gpu_s=1_000.0,
    )
    world = with_jobs(
        world,
        stage_context_tokens=np.array([0, 3_000, 0, 1_000]),
        stage_tool_us=np.array([0, 0, 0, US_PER_S]),
    )
    return next(a for k, a in shown_accounts(finish(world, regime)) if k == REBUILD)


def test_a_context_is_owed_from_readiness_until_it_is_rebuilt() -> None:
    # Ready at 11 and at 42; the first waits for the unit until 41, and is rebuilt until 44, paid
    # as if at 42.5; the second is served at 46, rebuilt until 47, paid as if at 46.5.
    account = evicted(1e6)
    assert (account.count, account.open_count, account.expired_count) == (2, 0, 0)
    assert (account.accrual, account.interest, account.default) == (4.0, 0.0, 0.0)
    assert account.mean_stock == pytest.approx((3.0 * 31.5 + 1.0 * 4.5) / 100.0, rel=1e-6)


def test_a_request_that_expires_defaults_on_its_context_at_the_class_mean() -> None:
    # The first expires at 44, too late to end at 46; the second is rebuilt from 42 until 43.
    account = evicted(43.0)
    assert (account.count, account.open_count, account.expired_count) == (2, 0, 1)
    assert (account.paydown, account.default, account.accrual) == (1.0, 1.0, 2.0)


@settings(max_examples=60)
@given(small=cheating_worlds())
def test_each_dimension_of_a_breakdown_sums_to_the_accounts(small: SmallWorld) -> None:
    for run in runs_of(small):
        table = debt_by(run.measured)
        assert (table["paid"] > 0).all()
        for account in run.measured.debt:
            of_account = table["family"] == run.measured.families[account.family]
            of_account &= table["resource"] == account.resource
            of_account &= table["obligation"] == account.obligation
            for dimension in DIMENSIONS:
                rows = of_account & (table["dimension"] == dimension)
                assert int(table["paid"][rows].sum()) == round(account.paydown * US_PER_S)


def test_a_breakdown_names_who_paid_where_and_why() -> None:
    rows = debt_by(crossing_run(ESCROW).measured)
    here = rows["obligation"] == "pending approval"
    listed = set(
        zip(*(rows[name][here].tolist() for name in ("dimension", "member", "paid")), strict=True)
    )
    assert listed == {
        ("operation", "authority", 1_200_000),
        ("cause", "jurisdiction", 1_200_000),
        ("region", "region-1", 1_200_000),
        ("jurisdiction", "region-1", 1_200_000),
        ("buyer", "buyer-0", 1_200_000),
    }
