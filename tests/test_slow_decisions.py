"""What agents decide between seasons, row by row, against what is known on paper."""

import numpy as np
import pytest

from hanse.agents.asking import best_price, changes_list, next_price, reservation_price
from hanse.agents.buying import full_price, wanted_activity, within_budget
from hanse.agents.capacity import capacity_of, entered, fleet_of, node_rows
from hanse.agents.hoarding import (
    allot_nodes,
    chance_of_shortage,
    critical_ratio,
    granted_units,
    kept_units,
    pooled,
    reserve_units,
    safety_units,
)
from hanse.agents.investing import (
    hurdle_usd_per_hour,
    place_units,
    wanted_growth,
    whole_units,
)
from hanse.agents.model import ComputeMarket
from hanse.market.regime import MARKET
from hanse.scenarios.draw import draw_world
from tests.small_runs import tiny


@pytest.mark.parametrize(
    ("ratio", "stock"), [(0.8, 0.842), (0.9, 1.282), (0.95, 1.645), (0.99, 2.326)]
)
def test_the_stock_is_the_newsvendors(ratio: float, stock: float) -> None:
    short, idle = np.array([ratio]), np.array([1.0 - ratio])
    held = safety_units(np.ones(1), critical_ratio(short, idle))
    assert held == pytest.approx([stock], abs=5e-4)


@pytest.mark.parametrize("ratio", [0.8, 0.9, 0.95, 0.99])
def test_pooling_25_buyers_leaves_a_fifth_of_what_they_held_apart(ratio: float) -> None:
    quantile = np.full(25, ratio)
    apart = safety_units(np.ones(25), quantile).sum()
    _, sd = pooled(np.zeros(25), np.ones(25), np.zeros(25, np.int64))
    together = safety_units(sd, quantile[:1]).sum()
    assert apart / together == pytest.approx(5.0)


def test_the_stock_costs_least_of_all_stocks() -> None:
    need = np.maximum(0.0, np.random.default_rng(0).normal(10.0, 3.0, 20_000))
    short, idle = 4.0, 1.0
    best = float(reserve_units(np.array([10.0]), np.array([3.0]), np.array([0.8]))[0])

    def cost(stock: float) -> float:
        return float(
            np.mean(short * np.maximum(0, need - stock) + idle * np.maximum(0, stock - need))
        )

    assert cost(best) < min(cost(best - 0.5), cost(best + 0.5))
    chance = chance_of_shortage(np.array([best]), np.array([10.0]), np.array([3.0]))
    assert chance == pytest.approx([0.2])


def test_who_loses_nothing_by_being_short_holds_nothing() -> None:
    ratio = critical_ratio(np.zeros(2), np.array([1.0, 0.0]))
    assert reserve_units(np.array([9.0, 9.0]), np.ones(2), ratio).tolist() == [0.0, 0.0]


def test_orders_are_inflated_where_supply_is_rationed_and_truth_then_gets_less() -> None:
    need = np.array([60, 20, 40])
    honest = granted_units(need, supply_units=60, cap_multiple=1.0)
    gamed = granted_units(need, supply_units=60, cap_multiple=10.0)
    assert honest.tolist() == [30, 10, 20]
    # All end at the cap, so that supply is shared by heads instead of by need.
    assert gamed.tolist() == [20, 20, 20]
    assert granted_units(need, supply_units=500, cap_multiple=10.0).tolist() == need.tolist()


def test_a_dearer_resale_gives_less_back() -> None:
    held, need, sd = np.array([20]), np.array([8.0]), np.array([3.0])
    kept = [
        int(
            kept_units(
                held,
                need,
                sd=sd,
                salvage_usd=np.array([(1.0 - haircut) * 3.0]),
                shortage_usd=np.array([5.0]),
            )[0]
        )
        for haircut in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    assert kept == sorted(kept)
    assert kept[0] < kept[-1] == 20


def test_owners_ask_the_mark_up_where_units_idle_and_what_clears_where_they_run_out() -> None:
    known = {
        "price": np.array([8.0, 2.0, 3.0]),
        "cost": np.ones(3),
        "demand": np.array([1.0, 20.0, 0.0]),
        "capacity": np.full(3, 10.0),
    }
    best = best_price(**known, elasticity=1.5)
    assert best == pytest.approx([3.0, 2.0 * 2.0 ** (2 / 3), 1.0])


def test_a_price_moves_only_if_it_earns_more_than_a_new_list_costs() -> None:
    known = {
        "price": np.array([3.3]),
        "cost": np.ones(1),
        "demand": np.array([1.0]),
        "capacity": np.full(1, 10.0),
    }
    best = best_price(**known, elasticity=1.5)
    gain = (best - 1.0) * (best / 3.3) ** -1.5 - 2.3
    share = float(gain[0] / 3.3)
    assert 0.0 < share < 0.01
    for menu_cost, moves in ((share * 0.99, True), (share * 1.01, False)):
        at_cost = {"elasticity": 1.5, "menu_cost_share": menu_cost}
        assert bool(changes_list(best, **known, **at_cost)[0]) is moves
        asked = next_price(**known, **at_cost, share=0.5)
        assert asked == pytest.approx([(3.3 + best[0]) / 2 if moves else 3.3])


def test_nobody_invests_below_the_hurdle_or_leaves_while_energy_is_paid() -> None:
    hurdle = hurdle_usd_per_hour(0.9, np.array([0.1]), years=4.0)
    assert hurdle == pytest.approx([1.08])
    margin = np.array([1.07, 0.01, 1.0801, -0.2, -9.0])
    growth = wanted_growth(margin, hurdle, growth_max=0.1, exit_max=0.25)
    assert growth[:2].tolist() == [0.0, 0.0]
    assert growth[2] == pytest.approx(0.0001 / 1.08)
    assert growth[3:] == pytest.approx([-0.2 / 1.08, -0.25])


def test_whole_units_keep_the_sum() -> None:
    wanted = np.random.default_rng(1).random(50)
    assert abs(whole_units(wanted).sum() - wanted.sum()) <= 0.5
    placed = place_units(17, np.array([3.0, -1.0, np.nan, 2.0]), is_open=np.ones(4))
    assert placed.sum() == 17
    assert placed[1] == placed[2] == 0


def test_buyers_bring_less_where_waiting_costs_more_and_stop_at_their_budget() -> None:
    waits = np.array([0.0, 100.0, 400.0])
    full = full_price(
        np.full(3, 2.0),
        wait_s=waits,
        delay_usd_per_s=np.full(3, 0.01),
        job_hours=np.full(3, 0.5),
    )
    assert full.tolist() == [2.0, 4.0, 10.0]
    activity = wanted_activity(np.full(3, 0.6), full, np.full(3, 2.0), elasticity=1.0)
    assert activity == pytest.approx([0.6, 0.3, 0.12])
    assert within_budget(activity, np.full(3, 4.0), np.full(3, 1.0)) == pytest.approx(activity / 4)


def test_an_owner_takes_what_covers_its_cost_or_what_it_earns_elsewhere() -> None:
    model = ComputeMarket(draw_world(tiny(), 0), MARKET)
    node = model.node(0)
    world = model.world
    kwh = world.geography.electricity_usd_per_kwh[int(world.fleet.node_region[0])]
    alone = node.reservation_usd_per_hour()
    assert alone == pytest.approx(0.7 * kwh + 0.9)
    assert node.reservation_usd_per_hour(elsewhere_usd=7.0) == 7.0
    column = reservation_price(np.array([0.7 * kwh]), np.array([0.9]), np.zeros(1))
    assert column == pytest.approx([alone])


def test_agents_decide_by_the_rules_that_seasons_apply_to_columns() -> None:
    model = ComputeMarket(draw_world(tiny(), 0), MARKET)
    buyer = next(agent for agent in model.agents if type(agent).__name__ == "Buyer")
    assert buyer.stock_units(mean=4.0, sd=2.0, shortage_usd=9.0, holding_usd=1.0) == pytest.approx(
        4.0 + 2.0 * 1.2816, abs=1e-3
    )
    owner = next(agent for agent in model.agents if type(agent).__name__ == "Hyperscaler")
    asked = owner.next_price_usd(
        price=8.0,
        cost=1.0,
        demand=1.0,
        capacity=10.0,
        elasticity=1.5,
        menu_cost_share=0.0,
        share=1.0,
    )
    assert asked == pytest.approx(3.0)


def test_a_fleet_survives_being_gathered_and_put_up_again() -> None:
    fleet = draw_world(tiny(), 3).fleet
    capacity = capacity_of(fleet)
    again = fleet_of(capacity, fleet, fleet.node_tenant)
    assert (again.node_region == fleet.node_region).all()
    assert (again.node_owner == fleet.node_owner).all()
    assert again.node_posted_usd_per_gpu_hour == pytest.approx(fleet.node_posted_usd_per_gpu_hour)
    assert (np.bincount(node_rows(capacity)) == capacity.units).all()


def test_newcomers_are_owners_of_their_own() -> None:
    capacity = capacity_of(draw_world(tiny(), 3).fleet)
    units = np.zeros(capacity.n_rows, np.int64)
    units[[0, 2]] = 3
    after = entered(capacity, units, capacity.price_usd, name="independent")
    assert after.n_rows == capacity.n_rows + 2
    assert len(set(after.owner_name)) == len(capacity.owner_name) + 2
    assert after.region[-2:].tolist() == capacity.region[[0, 2]].tolist()
    assert after.units.sum() == capacity.units.sum() + 6
    assert not after.is_hyperscaler[-2:].any()


def test_nobody_holds_a_node_that_another_holds() -> None:
    rng = np.random.default_rng(2)
    units = np.array([3, 0, 5, 1])
    tenant = allot_nodes(
        units,
        buyer_region=rng.integers(0, 4, 4),
        node_region=np.sort(rng.integers(0, 4, 12)),
        rtt_ms=rng.random((4, 4)),
    )
    assert np.bincount(tenant[tenant >= 0], minlength=4).tolist() == units.tolist()
