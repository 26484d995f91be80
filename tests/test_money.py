"""The ledger of money: every posting of worlds small enough to book by hand."""

from dataclasses import replace

import numpy as np

from hanse.agents.world import World
from hanse.market.accounts.money import ACCOUNTS, ESCROW, KINDS, OWNER, STAKE, TREASURY, VERIFIER
from hanse.market.regime import Audits, Cadence, Pricing, Regime, Rule, Settlement
from hanse.market.units import US_PER_S
from tests.strategies import (
    AUDITED,
    HUB,
    VENUES,
    Finished,
    finish,
    with_audits,
    with_fleet,
    with_luck,
    world_of,
)

ESCROWED = replace(HUB, settlement=Settlement.ESCROW)
LOCATIONAL = replace(HUB, rule=Rule.WELFARE, pricing=Pricing.LOCATIONAL)
AT_INTERVAL = Cadence.AT_INTERVAL
Booking = tuple[float, str, str, str, int]


def bookings(run: Finished) -> list[Booking]:
    """Return (seconds, kind, debit, credit, micro-dollars) of each posting, in order of posting."""
    postings = run.measured.postings
    return [
        (
            round(int(postings.at_us[k]) / US_PER_S, 3),
            KINDS[postings.kind[k]],
            ACCOUNTS[postings.debit[k]],
            ACCOUNTS[postings.credit[k]],
            int(postings.amount_micro_usd[k]),
        )
        for k in range(len(postings.at_us))
    ]


def booked(world: World, regime: Regime) -> list[Booking]:
    """Run a world and return its postings."""
    return bookings(finish(world, regime))


def test_an_invoice_is_posted_when_the_result_is_final() -> None:
    world = world_of(
        arrival_s=[1.0],
        work_s=[36.0],
        units=[0],
        receipt_verify_us=500_000.0,
        settlement_us=500_000.0,
    )
    # 36 s at 2 USD an hour are 20,000 micro-dollars; executed 1-37, checked until 37.5, settled 38.
    assert booked(world, HUB) == [(38.0, "invoice", "buyer", "owner", 20_000)]


def test_escrow_is_locked_before_dispatch_and_paid_out_at_finality() -> None:
    world = world_of(
        arrival_s=[1.0],
        work_s=[36.0],
        units=[0],
        one_way_s=0.5,
        control_delay_scale=1.0,
    )
    # Decided at 1.5, locked over a round trip at 2.5, landed at 3, ended at 39, receipt at 39.5.
    assert booked(world, ESCROWED) == [
        (2.5, "escrow lock", "buyer", "escrow", 20_000),
        (39.5, "payout", "escrow", "owner", 20_000),
    ]


def test_work_in_progress_leaves_its_price_in_escrow() -> None:
    run = finish(world_of(arrival_s=[90.0, 95.0], work_s=[36.0, 36.0], units=[0, 0]), ESCROWED)
    assert run.measured.postings.balances()[ESCROW, 0] == 40_000


def test_the_unit_of_each_owner_is_paid_at_its_own_price() -> None:
    world = world_of(arrival_s=[1.0, 2.0], work_s=[36.0, 36.0], units=[0, 0])
    world = with_fleet(
        world,
        node_owner=np.array([0, 1]),
        node_posted_usd_per_gpu_hour=np.array([3.0, 1.5]),
    )
    balances = finish(world, HUB).measured.postings.balances()
    # The first takes the cheaper unit: 1.5 USD/h x 36 s = 15,000; the second what is left, 30,000.
    assert {
        holder: amount for (account, holder), amount in balances.items() if account == OWNER
    } == {
        1: 15_000,
        0: 30_000,
    }


def test_a_locational_price_is_the_resource_cost_where_units_are_left_over() -> None:
    world = world_of(arrival_s=[1.0], work_s=[36.0], units=[0, 0])
    # Hardware at 1 USD/h and no energy: 36 s = 10,000 micro-dollars, whatever the owner posts.
    assert booked(world, LOCATIONAL) == [(37.0, "invoice", "buyer", "owner", 10_000)]


def test_a_locational_price_has_the_rent_of_a_unit_that_another_wanted() -> None:
    world = world_of(
        arrival_s=[1.0, 2.0],
        work_s=[36.0, 72.0],
        units=[0],
        clearing_interval_us=5 * US_PER_S,
        horizon_s=200.0,
        patience_s=60.0,
    )
    workload = replace(world.workload, job_value_usd=np.array([7.0, 4.0]))
    world, cleared = replace(world, workload=workload), replace(LOCATIONAL, cadence=AT_INTERVAL)
    # At 5 both want the unit; the loser could not end by 62 anyway, so that it bids nothing.
    assert booked(world, cleared) == [(41.0, "invoice", "buyer", "owner", 10_000)]
    patient = replace(workload, job_deadline_us=workload.job_deadline_us + 10**9)
    # Now it bids 4 - 0.02 = 3.98 USD: 10,000 of cost + 3,980,000 of rent. Its turn comes at 45.
    assert booked(replace(world, workload=patient), cleared) == [
        (41.0, "invoice", "buyer", "owner", 3_990_000),
        (117.0, "invoice", "buyer", "owner", 20_000),
    ]


def cheated() -> World:
    """Build a job of 36 s whose first execution is a cheat that its audit catches."""
    world = world_of(arrival_s=[0.0], work_s=[36.0], units=[0], horizon_s=200.0, stake_multiple=4.0)
    return with_luck(with_audits(world), temptation=[[0.0]], audit=[[0.0]])


def test_a_caught_cheat_pays_back_and_loses_its_stake_by_halves() -> None:
    audited = replace(ESCROWED, audits=Audits.RANDOM)
    # Price 20,000, stake 4 x 20,000; the audit, 36 s at 1 USD an hour, costs its buyer 10,000.
    assert booked(cheated(), audited) == [
        (0.0, "escrow lock", "buyer", "escrow", 20_000),
        (0.0, "stake lock", "owner", "stake", 80_000),
        (72.0, "escrow lock", "buyer", "escrow", 20_000),
        (72.0, "refund", "escrow", "buyer", 20_000),
        (72.0, "stake lock", "owner", "stake", 80_000),
        (72.0, "slash to treasury", "stake", "treasury", 40_000),
        (72.0, "slash to verifier", "stake", "verifier", 40_000),
        (72.0, "audit fee", "buyer", "verifier", 10_000),
        (108.0, "payout", "escrow", "owner", 20_000),
        (108.0, "stake release", "stake", "owner", 80_000),
    ]


def test_a_caught_cheat_is_not_invoiced() -> None:
    kinds = [booking[1] for booking in booked(cheated(), AUDITED)]
    assert kinds.count("invoice") == 1
    assert kinds.count("refund") == 0


def test_the_halves_of_an_odd_stake_add_up() -> None:
    world = cheated()
    world = with_fleet(world, node_posted_usd_per_gpu_hour=np.array([2.0001]))
    terms = replace(world.terms, stake_multiple=1.0)
    balances = finish(replace(world, terms=terms), AUDITED).measured.postings.balances()
    # 2.0001 USD/h x 36 s = 20,001 micro-dollars of stake; the fee of the audit is 10,000.
    assert balances[TREASURY, 0] + balances[VERIFIER, 0] - 10_000 == 20_001
    assert balances[STAKE, 0] == 0


def discarded() -> World:
    """Build a job whose second stage works from 36 to 144 on a result that is caught at 72."""
    world = world_of(
        arrival_s=[0.0],
        work_s=[36.0, 108.0],
        stage_job=[0, 0],
        units=[0, 0],
        horizon_s=400.0,
    )
    return with_luck(with_audits(world), temptation=[[0.0, 1.0]], audit=[[0.0, 1.0]])


def test_nothing_stays_in_trust_for_work_that_was_thrown_away() -> None:
    run = finish(discarded(), replace(ESCROWED, audits=Audits.RANDOM))
    balances = run.measured.postings.balances()
    assert (balances[ESCROW, 0], balances[STAKE, 0]) == (0, 0)


def test_a_command_that_bounces_has_locked_its_price_until_it_is_back() -> None:
    world = world_of(
        arrival_s=[1.0, 1.5],
        work_s=[36.0, 36.0],
        origin=[0, 1],
        units=[0, 1],
        n_regions=2,
        one_way_s=1.0,
        control_delay_scale=1.0,
    )
    world = with_fleet(world, node_posted_usd_per_gpu_hour=np.array([1.0, 3.0]))
    run = finish(world, replace(VENUES, settlement=Settlement.ESCROW))
    assert run.ledger.n_bounces == 1
    kinds = [booking[1] for booking in bookings(run)]
    assert (kinds.count("escrow lock"), kinds.count("refund"), kinds.count("payout")) == (3, 1, 2)
