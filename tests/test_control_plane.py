"""The queue in front of decisions: servers and speeds, first come first served, what is charged."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.agents.lowering import lower_facts, lower_rules
from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.engine.states import (
    COMPLETE,
    IN_FLIGHT,
    IN_SERVICE,
    QUEUED,
    TOOL,
    UNMATCHED,
)
from hanse.market.queues import erlang_c
from hanse.market.regime import CENTRAL, Audits, Cadence, Plane, Ranking, Rule, Settlement
from hanse.market.units import US_PER_S, Integers
from hanse.scenarios.selftest.checks import (
    ON_ARRIVAL,
    lindley_wait_us,
    mean_close_to,
    run_ledger,
)
from hanse.scenarios.selftest.oracle_worlds import (
    FREE_TERMS,
    plain_workload,
    plain_world,
    poisson_us,
)
from tests.strategies import SmallWorld, small_worlds

HUB = ON_ARRIVAL
VENUES = replace(HUB, plane=Plane.VENUES)
NEVER_US = 1_000 * US_PER_S


def at_once(n_jobs: int, *, n_regions: int = 1, **terms: object) -> World:
    """Let jobs of one microsecond arrive together at one second, from each region in turn.

    No refresh comes before the horizon, so that no report is charged but what a test is about.
    """
    workload = plain_workload(
        np.full(n_jobs, US_PER_S), np.ones(n_jobs, np.int64), origin=np.arange(n_jobs) % n_regions
    )
    return plain_world(
        workload,
        n_nodes=2 * n_jobs + n_regions,
        n_regions=n_regions,
        horizon_us=100 * US_PER_S,
        terms=replace(FREE_TERMS, refresh_interval_us=NEVER_US, **terms),  # type: ignore[arg-type]
    )


@given(cores=st.floats(0.001, 1000.0), n_planes=st.integers(1, 40))
def test_a_plane_of_capacity_c_has_floor_c_servers_that_add_up_to_c(
    cores: float, n_planes: int
) -> None:
    terms = replace(FREE_TERMS, control_cores=cores)
    rules = lower_rules(terms, VENUES, horizon_us=1, n_planes=n_planes)
    capacity = cores / n_planes
    assert rules.n_servers == max(1, int(capacity))
    assert rules.n_servers * rules.server_speed == pytest.approx(capacity, rel=1e-12)
    assert rules.server_speed < 2.0


@pytest.mark.parametrize("cores", [0.1, 1.0, 2.6, 26.0, 260.0, 2600.0])
def test_hub_and_venues_have_the_same_capacity(cores: float) -> None:
    terms = replace(FREE_TERMS, control_cores=cores)
    hub = lower_rules(terms, HUB, horizon_us=1, n_planes=1)
    venues = lower_rules(terms, VENUES, horizon_us=1, n_planes=26)
    assert hub.n_servers * hub.server_speed == pytest.approx(cores)
    assert 26 * venues.n_servers * venues.server_speed == pytest.approx(cores)


@pytest.mark.parametrize(
    ("cores", "waits_s", "service_s"),
    [
        (0.25, [0.0, 4.0, 8.0], 4.0),
        (1.0, [0.0, 1.0, 2.0], 1.0),
        (1.6, [0.0, 0.625, 1.25], 0.625),
        (2.5, [0.0, 0.0, 0.8], 0.8),
        (3.0, [0.0, 0.0, 0.0], 1.0),
    ],
)
def test_a_fast_server_takes_less_time_and_as_much_work(
    cores: float, waits_s: list[float], service_s: float
) -> None:
    ledger = run_ledger(at_once(3, control_cores=cores, service_posted_us=1e6), HUB)
    assert (ledger.time_us[:, QUEUED] / US_PER_S).tolist() == waits_s
    assert (ledger.time_us[:, IN_SERVICE] / US_PER_S).tolist() == [service_s] * 3
    assert ledger.stage["decision_core_us"].tolist() == [US_PER_S] * 3
    assert ledger.plane["decision_core_us"].tolist() == [3 * US_PER_S]


def test_a_decision_costs_its_rule_its_messages_its_edges_and_its_solution() -> None:
    world = at_once(
        1,
        service_posted_us=1_000.0,
        service_message_us=100.0,
        service_edge_us=10.0,
        service_solve_us=1.0,
    )
    ledger = run_ledger(world, HUB)
    # One request in, one command out, one place looked at, one request served.
    assert ledger.stage["decision_core_us"].tolist() == [1_000 + 2 * 100 + 10 + 1]
    escrow = run_ledger(world, replace(HUB, settlement=Settlement.ESCROW))
    # Locking takes a message there and one back.
    assert escrow.stage["decision_core_us"].tolist() == [1_000 + 4 * 100 + 10 + 1]


@pytest.mark.parametrize("rule", [Rule.POSTED, Rule.WELFARE])
def test_the_coefficients_belong_to_the_rule_and_not_to_the_plane(rule: Rule) -> None:
    world = at_once(1, service_posted_us=300.0, service_welfare_us=500.0, service_message_us=50.0)
    charged = {
        plane: run_ledger(world, replace(HUB, rule=rule, plane=plane)).plane["decision_core_us"]
        for plane in Plane
    }
    expected = {Rule.POSTED: 300, Rule.WELFARE: 500}[rule] + 2 * 50
    assert {plane: int(us.sum()) for plane, us in charged.items()} == dict.fromkeys(Plane, expected)


@pytest.mark.parametrize("plane", list(Plane))
def test_receipts_verdicts_and_settlements_are_charged_where_they_are_checked(plane: Plane) -> None:
    world = at_once(1, receipt_verify_us=70.0, settlement_us=5.0, audit_probability=1.0)
    ledger = run_ledger(world, replace(HUB, plane=plane))
    assert ledger.plane["verification_core_us"].sum() == 70
    assert ledger.plane["settlement_core_us"].sum() == 5
    assert ledger.stage["verification_core_us"].tolist() == [75]
    # A request, a command and a receipt.
    assert ledger.plane["n_messages"].sum() == 3
    drawn = replace(world.workload, attempt_audit=np.zeros((8, 1)))
    audited = replace(HUB, plane=plane, audits=Audits.RANDOM)
    ledger = run_ledger(replace(world, workload=drawn), audited)
    # The receipt and the verdict are checked; it is settled once.
    assert ledger.plane["verification_core_us"].sum() == 70 + 70
    assert ledger.plane["settlement_core_us"].sum() == 5
    assert ledger.plane["n_messages"].sum() == 4


def refreshed(plane: Plane, *, arrival_us: int, quiet_us: int = 400_000) -> Ledger:
    """Refresh two regions each second, at 10 ms a message, and decide on one request."""
    workload = plain_workload(np.array([arrival_us]), np.ones(1, np.int64))
    terms = replace(
        FREE_TERMS,
        control_cores=2.0,
        refresh_interval_us=US_PER_S,
        service_message_us=10_000.0,
        service_posted_us=1_000.0,
    )
    world = plain_world(
        workload, n_nodes=2, n_regions=2, horizon_us=arrival_us + quiet_us, terms=terms
    )
    return run_ledger(world, replace(HUB, plane=plane))


@pytest.mark.parametrize("plane", list(Plane))
@pytest.mark.parametrize("quiet_us", [400_000, 20_400_000])
def test_refreshes_are_charged_to_every_plane_whether_it_has_work_or_not(
    plane: Plane, quiet_us: int
) -> None:
    # The only request comes from the first region at 5.2 s.
    ledger = refreshed(plane, arrival_us=5_200_000, quiet_us=quiet_us)
    n_refreshes = (5_200_000 + quiet_us) // US_PER_S
    told = {
        Plane.HUB: [2],
        Plane.VENUES: [2, 2],
        Plane.SHARDS: [2, 2],
        Plane.TREE: [1, 1, 2],
        Plane.PEERS: [2],
        Plane.FEDERATION: [1, 1],
        Plane.MIXED: [2, 2, 2],
        Plane.RESERVED: [2],
    }[plane]
    assert ledger.plane["refresh_core_us"].tolist() == [n_refreshes * n * 10_000 for n in told]
    # The regions that a plane watches tell it each time; then a request, a command and a receipt.
    assert ledger.plane["n_messages"].sum() == sum(told) * n_refreshes + 3


def test_a_request_that_comes_during_a_refresh_waits_for_its_end() -> None:
    # Venue 0 has one core: the refresh of 5 s keeps it until 5.02 s.
    ledger = refreshed(Plane.VENUES, arrival_us=5_005_000)
    assert ledger.time_us[0, QUEUED] == 15_000
    # The hub has two: the other one is free.
    assert refreshed(Plane.HUB, arrival_us=5_005_000).time_us[0, QUEUED] == 0


@given(small=small_worlds(), plane=st.sampled_from(list(Plane)))
def test_requests_are_served_in_the_order_in_which_they_came(
    small: SmallWorld, plane: Plane
) -> None:
    world = small.build()
    regime = replace(HUB, plane=plane)
    ledger = run_ledger(world, regime)
    facts = lower_facts(world, regime)
    stage, time_us = ledger.stage, ledger.time_us
    # Decided once: those that came back have been in the queue more than once.
    once = (stage["bounces"] == 0) & (stage["redos"] == 0) & (stage["epoch"] == 0)
    served = once & ((stage["unit"] >= 0) | (time_us[:, UNMATCHED] > 0))
    came_us = stage["ready_us"] + time_us[:, TOOL] + time_us[:, IN_FLIGHT]
    began_us = came_us + time_us[:, QUEUED]
    # Requests that were passed on have been in more than one queue.
    served &= stage["passed_on"] == 0
    for which in np.unique(facts.stage_plane):
        mine = np.flatnonzero(served & (facts.stage_plane == which))
        order = mine[np.lexsort((mine, came_us[mine]))]
        assert (np.diff(began_us[order]) >= 0).all()


@pytest.mark.parametrize("cadence", list(Cadence))
@given(small=small_worlds())
def test_control_work_on_the_planes_is_that_on_the_stages_and_on_nobody_s(
    cadence: Cadence, small: SmallWorld
) -> None:
    for plane in Plane:
        ledger = run_ledger(small.build(), replace(HUB, plane=plane, cadence=cadence))
        done = ledger.stage["status"] == COMPLETE
        checked = ledger.plane["verification_core_us"] + ledger.plane["settlement_core_us"]
        assert checked.sum() == ledger.stage["verification_core_us"].sum()
        assert ledger.plane["decision_core_us"].sum() >= ledger.stage["decision_core_us"].sum()
        assert not done.any() or ledger.plane["n_decisions"].sum() > 0


def four_planes(n_jobs: int, seed: int) -> tuple[World, Integers]:
    """Offer four regions 0.8 requests a second each, with services of one core-second."""
    rng = np.random.default_rng(seed)
    workload = plain_workload(
        poisson_us(rng, n_jobs, 3.2),
        np.ones(n_jobs, np.int64),
        origin=rng.integers(0, 4, n_jobs),
        service=rng.exponential(1.0, n_jobs),
        patience_us=3_600 * US_PER_S,
    )
    terms = replace(FREE_TERMS, control_cores=4.0, service_posted_us=float(US_PER_S))
    horizon_us = int(workload.job_arrival_us[-1]) + 3_600 * US_PER_S
    world = plain_world(workload, n_nodes=40, n_regions=4, horizon_us=horizon_us, terms=terms)
    return world, np.rint(workload.attempt_service[0] * US_PER_S).astype(np.int64)


def test_venues_wait_apart_and_a_hub_waits_together_with_the_same_cores() -> None:
    world, service_us = four_planes(60_000, seed=1)
    hub, venues = (run_ledger(world, regime) for regime in (HUB, VENUES))
    pooled_s = erlang_c(4, 0.8) / (4 * 0.2)
    assert mean_close_to("pooled", pooled_s, hub.time_us[:, QUEUED] / US_PER_S).passed
    assert mean_close_to("apart", 4.0, venues.time_us[:, QUEUED] / US_PER_S).passed
    for region in range(4):
        mine = world.workload.job_origin == region
        exact_us = lindley_wait_us(world.workload.job_arrival_us[mine], service_us[mine])
        assert np.array_equal(venues.time_us[mine, QUEUED], exact_us)


def test_the_same_decisions_are_charged_the_same_at_a_hub_and_at_venues() -> None:
    world, service_us = four_planes(2_000, seed=2)
    for regime in (HUB, VENUES):
        ledger = run_ledger(world, regime)
        assert np.array_equal(ledger.stage["decision_core_us"], service_us)
        assert ledger.plane["n_decisions"].sum() == 2_000


def test_one_core_for_n_regions_waits_as_the_textbook_says() -> None:
    # 50 regions at 1/s against 100/s: a wait of 10 ms, 20 ms in the system.
    rng = np.random.default_rng(5)
    n_jobs = 60_000
    workload = plain_workload(
        poisson_us(rng, n_jobs, 50.0),
        np.ones(n_jobs, np.int64),
        origin=rng.integers(0, 50, n_jobs),
        service=rng.exponential(1.0, n_jobs),
        patience_us=60 * US_PER_S,
    )
    terms = replace(FREE_TERMS, service_posted_us=10_000.0)
    world = plain_world(
        workload,
        n_nodes=50,
        n_regions=50,
        horizon_us=int(workload.job_arrival_us[-1]) + 60 * US_PER_S,
        terms=terms,
    )
    time_us = run_ledger(world, HUB).time_us
    in_system_ms = (time_us[:, QUEUED] + time_us[:, IN_SERVICE]) / 1_000.0
    check = mean_close_to("hub of 50 regions", 20.0, in_system_ms)
    assert check.passed
    assert check.tolerance < 2.0


def test_priority_does_not_pre_empt_the_queue() -> None:
    # An owner's own job ranks first on its units, not in the queue of requests.
    world = at_once(3, service_posted_us=1e6)
    own = replace(world.workload, job_first_party=np.array([-1, -1, 0]))
    ledger = run_ledger(replace(world, workload=own), CENTRAL)
    assert (ledger.time_us[:, QUEUED] / US_PER_S).tolist() == [0.0, 1.0, 2.0]
    assert CENTRAL.ranking is Ranking.FIRST_PARTY
