"""A job that crosses, and what is owed for it: the second run of docs/reference/debt-by-hand.md."""

from dataclasses import replace

import numpy as np
import pytest

from hanse.agents.world import World
from hanse.market.accounts.debt_accounts import PricedAccount, shown_path
from hanse.market.accounts.obligations import APPROVAL, REPLICA, UNPAID
from hanse.market.engine.columns import N_DEBT_BINS
from hanse.market.jurisdictions import RESIDENT, UNRESTRICTED
from hanse.market.regime import CENTRAL, Ranking, Regime, Settlement
from hanse.market.units import S_PER_YEAR, US_PER_S
from hanse.scenarios.selftest.oracle_worlds import (
    FREE_CROSSINGS,
    FREE_TERMS,
    plain_workload,
    plain_world,
)
from tests.strategies import Finished, finish

HORIZON_S = 40
INVOICE = replace(CENTRAL, ranking=Ranking.FIFO)
ESCROW = replace(INVOICE, settlement=Settlement.ESCROW)

# A unit costs, and is posted at, a thousandth of a dollar per second; capital 1e-5 per second.
USD_PER_S = 1e-3
RATE_PER_S = 1e-5


def crossing_job(*, holds: bool) -> World:
    """Build X, of two stages, and Y, which law binds to the first region and takes its unit."""
    terms = replace(
        FREE_TERMS,
        control_cores=10.0,
        receipt_verify_us=500_000.0,
        hardware_usd_per_gpu_hour=3.6,
        capital_rate_per_year=RATE_PER_S * S_PER_YEAR,
        invoice_lag_us=10 * US_PER_S,
        context_tokens_per_gpu_s=1_000.0,
    )
    crossing = replace(
        FREE_CROSSINGS,
        commit_us=50_000.0,
        authority_round_trips=1.0,
        approval_us=1_000_000,
        round_trip_scale=1.0,
    )
    work = plain_workload(
        np.array([1, 2]) * US_PER_S,
        np.array([10, 5, 100]) * US_PER_S,
        stage_job=np.array([0, 0, 1]),
    )
    work = replace(
        work,
        job_data_class=np.array([UNRESTRICTED, RESIDENT]),
        stage_input_bytes=np.array([0, 125_000_000, 0]),
        stage_context_tokens=np.array([0, 500, 0]),
        stage_holds=np.full(3, holds),
    )
    world = plain_world(
        work,
        n_nodes=2,
        n_regions=2,
        rtt_ms=200.0,
        horizon_us=HORIZON_S * US_PER_S,
        terms=terms,
        crossing=crossing,
    )
    posted = np.full(2, 3.6)
    return replace(world, fleet=replace(world.fleet, node_posted_usd_per_gpu_hour=posted))


def run(regime: Regime, *, holds: bool = True) -> Finished:
    """Run the job that crosses."""
    return finish(crossing_job(holds=holds), regime)


def account(run: Finished, obligation: str) -> PricedAccount:
    """Find one account of the only family."""
    (found,) = [a for a in run.measured.debt if a.obligation == obligation and a.resource != "core"]
    return found


@pytest.mark.parametrize("regime", [INVOICE, ESCROW], ids=["invoice", "escrow"])
def test_the_crossing_happens_when_the_page_says(regime: Regime) -> None:
    record = run(regime).ledger.record
    names = ("accepted_us", "identity_us", "state_us", "authority_us", "transfer_us")
    row = record[record["stage"] == 1][0]
    assert [int(row[name]) for name in names] == [11_000_500, 200_000, 250_000, 1_200_000, 100_000]
    assert (row["context_us"], row["end_us"], row["final_us"]) == (500_000, 18_250_500, 18_750_500)
    final = [record["final_us"][record["stage"] == stage][0] for stage in (0, 2)]
    assert final == [11_500_000, -1]


@pytest.mark.parametrize("regime", [INVOICE, ESCROW], ids=["invoice", "escrow"])
def test_the_work_that_a_crossing_owes_is_that_of_the_hand(regime: Regime) -> None:
    its = run(regime)
    for obligation, size_s, age_s in (
        ("divergent replica", 0.25, 0.325),
        ("pending approval", 1.2, 1.05),
        ("evicted context", 0.5, 2.0),
    ):
        found = account(its, obligation)
        assert (found.count, found.expired_count, found.open_count) == (1, 0, 0)
        assert (found.interest, found.default, found.open_mean_stock) == (0.0, 0.0, 0.0)
        assert found.accrual == found.paydown == pytest.approx(size_s)
        assert found.mean_stock == pytest.approx(size_s * age_s / HORIZON_S)
        worth_usd = size_s * USD_PER_S * age_s / HORIZON_S
        assert found.mean_stock_usd == pytest.approx(worth_usd)


def test_invoices_are_owed_from_delivery_until_the_lag_is_over() -> None:
    found = account(run(INVOICE), "unpaid delivery")
    assert (found.count, found.expired_count, found.open_count) == (2, 0, 0)
    assert found.accrual == found.paydown == pytest.approx(0.010 + 0.00725)
    # 10 s of lag, and half a second until the receipt has been checked.
    assert found.mean_stock == pytest.approx(0.01725 * 10.5 / HORIZON_S)
    # Capital is paid evenly: on average for half the time.
    worth_usd = 0.01725 * RATE_PER_S * 10.5 * 5.25 / HORIZON_S
    assert found.mean_stock_usd == pytest.approx(worth_usd)
    assert account(run(INVOICE), "undelivered payment").count == 0


def test_escrow_is_owed_from_the_lock_until_delivery_and_from_then_to_finality() -> None:
    its = run(ESCROW)
    lock, claim = account(its, "undelivered payment"), account(its, "unpaid delivery")
    assert (lock.count, lock.open_count) == (3, 1)
    assert lock.accrual == lock.paydown == pytest.approx(0.01725)
    assert lock.mean_stock == pytest.approx((0.010 * 10.0 + 0.00725 * 7.25) / HORIZON_S)
    # Y has locked 10 cents at 11 s, and is not done at 40 s.
    assert lock.open_at_horizon_class_mean == pytest.approx(0.1)
    assert lock.open_mean_stock == pytest.approx(0.1 * 29.0 / HORIZON_S)
    assert claim.accrual == claim.paydown == pytest.approx(0.01725)
    assert claim.mean_stock == pytest.approx(0.01725 * 0.5 / HORIZON_S)


def test_the_stock_at_twelve_seconds_is_what_is_paid_later() -> None:
    its = run(INVOICE)
    stock = shown_path(its.measured.obligations, its.ledger.horizon_us)
    edge = 12 * N_DEBT_BINS // HORIZON_S
    # The replica is there since 11.3255 s; the approval counts as given at 12.0505 s.
    assert stock[:, edge].tolist() == pytest.approx([0.0, 1.2, 0.5, 0.010, 0.0])


def test_a_released_unit_leaves_the_same_work_owed_and_takes_nothing_for_it() -> None:
    held, released = (run(INVOICE, holds=holds).measured.obligations for holds in (True, False))
    for kind in (REPLICA, APPROVAL):
        for name in ("opened_us", "ended_us", "paid_us", "amount", "fate"):
            one, other = (
                getattr(rows, name)[rows.kind == kind].tolist() for rows in (held, released)
            )
            assert one == other
        assert held.usd[held.kind == kind].all()
        assert not released.usd[released.kind == kind].any()
    # The unit is occupied for rebuild and work alone.
    assert sorted(released.amount[released.kind == UNPAID].tolist()) == [5_500, 10_000]
