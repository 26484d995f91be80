"""Synchronization debt: what displaced units are blamed on, by hand; the stock, by brute force."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from hanse.agents.world import World
from hanse.market.accounts.sync_debt import DebtAccount, debt_path
from hanse.market.engine.columns import N_DEBT_BINS, Rows
from hanse.market.engine.debt_meter import AUDIT_WORK, CHECK, DECISION, OBLIGATION, RESOURCE
from hanse.market.engine.states import CAUSES, LAPSED, N_WAITING_STATES, OPERATIONS
from hanse.market.regime import AUDITED_MARKET, Cadence, Regime, ladder
from hanse.market.units import US_PER_S
from tests.strategies import (
    AUDITED,
    CLEARED,
    HUB,
    VENUES,
    Finished,
    SmallWorld,
    cheating_worlds,
    finish,
    finished,
    seconds,
    small_worlds,
    with_audits,
    with_fleet,
    with_jobs,
    with_luck,
    world_of,
)

KINDS = (DECISION, CHECK, AUDIT_WORK)


def each_second(world: World) -> World:
    """Look at displacement in the middle of each second, so that whole seconds are exact."""
    n_seconds = world.horizon_us // US_PER_S
    instant_us = np.arange(n_seconds) * US_PER_S + US_PER_S // 2
    return replace(world, sample_instant_us=instant_us)


def blamed_s(world: World, regime: Regime) -> dict[tuple[str, str], float]:
    """Return the cost in accelerator-seconds by operation and cause."""
    cost = finish(each_second(world), regime).measured.cost.displaced_gpu_s.sum(axis=(0, 3))
    return {
        (OPERATIONS[operation], CAUSES[cause]): float(cost[operation, cause])
        for operation, cause in np.argwhere(cost)
    }


def test_a_stage_that_is_served_for_ten_seconds_displaces_the_unit_that_idles() -> None:
    world = world_of(arrival_s=[5.0], work_s=[20.0], units=[0], service_posted_us=1e7)
    assert blamed_s(world, HUB) == {("routing", "service"): pytest.approx(10.0)}


def test_three_stages_displace_no_more_units_than_there_are() -> None:
    world = world_of(
        arrival_s=[5.0, 5.0, 5.0], work_s=[20.0, 20.0, 20.0], units=[0, 0], service_posted_us=1e7
    )
    # 5-15: one in service and two in the queue share 2 units; 15-25: one and one share the unit
    # left; 25-35: the last is served in vain; 35-45: it is served again while a unit idles.
    assert blamed_s(world, HUB) == {
        ("routing", "service"): pytest.approx(20.0 / 3.0 + 5.0 + 10.0),
        ("routing", "contention"): pytest.approx(40.0 / 3.0 + 5.0),
    }


def test_a_unit_that_idles_while_nobody_waits_costs_nothing() -> None:
    world = world_of(arrival_s=[5.0], work_s=[20.0], units=[0, 0])
    assert blamed_s(world, HUB) == {}


def test_waiting_for_a_clearing_is_friction_of_the_market() -> None:
    world = world_of(arrival_s=[5.0], work_s=[20.0], units=[0], clearing_interval_us=20 * US_PER_S)
    assert blamed_s(world, CLEARED) == {("routing", "market friction"): pytest.approx(15.0)}


def test_messages_on_the_way_are_distance() -> None:
    world = world_of(
        arrival_s=[5.0], work_s=[20.0], units=[0], one_way_s=4.0, control_delay_scale=1.0
    )
    # 4 s to the hub, 4 s to the unit; the 4 s of the delivery displace nothing.
    assert blamed_s(world, HUB) == {("routing", "distance"): pytest.approx(8.0)}


def test_a_view_that_is_too_old_to_show_a_free_unit_is_stale() -> None:
    world = world_of(arrival_s=[12.0], work_s=[20.0], units=[0], refresh_interval_us=30 * US_PER_S)
    world = with_fleet(world, node_free_from_us=seconds(10.0))
    # Free since 10, and seen so at 30: 18 s. (Requests and refreshes are instant.)
    assert blamed_s(world, HUB) == {("routing", "staleness"): pytest.approx(18.0)}


def test_a_bounce_is_staleness_until_the_next_command() -> None:
    world = world_of(
        arrival_s=[1.0, 2.0],
        work_s=[30.0, 10.0],
        origin=[0, 1],
        units=[0, 1],
        n_regions=2,
        one_way_s=4.0,
        control_delay_scale=1.0,
        control_cores=2.0,
        service_posted_us=2e6,
    )
    world = with_fleet(world, node_posted_usd_per_gpu_hour=np.array([1.0, 3.0]))
    # Job 0 is served 1-3 and runs on the cheap unit 0 from 3. Job 1, served 2-4, gets there at 8,
    # is back at 12, is served until 14 and runs next door: unit 1 idled all the time.
    # While both wait, each displaces one of the two units. All but half milliseconds:
    blamed = blamed_s(world, VENUES)
    assert blamed["routing", "service"] == pytest.approx(4.0)
    assert blamed["routing", "distance"] == pytest.approx(4.0)
    assert blamed["routing", "staleness"] == pytest.approx(6.0)


def test_a_held_unit_displaces_the_work_it_waits_for_and_is_blamed_on_the_data() -> None:
    world = world_of(arrival_s=[5.0], work_s=[20.0], units=[1], n_regions=2, one_way_s=1e-3)
    world = with_jobs(
        world, stage_input_bytes=np.array([12_500_000_000]), stage_holds=np.array([True])
    )
    assert blamed_s(world, HUB) == {("context", "distance"): pytest.approx(10.0)}


def test_work_that_is_not_worth_its_cost_any_more_displaces_nothing() -> None:
    world = world_of(
        arrival_s=[5.0], work_s=[20.0], units=[0], service_posted_us=6e7, patience_s=50.0
    )
    # In service for 60 s from 5; after 5 + 50 - 20 = 35 it could no longer end in time.
    assert blamed_s(world, HUB) == {("routing", "service"): pytest.approx(30.0)}


def test_a_unit_of_another_class_is_not_displaced() -> None:
    world = world_of(arrival_s=[5.0], work_s=[20.0], units=[0, 0])
    world = with_fleet(world, node_class=np.array([0, 1]), node_free_from_us=seconds(50.0, 0.0))
    fleet = replace(world.fleet, accelerator_class=("wanted", "other"))
    assert blamed_s(replace(world, fleet=fleet), HUB) == {}


def test_lost_work_and_audits_count_whole() -> None:
    world = with_audits(world_of(arrival_s=[0.0], work_s=[10.0], units=[0, 0]))
    world = with_luck(world, temptation=[[0.0]], audit=[[0.0]])
    assert blamed_s(world, AUDITED) == {
        ("verification", "strategic"): 10.0,
        ("verification", "verification"): 10.0,
    }


def test_the_sampled_displacement_is_within_its_standard_error() -> None:
    rng = np.random.default_rng(11)
    arrival_s = np.sort(rng.uniform(0.0, 90.0, 20)).tolist()
    world = world_of(
        arrival_s=arrival_s, work_s=[0.5] * 20, units=[0] * 20, service_posted_us=1.5e6
    )
    instant_us = np.arange(100) * US_PER_S + rng.integers(0, US_PER_S, 100)
    run = finish(replace(world, sample_instant_us=instant_us), HUB)
    # There is a unit for each, so that whatever time a request waits displaces one.
    waited_s = run.ledger.time_us[:, :N_WAITING_STATES].sum() / US_PER_S
    cost = run.measured.cost
    # A standard normal exceeds 3.29 once in a thousand.
    assert 0 < cost.displacement_se_gpu_s < waited_s / 5
    assert abs(cost.displacement_gpu_s.sum() - waited_s) < 3.29 * cost.displacement_se_gpu_s


def paid(run: Finished, kind: int, family: int | None = None) -> Rows:
    """Return the payments of one kind, of all families or one."""
    rows = run.payments[run.payments["kind"] == kind]
    if family is not None:
        rows = rows[run.ledger.stage_fact["family"][rows["stage"]] == family]
    chosen: Rows = rows
    return chosen


def account_of(run: Finished, kind: int, family: int) -> DebtAccount:
    """Return the account of one kind of obligation of one family."""
    (account,) = (
        account
        for k, account in enumerate(run.measured.debt)
        if account.family == family and k // run_families(run) == KINDS.index(kind)
    )
    return account


def run_families(run: Finished) -> int:
    return len(run.world.workload.family)


def stock_integral_us2(rows: Rows) -> int:
    """Integrate what was owed and unpaid over time, exactly, by walking from instant to instant."""
    change: defaultdict[int, int] = defaultdict(int)
    for row in rows:
        change[int(row["accrued_us"])] += int(row["amount_us"])
        change[int(row["paid_us"])] -= int(row["amount_us"])
    area, stock, before = 0, 0, 0
    for instant in sorted(change):
        area += stock * (instant - before)
        stock, before = stock + change[instant], instant
    assert stock == 0
    return area


def runs_of(small: SmallWorld) -> list[Finished]:
    """Run a small world under the two ends of the ladder and one in between."""
    return [
        finished(small, regime) for regime in (ladder[0].regime, ladder[4].regime, AUDITED_MARKET)
    ]


@settings(max_examples=40)
@given(small=small_worlds())
def test_totals_and_paths_are_those_of_the_log(small: SmallWorld) -> None:
    for run in runs_of(small):
        for kind in KINDS:
            rows, debt = paid(run, kind), run.ledger.debt
            assert debt.total_us[kind].sum() == rows["amount_us"].sum()
            interest = rows["amount_us"][rows["is_interest"] == 1].sum()
            assert debt.total_us[kind, :, 1].sum() == interest
            edge = np.arange(N_DEBT_BINS + 1)[:, None] * run.ledger.horizon_us
            is_owed = rows["accrued_us"] * N_DEBT_BINS < edge
            is_paid = rows["paid_us"] * N_DEBT_BINS < edge
            stock_us = ((is_owed & ~is_paid) * rows["amount_us"]).sum(axis=1)
            assert debt_path(run.ledger, kind).tolist() == (stock_us / US_PER_S).tolist()


@settings(max_examples=40)
@given(small=cheating_worlds())
def test_the_mean_stock_is_that_of_the_log_and_of_what_expired(small: SmallWorld) -> None:
    run = finished(small, AUDITED_MARKET)
    for kind in KINDS:
        for family in range(run_families(run)):
            account = account_of(run, kind, family)
            area_s2 = stock_integral_us2(paid(run, kind, family)) / US_PER_S / US_PER_S
            n_lost = n_expired(run, kind, family)
            class_mean = account.default / n_lost if n_lost else 0.0
            expired_age_s = age_of_expired_s(run, family) if kind == DECISION else 0.0
            expected = (area_s2 + class_mean * expired_age_s) / (run.ledger.horizon_us / US_PER_S)
            # Sums of products below 2**53 in float64, in another order: relative 1e-12.
            assert account.mean_stock == pytest.approx(expected, rel=1e-12, abs=1e-15)


def n_expired(run: Finished, kind: int, family: int) -> int:
    """Count the obligations that ended with their job."""
    return int(expired(run, family).sum()) if kind == DECISION else 0


def expired(run: Finished, family: int) -> Rows:
    """Say which stages of a family lapsed as undecided requests."""
    stage = run.ledger.stage
    chosen: Rows = (
        (stage["status"] == LAPSED)
        & (stage["obligation_us"] >= 0)
        & (run.ledger.stage_fact["family"] == family)
    )
    return chosen


def age_of_expired_s(run: Finished, family: int) -> float:
    rows = run.ledger.stage[expired(run, family)]
    return float((rows["done_us"] - rows["obligation_us"]).sum()) / US_PER_S


@settings(max_examples=40)
@given(small=cheating_worlds())
def test_what_accrues_and_its_interest_is_paid_or_defaults(small: SmallWorld) -> None:
    run = finished(small, AUDITED_MARKET)
    for kind in KINDS:
        for family in range(run_families(run)):
            account = account_of(run, kind, family)
            paid_s = paid(run, kind, family)["amount_us"].sum() / US_PER_S
            assert account.paydown == pytest.approx(paid_s, rel=1e-12)
            assert account.accrual + account.interest == pytest.approx(
                account.paydown + account.default, rel=1e-12
            )


@settings(max_examples=40)
@given(small=small_worlds())
def test_little_s_identity_holds_for_the_stock(small: SmallWorld) -> None:
    run = finished(small, ladder[4].regime)
    for kind in KINDS:
        rows, horizon_us = paid(run, kind), run.ledger.horizon_us
        if len(rows):
            rate = len(rows) / horizon_us
            weighted = float((rows["amount_us"] * (rows["paid_us"] - rows["accrued_us"])).mean())
            area_us2 = float(run.ledger.debt.area[kind].sum())
            assert area_us2 / horizon_us == pytest.approx(rate * weighted, rel=1e-12)


def test_the_account_of_one_request_by_hand() -> None:
    world = world_of(
        arrival_s=[1.0],
        work_s=[10.0],
        units=[0],
        one_way_s=0.5,
        control_delay_scale=1.0,
        service_posted_us=2e6,
        receipt_verify_us=1e6,
    )
    run = finish(world, HUB)
    # Ready at 1, its 2 s of service are paid when they begin, at 1.5: 2 s x 0.5 s / 100 s.
    decision = account_of(run, DECISION, 0)
    assert (decision.count, decision.accrual, decision.paydown, decision.interest) == (1, 2, 2, 0)
    assert decision.mean_stock == pytest.approx(0.01)
    # Ended at 14, its receipt is there at 14.5 and costs 1 s: 1 s x 0.5 s / 100 s.
    check = account_of(run, CHECK, 0)
    assert (check.count, check.accrual, check.open_count) == (1, 1, 0)
    assert check.mean_stock == pytest.approx(0.005)
    assert [(RESOURCE[k], OBLIGATION[k]) for k in KINDS] == [
        ("core", "undecided request"),
        ("core", "unverified result"),
        ("accelerator", "unverified result"),
    ]


def test_an_audit_is_paid_in_its_middle_by_the_accelerator() -> None:
    world = with_audits(world_of(arrival_s=[0.0], work_s=[10.0], units=[0]))
    run = finish(with_luck(world, audit=[[0.0]]), AUDITED)
    audit = account_of(run, AUDIT_WORK, 0)
    # 10 s of work, owed since 10 and paid around 15: 10 s x 5 s / 100 s.
    assert (audit.count, audit.accrual, audit.mean_stock) == (1, 10.0, 0.5)


def test_a_clearing_is_shared_by_its_requests_and_the_remainder_goes_by_index() -> None:
    world = world_of(
        arrival_s=[1.0, 1.0, 1.0],
        work_s=[10.0, 10.0, 10.0],
        units=[0, 0, 0],
        clearing_interval_us=5 * US_PER_S,
        service_posted_us=1_000_001.0,
    )
    run = finish(world, replace(HUB, cadence=Cadence.AT_INTERVAL))
    assert paid(run, DECISION)["amount_us"].tolist() == [333_334, 333_334, 333_333]


def bounced() -> Finished:
    """Run the world in which a command of a second venue finds its unit taken."""
    world = world_of(
        arrival_s=[1.0, 1.5],
        work_s=[10.0, 4.0],
        origin=[0, 1],
        units=[0, 1],
        n_regions=2,
        one_way_s=1.0,
        control_cores=2.0,
        control_delay_scale=1.0,
        service_posted_us=200_000.0,
        receipt_verify_us=100_000.0,
    )
    world = with_fleet(world, node_posted_usd_per_gpu_hour=np.array([1.0, 3.0]))
    run = finish(world, VENUES)
    assert run.ledger.n_bounces == 1
    return run


def test_deciding_again_after_a_bounce_is_interest() -> None:
    rows = paid(bounced(), DECISION)
    again = rows[rows["is_interest"] == 1]
    assert (again["stage"].tolist(), again["amount_us"].tolist()) == ([1], [200_000])
    # Owed anew since the bounce, at 2.7005, and paid when its service begins, at 3.7005.
    assert (again["accrued_us"].tolist(), again["paid_us"].tolist()) == ([2_700_500], [3_700_500])


def test_checking_a_result_is_no_interest_because_its_command_once_bounced() -> None:
    # The bounce added a decision; the one receipt would have been checked anyhow.
    assert paid(bounced(), CHECK)["is_interest"].tolist() == [0, 0]


def test_a_request_of_the_first_microsecond_is_an_obligation() -> None:
    world = world_of(arrival_s=[0.0], work_s=[10.0], units=[0], service_posted_us=2e6)
    assert account_of(finish(world, HUB), DECISION, 0).count == 1


def one_in_vain() -> Finished:
    """Run two requests: one is decided once, the other twice, and expires all the same."""
    world = world_of(
        arrival_s=[1.0, 2.0],
        work_s=[50.0, 10.0],
        units=[0],
        patience_s=55.0,
        service_posted_us=1e6,
    )
    return finish(world, HUB)


def test_a_request_that_expires_is_counted_and_defaults() -> None:
    account = account_of(one_in_vain(), DECISION, 0)
    assert (account.count, account.open_count, account.paydown) == (2, 0, 3.0)
    assert account.accrual + account.interest == account.paydown + account.default
    assert account.default > 0.0


def test_a_default_is_the_mean_of_those_that_were_served() -> None:
    assert account_of(one_in_vain(), DECISION, 0).default == 1.0
