"""Money at duals: where cost arises, what capacity is worth there, nothing where it is slack."""

import numpy as np
import pytest
from hypothesis import given, settings

from hanse.agents.lowering import lower_facts
from hanse.agents.world import World
from hanse.market.accounts.money_at_duals import locate_cost
from hanse.market.planner import planner_bound
from hanse.market.regime import AUDITED_MARKET, CENTRAL, ladder
from hanse.market.units import US_PER_S
from hanse.scenarios.draw import draw_world
from hanse.scenarios.scenario import load
from hanse.scenarios.studies.money import measure_prices, money_table
from tests.strategies import (
    HUB,
    SmallWorld,
    cheating_worlds,
    finish,
    finished,
    seconds,
    small_worlds,
    with_fleet,
    world_of,
)
from tests.test_sync_debt import each_second

HARDWARE_USD_PER_S = 1.0 / 3_600.0


@settings(max_examples=30)
@given(small=cheating_worlds())
def test_over_bins_the_located_cost_is_the_cost(small: SmallWorld) -> None:
    for regime in (ladder[4].regime, AUDITED_MARKET):
        run = finished(small, regime)
        n_families = len(run.world.workload.family)
        edges_us = np.array([0, 1, 7, 40, 41, 120]) * US_PER_S
        located = locate_cost(run.ledger, edges_us, n_families=n_families)
        whole = located.labelled_gpu_s + located.displaced_gpu_s
        assert (whole >= 0).all()
        region = run.ledger.sink["region"]
        cost = run.measured.cost.displaced_gpu_s.sum(axis=(1, 2))
        for sink_region in np.unique(region):
            here = whole[:, region == sink_region].sum(axis=(1, 2))
            assert here == pytest.approx(cost[:, sink_region], rel=1e-9, abs=1e-9)


def scarce() -> World:
    """Build one unit, and two jobs of 60 s in 100 s of which the first is served for 10 s."""
    return world_of(arrival_s=[0.0, 20.0], work_s=[60.0, 60.0], units=[0], service_posted_us=1e7)


def test_a_second_lost_is_worth_what_it_could_have_earned() -> None:
    world = each_second(scarce())
    run = finish(world, HUB)
    prices = measure_prices(world, n_bins=1)
    price = 100.0 / 60.0 - HARDWARE_USD_PER_S
    assert prices.upper_usd_per_gpu_s.tolist() == [[pytest.approx(price)]]
    table = money_table(run.measured, prices)
    lost_s = float(run.measured.cost.per_family()[0])
    # The unit idles while each of the two is being decided on, for 10 s.
    assert lost_s == pytest.approx(20.0)
    assert table["sync_cost_gpu_s"].tolist() == [pytest.approx(lost_s)]
    assert table["sync_cost_usd"].tolist() == [pytest.approx(lost_s * price)]
    assert table["resource_cost_usd"].tolist() == run.measured.welfare.resource_usd[:1].tolist()


def test_cost_is_worth_what_capacity_is_worth_at_that_time() -> None:
    world = each_second(scarce())
    run = finish(world, HUB)
    prices = measure_prices(world, n_bins=10)
    located = locate_cost(run.ledger, prices.edges_us, n_families=1)
    # Idle from 0 to 10, and from 70 to 80: the first and the eighth of ten bins.
    assert located.displaced_gpu_s[0, 0].tolist() == pytest.approx(
        [10.0, 0, 0, 0, 0, 0, 0, 10.0, 0, 0]
    )
    expected = 10.0 * (prices.upper_usd_per_gpu_s[0, 0] + prices.upper_usd_per_gpu_s[0, 7])
    assert located.usd(prices.upper_usd_per_gpu_s).tolist() == [pytest.approx(expected)]


def test_slack_capacity_has_no_price_and_its_loss_no_money() -> None:
    world = each_second(world_of(arrival_s=[5.0], work_s=[20.0], units=[0], service_posted_us=1e7))
    run = finish(world, HUB)
    prices = measure_prices(world, n_bins=1)
    table = money_table(run.measured, prices)
    assert table["sync_cost_gpu_s"].tolist() == [pytest.approx(10.0)]
    assert table["sync_cost_usd"].tolist() == [0.0]
    assert table["sync_cost_solver_usd"].tolist() == [0.0]


def test_where_work_just_fills_a_unit_the_upper_end_is_what_a_second_less_loses() -> None:
    world = world_of(arrival_s=[0.0, 0.0], work_s=[50.0, 50.0], units=[0])
    prices = measure_prices(world, n_bins=1)
    price = 100.0 / 50.0 - HARDWARE_USD_PER_S
    assert prices.upper_usd_per_gpu_s.tolist() == [[pytest.approx(price)]]
    # The same by residual work that takes away one second.
    less = with_fleet(world, node_free_from_us=seconds(1.0))
    bound = [
        planner_bound(
            lower_facts(each, CENTRAL),
            each.terms,
            each.fleet.node_free_from_us,
            horizon_us=each.horizon_us,
            n_bins=1,
        ).bound_usd
        for each in (world, less)
    ]
    assert bound[0] - bound[1] == pytest.approx(price)


@settings(max_examples=25)
@given(small=small_worlds())
def test_the_upper_end_is_never_worth_less_than_what_the_solver_returns(small: SmallWorld) -> None:
    world = small.build()
    prices = measure_prices(world, n_bins=4)
    facts = lower_facts(world, CENTRAL)
    width_s = np.diff(prices.edges_us) / US_PER_S
    units = np.bincount(facts.unit["sink"], minlength=len(facts.sink))
    left_us = prices.edges_us[1:] - np.maximum(
        prices.edges_us[:-1], world.fleet.node_free_from_us[:, None]
    )
    capacity_s = np.zeros((len(facts.sink), len(width_s)))
    np.add.at(capacity_s, facts.unit["sink"], np.maximum(0, left_us) / US_PER_S)
    assert (capacity_s <= units[:, None] * width_s).all()
    upper, lower = (
        float((capacity_s * price).sum())
        for price in (prices.upper_usd_per_gpu_s, prices.price_usd_per_gpu_s)
    )
    assert (prices.upper_usd_per_gpu_s >= 0).all()
    # The tolerance of the solver is 1e-7 in USD per unit-hour, on each of the capacities.
    assert upper >= lower - 1e-9 * (capacity_s.sum() + abs(lower)) - 1e-9


def test_the_money_of_a_drawn_world_is_that_of_its_families() -> None:
    size = {"fleet.nodes": 30, "load.model_calls": 80, "load.batch_jobs": 60}
    hour = {"measurement.horizon_s": 600, "fleet.occupied_share": 0.9}
    world = draw_world(load("baseline").replace(size | hour), 3)
    prices = measure_prices(world)
    run = finish(world, AUDITED_MARKET)
    table = money_table(run.measured, prices)
    assert table["sync_cost_gpu_s"] == pytest.approx(run.measured.cost.per_family())
    assert table["sync_cost_usd"].sum() > 0
    assert (
        table["sync_cost_usd"] <= table["sync_cost_gpu_s"] * prices.upper_usd_per_gpu_s.max()
    ).all()
