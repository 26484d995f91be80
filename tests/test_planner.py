"""The planner bound: on paper, against its own prices, and above whatever any regime reaches."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.agents.lowering import lower_facts
from hanse.agents.model import ComputeMarket
from hanse.agents.world import World
from hanse.market import planner
from hanse.market.jurisdictions import RESIDENT
from hanse.market.planner import OPTIMAL, Planner, Unsolved, planner_bound
from hanse.market.reference import reference_ledger
from hanse.market.regime import AUDITED_MARKET, CENTRAL, Regime, ladder
from hanse.market.units import Floats
from hanse.scenarios.draw import draw_world
from hanse.scenarios.measuring.measures import measure
from hanse.scenarios.scenario import load
from tests.strategies import (
    SmallWorld,
    all_regimes,
    capped_worlds,
    cheating_worlds,
    frictionless_worlds,
    graphs,
    small_worlds,
    with_fleet,
    with_jobs,
    world_of,
)

HARDWARE_USD_PER_S = 1.0 / 3_600.0
SIZE = {
    "fleet.nodes": 30,
    "load.model_calls": 80,
    "load.batch_jobs": 8,
    "measurement.horizon_s": 600,
    "measurement.displacement_instants": 16,
}
LOADS: dict[str, dict[str, object]] = {
    "slack": {},
    "batch": {"load.batch_jobs": 60},
    "scarce": {"load.batch_jobs": 60, "fleet.occupied_share": 0.9},
}
POWER = {"active_w": 700.0, "idle_w": 100.0}


def bound(world: World, *, n_bins: int = 24, regime: Regime = CENTRAL) -> Planner:
    """Bound the welfare of a world."""
    return planner_bound(
        lower_facts(world, regime),
        world.terms,
        world.fleet.node_free_from_us,
        horizon_us=world.horizon_us,
        n_bins=n_bins,
    )


def welfare_usd(world: World, regime: Regime | None) -> float:
    """Return the welfare of a regime, or without one of the reference, over all rows."""
    model = ComputeMarket(world, CENTRAL if regime is None else regime, with_agents=False)
    if regime is not None:
        ledger = model.run_to_horizon()
    else:
        ledger = reference_ledger(
            model.facts,
            model.rules,
            world.fleet.node_free_from_us,
            n_families=len(world.workload.family),
        )
    return float(measure(world, ledger).welfare.welfare_usd.sum())


def rounding_usd(world: World, planned: Planner) -> float:
    """Return what sums in floating point may differ by: a billionth of all that is added up."""
    return 1e-9 * float(world.workload.job_value_usd.sum() + planned.standing_usd)


def powered(world: World) -> World:
    """Let energy cost something, for work and for waiting."""
    price = np.full(world.geography.n_regions, 36.0)
    geography = replace(world.geography, electricity_usd_per_kwh=price)
    terms = replace(world.terms, **POWER)  # type: ignore[arg-type]
    return replace(world, geography=geography, terms=terms)


def falling(world: World, usd_per_s: float) -> World:
    """Let worth fall with delay."""
    return with_jobs(world, job_delay_usd_per_s=np.full(world.workload.n_jobs, usd_per_s))


@cache
def drawn(scenario: str, load_name: str, seed: int) -> World:
    """Draw a smaller world of the library under one of the loads."""
    return draw_world(load(scenario).replace(SIZE | LOADS[load_name]), seed)


def test_one_unit_serves_a_job_and_two_thirds_of_another() -> None:
    world = world_of(arrival_s=[0.0, 0.0], work_s=[60.0, 60.0], units=[0])
    planned = bound(world, n_bins=1)
    assert planned.status == OPTIMAL
    assert planned.bound_usd == pytest.approx(100.0 * (1 + 2 / 3) - 100.0 * HARDWARE_USD_PER_S)
    price = 100.0 / 60.0 - HARDWARE_USD_PER_S
    assert planned.price_usd_per_gpu_s.tolist() == [[pytest.approx(price)]]
    assert planned.edges_us.tolist() == [0, 100_000_000]


def test_the_job_that_is_worth_more_goes_first() -> None:
    world = world_of(arrival_s=[0.0, 0.0], work_s=[60.0, 60.0], units=[0])
    world = with_jobs(world, job_value_usd=np.array([90.0, 150.0]))
    expected = 150.0 + 90.0 * 2 / 3 - 100.0 * HARDWARE_USD_PER_S
    assert bound(world, n_bins=1).bound_usd == pytest.approx(expected)


def test_residual_work_takes_capacity_and_energy() -> None:
    world = powered(world_of(arrival_s=[0.0, 0.0], work_s=[60.0, 60.0], units=[0]))
    world = with_fleet(world, node_free_from_us=np.array([40_000_000]))
    # At 36 USD/kWh a watt-second costs 1e-5 USD: 7e-3 USD per busy and 1e-3 USD per idle second.
    standing = 40 * 7e-3 + 60 * 1e-3
    work = 60 * (100.0 / 60.0 - HARDWARE_USD_PER_S - 6e-3)
    planned = bound(world, n_bins=4)
    assert planned.standing_usd == pytest.approx(standing)
    assert planned.bound_usd == pytest.approx(work - standing)


@pytest.mark.parametrize(("n_bins", "expected"), [(10, 180.0), (20, 177.5), (100, 175.5)])
def test_worth_falls_with_delay_from_the_start_of_each_bin(n_bins: int, expected: float) -> None:
    """Two jobs of 10 s share a unit; worth falls from 100 by 1 USD/s, and no result beats 90.

    Fractions give each second the worth of a result at its bin's start: for bins of one second
    eleven seconds at 9.0 and nine at 8.9 to 8.1 USD. Really, 90 + 80 is the best.
    """
    world = falling(world_of(arrival_s=[0.0, 0.0], work_s=[10.0, 10.0], units=[0]), 1.0)
    planned = bound(world, n_bins=n_bins)
    assert planned.bound_usd == pytest.approx(expected - 20.0 * HARDWARE_USD_PER_S)
    assert welfare_usd(world, None) == pytest.approx(170.0 - 20.0 * HARDWARE_USD_PER_S)


def test_a_stage_is_on_one_unit_at_a_time() -> None:
    """Ten units cannot do in the first 5 s what one job may do there: half of its work."""
    world = world_of(arrival_s=[0.0, 3.0], work_s=[10.0, 10.0], units=[0] * 10)
    late = falling(world, 1.0)
    assert bound(late, n_bins=20).bound_usd == pytest.approx(180.0 - 20.0 * HARDWARE_USD_PER_S)
    # The window of the second begins at 3 s and ends with the horizon, 11 s: 8 s are too few.
    short = replace(late, horizon_us=11_000_000)
    assert bound(short, n_bins=2).bound_usd == pytest.approx(90.0 - 10.0 * HARDWARE_USD_PER_S)


@pytest.mark.parametrize(("patience_s", "expected"), [(5.0, 0.0), (9.999, 0.0), (10.0, 1.0)])
def test_a_job_that_cannot_meet_its_deadline_is_worth_nothing(
    patience_s: float, expected: float
) -> None:
    world = world_of(arrival_s=[1.0], work_s=[10.0], units=[0], patience_s=patience_s)
    worth = expected * (100.0 - 10.0 * HARDWARE_USD_PER_S)
    assert bound(world).bound_usd == pytest.approx(worth)


@pytest.mark.parametrize(("patience_s", "is_done"), [(24.9, False), (25.0, True)])
def test_windows_follow_the_longest_path_of_a_job(patience_s: float, is_done: bool) -> None:
    """Two stages of 10 s with a tool of 5 s between them."""
    world = world_of(
        arrival_s=[0.0], work_s=[10.0, 10.0], stage_job=[0, 0], units=[0], patience_s=patience_s
    )
    world = with_jobs(world, stage_tool_us=np.array([0, 5_000_000]))
    worth = 100.0 - 20.0 * HARDWARE_USD_PER_S if is_done else 0.0
    assert bound(world).bound_usd == pytest.approx(worth)
    assert welfare_usd(world, None) == pytest.approx(worth)


@pytest.mark.parametrize(("horizon_s", "is_done"), [(11.0, False), (11.000001, True)])
def test_the_horizon_ends_a_window(horizon_s: float, is_done: bool) -> None:
    world = world_of(arrival_s=[1.0], work_s=[10.0], units=[0, 0], horizon_s=horizon_s)
    assert (bound(world).bound_usd > 0.0) is is_done
    assert (welfare_usd(world, None) > 0.0) is is_done


@pytest.mark.parametrize(("patience_s", "is_done"), [(11.999, False), (12.0, True)])
def test_a_result_has_to_travel_home(patience_s: float, is_done: bool) -> None:
    world = world_of(
        arrival_s=[0.0], work_s=[10.0], units=[1], n_regions=2, one_way_s=2.0, patience_s=patience_s
    )
    assert (bound(world).bound_usd > 0.0) is is_done


def test_law_forbids() -> None:
    world = world_of(arrival_s=[0.0], work_s=[10.0], units=[1], n_regions=2)
    assert bound(world).bound_usd > 99.0
    resident = with_jobs(world, job_data_class=np.array([RESIDENT]))
    assert bound(resident).bound_usd == 0.0
    assert bound(resident).n_columns == 0


def test_inputs_of_a_first_stage_pay_for_their_way() -> None:
    world = world_of(arrival_s=[0.0], work_s=[10.0], units=[1], n_regions=2)
    world = with_jobs(world, stage_input_bytes=np.array([10**9]))
    priced = replace(world.geography, egress_usd_per_gb=np.array([7.0, 100.0]))
    world = replace(world, geography=priced)
    assert bound(world).bound_usd == pytest.approx(93.0 - 10.0 * HARDWARE_USD_PER_S)
    assert welfare_usd(world, None) == pytest.approx(93.0 - 10.0 * HARDWARE_USD_PER_S)


def test_work_that_costs_more_than_it_is_worth_is_left_undone() -> None:
    world = world_of(arrival_s=[0.0], work_s=[3_600.0], units=[0], horizon_s=4_000.0)
    for value_usd, expected in ((0.99, 0.0), (1.5, 0.5)):
        worth = with_jobs(world, job_value_usd=np.array([value_usd]))
        assert bound(worth).bound_usd == pytest.approx(expected)


def test_a_fleet_without_work_costs_what_idling_costs() -> None:
    world = powered(world_of(arrival_s=[1.0], work_s=[10.0], units=[0, 0], patience_s=5.0))
    assert bound(world).bound_usd == pytest.approx(-2 * 100 * 1e-3)
    assert bound(world).bound_usd == pytest.approx(welfare_usd(world, None))


def test_a_solver_that_gives_up_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    solve = planner.linprog

    def stop_at_once(*args: object, **options: object) -> object:
        return solve(*args, **options, options={"time_limit": 0.0})

    monkeypatch.setattr(planner, "linprog", stop_at_once)
    with pytest.raises(Unsolved, match="planner bound"):
        bound(drawn("baseline", "scarce", 0))


@pytest.mark.parametrize("load_name", LOADS)
def test_the_plan_is_worth_what_its_prices_prove(load_name: str) -> None:
    planned = bound(drawn("baseline", load_name, 0))
    assert planned.bound_usd == pytest.approx(planned.primal_usd, rel=1e-6)
    assert (planned.price_usd_per_gpu_s >= 0.0).all()


def unit_s(world: World, planned: Planner) -> Floats:
    """Return the unit time of each region and bin that residual work leaves, in seconds."""
    left = np.zeros(planned.price_usd_per_gpu_s.shape)
    edge = planned.edges_us
    for node, free_us in enumerate(world.fleet.node_free_from_us.tolist()):
        part = np.clip(edge[1:] - free_us, 0, np.diff(edge))
        left[world.fleet.node_region[node]] += part / 1e6
    return left


@pytest.mark.parametrize("share", [0.0, 0.5, 1.5])
def test_prices_bound_what_more_or_less_capacity_does(share: float) -> None:
    """A program's optimum is concave in its limits: no change is worth more than at the prices."""
    world = drawn("baseline", "scarce", 0)
    planned = bound(world)
    assert planned.price_usd_per_gpu_s.max() > 0.0
    free_from_us = np.rint(world.fleet.node_free_from_us * share).astype(np.int64)
    other = with_fleet(world, node_free_from_us=free_from_us)
    changed = bound(other)
    more_s = unit_s(other, changed) - unit_s(world, planned)
    at_prices = float((planned.price_usd_per_gpu_s * more_s).sum())
    gained = changed.bound_usd + changed.standing_usd - planned.bound_usd - planned.standing_usd
    assert gained <= at_prices + rounding_usd(world, planned)
    assert at_prices * gained > 0.0


def test_a_price_is_what_a_second_less_of_a_unit_costs() -> None:
    world = world_of(arrival_s=[0.0, 0.0], work_s=[60.0, 60.0], units=[0])
    earlier, later = (
        bound(with_fleet(world, node_free_from_us=np.array([us])), n_bins=4)
        for us in (40_000_000, 41_000_000)
    )
    price = earlier.price_usd_per_gpu_s[0, 1]
    assert earlier.bound_usd - later.bound_usd == pytest.approx(price)


def test_no_regime_changes_the_bound() -> None:
    world = drawn("baseline", "scarce", 0)
    bounds = {bound(world, regime=rung.regime).bound_usd for rung in ladder}
    assert len(bounds) == 1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("load_name", LOADS)
@pytest.mark.parametrize("scenario", ["baseline", "frictionless"])
def test_no_rung_and_no_reference_is_above_the_bound(
    scenario: str, load_name: str, seed: int
) -> None:
    world = drawn(scenario, load_name, seed)
    planned = bound(world)
    most = planned.bound_usd + rounding_usd(world, planned)
    reached = {rung.name: welfare_usd(world, rung.regime) for rung in ladder}
    reached["reference"] = welfare_usd(world, None)
    assert {name: usd for name, usd in reached.items() if usd > most} == {}


@settings(max_examples=60)
@given(
    small=st.one_of(
        small_worlds(), frictionless_worlds(), graphs(cheating_worlds()), capped_worlds()
    ),
    regime=st.sampled_from([None, AUDITED_MARKET, *all_regimes()]),
    n_bins=st.sampled_from([1, 7, 24]),
)
def test_nothing_is_above_the_bound_of_a_small_world(
    small: SmallWorld, regime: Regime | None, n_bins: int
) -> None:
    world = small.build()
    planned = bound(world, n_bins=n_bins)
    assert welfare_usd(world, regime) <= planned.bound_usd + rounding_usd(world, planned)


@settings(max_examples=25)
@given(small=small_worlds())
def test_the_bound_falls_as_bins_are_halved(small: SmallWorld) -> None:
    world = small.build()
    planned = [bound(world, n_bins=n) for n in (1, 2, 4, 8, 16, 32)]
    slack = rounding_usd(world, planned[0])
    usd: Floats = np.array([one.bound_usd for one in planned])
    assert (np.diff(usd) <= slack).all()
    for one in planned:
        assert one.bound_usd == pytest.approx(one.primal_usd, rel=1e-6, abs=slack)


def uncongested() -> World:
    """Build a world with a unit for each job at home, power, chains, and worth that falls."""
    rng = np.random.default_rng(7)
    stage_job = np.repeat(np.arange(12), 2)
    world = world_of(
        arrival_s=sorted(rng.uniform(0.0, 50.0, 12).tolist()),
        work_s=rng.uniform(1.0, 15.0, 24).tolist(),
        stage_job=stage_job.tolist(),
        units=[0] * 12,
    )
    return falling(powered(world), 0.5)


@pytest.mark.parametrize("n_bins", [1, 10, 64])
def test_without_friction_or_queues_the_bound_is_reached(n_bins: int) -> None:
    """Nothing waits, and no result can be earlier, so that there is nothing to give away."""
    world = uncongested()
    reached = welfare_usd(world, None)
    assert reached > 0.0
    assert bound(world, n_bins=n_bins).bound_usd == pytest.approx(reached, rel=1e-9)


@pytest.mark.parametrize("scenario", ["baseline", "frictionless"])
def test_in_a_slack_world_the_reference_comes_close(scenario: str) -> None:
    """The model calls of these worlds find a unit at once; the rest is the way to it."""
    world = drawn(scenario, "slack", 1)
    planned = bound(world)
    gross = planned.bound_usd + planned.standing_usd
    assert 0.0 <= planned.bound_usd - welfare_usd(world, None) < 0.05 * gross
