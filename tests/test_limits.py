"""N5, the limits: where frictions end, each regime is what theory says it must then be.

- N5, central: with control capacity without limit and perfect information it is the reference, and
  where nothing is ever scarce it reaches the planner's bound.
- N5, bilateral: a market with one seller and one type of buyer is central at a posted price.
- N5, unit demand: a market without friction makes the optimal assignment.

That every welfare rung is the reference on the library's frictionless worlds is held in
`test_neutrality.py`, and clearing against other solvers, book by book, in
`test_clearing_against_solvers.py`.
"""

from dataclasses import replace
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from hanse.agents.control_layout import lay_out
from hanse.agents.world import World
from hanse.market.engine.states import COMPLETE, LAPSED
from hanse.market.jurisdictions import RESIDENT
from hanse.market.regime import (
    CENTRAL,
    DYNAMIC_CENTRAL,
    MARKET,
    Cadence,
    Plane,
    Pricing,
    Regime,
    Settlement,
    regimes,
)
from hanse.market.units import US_PER_HOUR, US_PER_S, Floats
from hanse.scenarios.selftest.oracle_worlds import FREE_TERMS, plain_workload, plain_world
from hanse.scenarios.yardstick import measure_bound
from tests.strategies import SmallWorld, finish, small_worlds
from tests.test_neutrality import allocation, frictionless, reference, without_ties

WELFARE_ON_ARRIVAL: Final = regimes["welfare-rule"]


def checked_slowly(world: World, *, cores: float) -> World:
    """Let each receipt keep a core for half a minute, and let decisions queue behind them."""
    terms = replace(world.terms, receipt_verify_us=30.0 * US_PER_S, control_cores=cores)
    return replace(world, terms=terms)


@pytest.mark.parametrize("load_name", ["middling", "loaded"])
def test_n5_central_with_control_capacity_without_limit_and_perfect_information_is_the_reference(
    load_name: str,
) -> None:
    world = without_ties(frictionless(load_name, 0))
    expected = allocation(reference(world))
    found = {
        cores: allocation(finish(checked_slowly(world, cores=cores), WELFARE_ON_ARRIVAL).ledger)
        for cores in (1.0, 2_000.0)
    }
    assert found[1.0] != expected
    assert found[2_000.0] == expected


def test_n5_central_reaches_the_planner_s_bound_where_nothing_is_ever_scarce() -> None:
    n_jobs = 12
    workload = plain_workload(
        (1 + np.arange(n_jobs)) * US_PER_S, np.full(n_jobs, 20 * US_PER_S), value_usd=1.0
    )
    world = plain_world(workload, n_nodes=n_jobs, horizon_us=100 * US_PER_S)
    run = finish(world, WELFARE_ON_ARRIVAL)
    # Twelve results of a dollar, less twenty seconds each at a dollar an hour.
    assert run.measured.welfare.welfare_usd.sum() == pytest.approx(12 - 12 * 20 / 3_600, rel=1e-12)
    bound_usd = measure_bound(world, n_bins=1).bound_usd
    assert run.measured.welfare.welfare_usd.sum() == pytest.approx(bound_usd, rel=1e-9)


def one_of_each(seed: int, *, n_nodes: int, n_regions: int = 1) -> World:
    """Let one seller with one price meet buyers who all want the same, at any time."""
    rng = np.random.default_rng(seed)
    n_jobs = 30
    workload = plain_workload(
        np.sort(rng.choice(60 * US_PER_S, n_jobs, replace=False)),
        np.full(n_jobs, 8 * US_PER_S),
        origin=rng.integers(0, n_regions, n_jobs),
        value_usd=1.0,
        patience_us=20 * US_PER_S,
    )
    return plain_world(
        workload, n_nodes=n_nodes, n_regions=n_regions, horizon_us=200 * US_PER_S, rtt_ms=1.0
    )


@settings(max_examples=25)
@given(
    seed=st.integers(0, 9_999),
    n_nodes=st.sampled_from([1, 2, 4]),
    n_regions=st.sampled_from([1, 2]),
)
def test_n5_a_market_of_one_seller_and_one_type_of_buyer_is_central_at_a_posted_price(
    seed: int, n_nodes: int, n_regions: int
) -> None:
    world = one_of_each(seed, n_nodes=n_nodes, n_regions=n_regions)
    central, market = finish(world, CENTRAL), finish(world, MARKET)
    assert allocation(market.ledger) == allocation(central.ledger)
    # The price is what is posted: two dollars an hour for eight seconds.
    posted_micro_usd = round(2e6 * 8 * US_PER_S / US_PER_HOUR)
    assert (central.work["payment_micro_usd"] == posted_micro_usd).all()


def test_n5_one_seller_and_one_type_of_buyer_do_not_always_get_what_they_want() -> None:
    run = finish(one_of_each(3, n_nodes=2), MARKET)
    status = run.ledger.stage["status"]
    assert (status == COMPLETE).sum() >= 10
    assert (status == LAPSED).sum() >= 5


def one_shot(seed: int, *, n_jobs: int, n_nodes: int) -> World:
    """Let all jobs come before one clearing, and each unit serve one of them at the most."""
    rng = np.random.default_rng(seed)
    n_regions = 4
    workload = plain_workload(
        np.arange(n_jobs) + 1,
        rng.integers(600 * US_PER_S, 900 * US_PER_S, n_jobs),
        origin=rng.integers(0, n_regions, n_jobs),
        patience_us=1_000 * US_PER_S,
    )
    value_usd = rng.uniform(0.1, 0.6, n_jobs)
    workload = replace(
        workload,
        job_value_usd=value_usd,
        job_delay_usd_per_s=value_usd / 2_000.0,
        job_data_class=np.where(rng.random(n_jobs) < 0.3, RESIDENT, 0),
    )
    terms = replace(FREE_TERMS, clearing_interval_us=US_PER_S, active_w=700.0, peer_regions=4)
    world = plain_world(
        workload,
        n_nodes=n_nodes,
        n_regions=n_regions,
        rtt_ms=300.0,
        horizon_us=1_200 * US_PER_S,
        terms=terms,
    )
    price = rng.uniform(0.05, 0.6, n_regions)
    geography = replace(world.geography, electricity_usd_per_kwh=price)
    return replace(world, geography=geography)


def worth_of_pairs(world: World) -> Floats:
    """Return what each job is worth on each unit, less what it costs there; 0 where forbidden."""
    work, place = world.workload, world.fleet.node_region
    way_s = world.geography.rtt_ms[place][:, work.job_origin].T / 2_000.0
    done_s = 1.0 + work.stage_work_us[:, None] / US_PER_S + way_s
    age_s = done_s - work.job_arrival_us[:, None] / US_PER_S
    worth = work.job_value_usd[:, None] - work.job_delay_usd_per_s[:, None] * age_s
    usd_per_hour = 1.0 + 0.7 * world.geography.electricity_usd_per_kwh[place]
    net = worth - usd_per_hour * work.stage_work_us[:, None] / US_PER_HOUR
    lawful = world.law.may_serve[work.job_data_class, work.job_origin][:, place]
    surplus: Floats = np.where(lawful, np.maximum(net, 0.0), 0.0)
    return surplus


UNIT_DEMAND: Final = {
    "dynamic-central": DYNAMIC_CENTRAL,
    "venues": regimes["venues"],
    "market": MARKET,
    "shards": regimes["shards"],
    "peer-to-peer": regimes["peer-to-peer"],
    "mixed": regimes["mixed"],
}


@pytest.mark.parametrize("name", UNIT_DEMAND)
@settings(max_examples=25)
@given(
    seed=st.integers(0, 9_999),
    n_jobs=st.sampled_from([1, 6, 14]),
    n_nodes=st.sampled_from([4, 9]),
)
def test_n5_unit_demand_without_friction_is_the_optimal_assignment(
    name: str, seed: int, n_jobs: int, n_nodes: int
) -> None:
    world = one_shot(seed, n_jobs=n_jobs, n_nodes=n_nodes)
    worth = worth_of_pairs(world)
    job, unit = linear_sum_assignment(worth, maximize=True)
    run = finish(world, UNIT_DEMAND[name])
    assert (run.work["accepted_us"] == US_PER_S).all()
    made = worth[run.work["stage"], run.work["unit"]]
    # Each of at most 14 nets is rounded to the nano-dollar, by the engine.
    assert made.sum() == pytest.approx(worth[job, unit].sum(), abs=14e-9)
    assert (made > 0).all()


def test_n5_some_jobs_of_a_one_shot_market_go_without_and_some_go_abroad() -> None:
    run = finish(one_shot(1, n_jobs=14, n_nodes=9), MARKET)
    place = run.world.fleet.node_region[run.work["unit"]]
    assert 0 < len(run.work) < 14
    assert (place != run.world.workload.job_origin[run.work["stage"]]).any()


@settings(max_examples=60)
@given(
    small=small_worlds(),
    cadence=st.sampled_from(list(Cadence)),
    base=st.sampled_from([regimes["without-first-party"], regimes["welfare-rule"]]),
)
def test_a_federation_of_one_jurisdiction_is_the_hub(
    small: SmallWorld, cadence: Cadence, base: Regime
) -> None:
    world = small.build()
    nobody_else = np.zeros(world.geography.n_regions, np.int64)
    geography = replace(
        world.geography, jurisdiction=("everywhere",), region_jurisdiction=nobody_else
    )
    world = replace(world, geography=geography)
    hub = replace(base, cadence=cadence)
    league = replace(hub, plane=Plane.FEDERATION)
    seat = int(lay_out(world, league).region[0])
    world = replace(world, terms=replace(world.terms, hub_region=seat))
    assert allocation(finish(world, league).ledger) == allocation(finish(world, hub).ledger)


@settings(max_examples=60)
@given(small=small_worlds(), cadence=st.sampled_from(list(Cadence)))
def test_a_hub_in_one_shard_is_the_hub(small: SmallWorld, cadence: Cadence) -> None:
    world = small.build()
    world = replace(world, terms=replace(world.terms, shards=1))
    hub = replace(DYNAMIC_CENTRAL, cadence=cadence)
    shard = replace(hub, plane=Plane.SHARDS)
    assert allocation(finish(world, shard).ledger) == allocation(finish(world, hub).ledger)


@settings(max_examples=60)
@given(small=small_worlds(), settlement=st.sampled_from(list(Settlement)))
def test_one_buyer_that_sees_everything_for_itself_is_a_hub_in_its_place(
    small: SmallWorld, settlement: Settlement
) -> None:
    world = small.build()
    work, nobody_else = world.workload, np.zeros(world.workload.n_jobs, np.int64)
    workload = replace(work, buyer_region=work.buyer_region[:1], job_buyer=nobody_else)
    terms = replace(
        world.terms,
        peer_regions=world.geography.n_regions,
        hub_region=int(work.buyer_region[0]),
    )
    world = replace(world, workload=workload, terms=terms)
    hub = replace(DYNAMIC_CENTRAL, settlement=settlement, pricing=Pricing.LOCATIONAL)
    peer = replace(hub, plane=Plane.PEERS)
    assert allocation(finish(world, peer).ledger) == allocation(finish(world, hub).ledger)
