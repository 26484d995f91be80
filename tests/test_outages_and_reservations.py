"""Sites of control that are down, messages whose way varies, and nodes reserved for one buyer."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.agents.lowering import lower_facts, lower_rules
from hanse.agents.world import Outages, World
from hanse.market.accounts.occupancy import H, I, label_time
from hanse.market.engine.debt_meter import AUDIT_WORK
from hanse.market.engine.states import (
    DISPATCHED,
    IN_FLIGHT,
    LANDING,
    N_WAITING_STATES,
    QUEUED,
    UNMATCHED,
)
from hanse.market.reference import reference_ledger
from hanse.market.regime import Admission, Cadence, Plane, Regime
from hanse.market.units import US_PER_S, Integers
from hanse.scenarios.draw import draw_world
from hanse.scenarios.scenario import load
from hanse.scenarios.selftest.checks import run_ledger
from tests.strategies import (
    HUB,
    SmallWorld,
    all_regimes,
    finish,
    small_worlds,
    with_fleet,
    with_jobs,
    world_of,
)

LATE = replace(HUB, cadence=Cadence.ON_ARRIVAL)


def down(world: World, *rows: tuple[int, float, float]) -> World:
    """Let sites be down: (region, from, until) in seconds."""
    region, begin_s, end_s = np.array(rows).T
    outages = Outages(
        region=region.astype(np.int64),
        from_us=np.rint(begin_s * US_PER_S).astype(np.int64),
        until_us=np.rint(end_s * US_PER_S).astype(np.int64),
    )
    return replace(world, outages=outages)


def executed(world: World, regime: Regime) -> list[tuple[int, int, float]]:
    """Return (stage, unit, second of acceptance) of each execution, by stage."""
    rows = finish(world, regime).work
    return sorted(
        zip(
            rows["stage"].tolist(),
            rows["unit"].tolist(),
            (rows["accepted_us"] / US_PER_S).tolist(),
            strict=True,
        )
    )


def test_a_hub_that_is_down_decides_nothing_until_it_is_up_again() -> None:
    world = world_of(arrival_s=[1.0, 20.0], work_s=[2.0, 2.0], units=[0, 0])
    # Two outages that overlap are one.
    world = down(world, (0, 0.5, 4.0), (0, 3.0, 10.0))
    assert executed(world, LATE) == [(0, 0, 10.0), (1, 0, 20.0)]
    assert run_ledger(world, LATE).time_us[:, QUEUED].tolist() == [9 * US_PER_S, 0]


def test_an_outage_ends_exactly_when_it_says() -> None:
    world = world_of(arrival_s=[4.0, 30.0], work_s=[2.0, 2.0], units=[0, 0])
    assert executed(down(world, (0, 1.0, 4.0)), LATE) == [(0, 0, 4.0), (1, 0, 30.0)]
    later = down(world, (0, 4.0, 5.5))
    assert executed(later, LATE) == [(0, 0, 5.5), (1, 0, 30.0)]


def test_a_venue_that_is_down_stops_its_own_requests_alone() -> None:
    world = world_of(
        arrival_s=[1.0, 2.0], work_s=[2.0, 2.0], origin=[0, 1], units=[0, 1], n_regions=2
    )
    world = down(world, (0, 0.0, 8.0))
    assert [at_s for *_, at_s in executed(world, replace(LATE, plane=Plane.VENUES))] == [8.0, 2.0]
    # The hub of this world sits in the first region, and its outage stops everybody.
    assert [at_s for *_, at_s in executed(world, LATE)] == [8.0, 8.0]


def test_the_reference_knows_neither_outage_nor_jitter() -> None:
    world = world_of(arrival_s=[1.0], work_s=[2.0], units=[0], one_way_s=0.0)
    broken = with_jobs(down(world, (0, 0.0, 50.0)), attempt_way=np.full((8, 1), 3.0))
    for one in (world, broken):
        rules = lower_rules(one.terms, LATE, horizon_us=one.horizon_us, n_planes=1)
        free_from_us = one.fleet.node_free_from_us
        ledger = reference_ledger(lower_facts(one, LATE), rules, free_from_us, n_families=1)
        assert ledger.record["accepted_us"].tolist() == [US_PER_S]


def test_jitter_stretches_the_way_of_request_and_command_alike() -> None:
    world = world_of(
        arrival_s=[1.0],
        work_s=[2.0],
        origin=[1],
        units=[1],
        n_regions=2,
        one_way_s=0.25,
        control_delay_scale=1.0,
    )
    slow = with_jobs(world, attempt_way=np.full((8, 1), 3.0))
    for one, factor in ((world, 1), (slow, 3)):
        ledger = run_ledger(one, LATE)
        travelled = ledger.time_us[0, [IN_FLIGHT, DISPATCHED, LANDING]]
        assert travelled[0] == factor * 250_000
        assert travelled[1:].sum() == factor * 250_000


def test_drawn_ways_have_unit_mean_and_there_are_none_by_default() -> None:
    assert draw_world(load("baseline"), 0).workload.attempt_way.size == 0
    way = draw_world(load("baseline").replace({"control.jitter_sigma": 0.6}), 0)
    factor = way.workload.attempt_way
    log = np.log(factor)
    # exp(sigma z - sigma**2 / 2) for normal z; five standard errors.
    assert abs(factor.mean() - 1) < 5 * factor.std() / factor.size**0.5
    assert abs(log.std() - 0.6) < 5 * 0.6 / (2 * log.size) ** 0.5


def test_drawn_outages_come_at_their_rate_and_last_as_long_as_they_should() -> None:
    settings = {
        "control.outages_per_day": 2_000.0,
        "control.outage_s": 30.0,
        "measurement.horizon_s": 86_400.0,
        "load.model_calls": 10,
        "load.batch_jobs": 1,
    }
    world = draw_world(load("baseline").replace(settings), 1)
    outages, n_regions = world.outages, world.geography.n_regions
    expected = 2_000.0 * n_regions
    assert abs(len(outages.region) - expected) < 5 * expected**0.5
    length_s = (outages.until_us - outages.from_us) / US_PER_S
    assert abs(length_s.mean() - 30.0) < 5 * 30.0 / len(length_s) ** 0.5
    assert (np.lexsort((outages.from_us, outages.region)) == np.arange(len(length_s))).all()
    assert len(draw_world(load("baseline"), 1).outages.region) == 0


@given(small=small_worlds(), regime=st.sampled_from(all_regimes()), seed=st.integers(0, 99))
def test_nobody_is_decided_on_by_a_site_that_is_down(
    small: SmallWorld, regime: Regime, seed: int
) -> None:
    world = small.build()
    rng = np.random.default_rng(seed)
    n_regions = world.geography.n_regions
    begin_s = np.sort(rng.uniform(0.0, world.horizon_us / US_PER_S, n_regions))
    world = down(world, *((k, begin_s[k], begin_s[k] + 5.0) for k in range(n_regions)))
    run = finish(world, regime, n_payments=5_000)
    seat = lower_facts(world, regime).plane_region[run.ledger.stage["plane"]]
    for payment in run.payments:
        # A stage that was passed on was decided elsewhere before; audits need no site of control.
        was_here = run.ledger.stage["passed_on"][payment["stage"]] == 0
        if was_here and payment["kind"] != AUDIT_WORK:
            region, at_us = seat[payment["stage"]], payment["paid_us"]
            assert not (world.outages.from_us[region] <= at_us < world.outages.until_us[region])


RESERVED = replace(LATE, plane=Plane.RESERVED)


def two_tenants(tenant: list[int]) -> World:
    """Let one buyer in each of two regions ask twice; there are two units, both in the first."""
    world = world_of(
        arrival_s=[1.0, 2.0, 3.0],
        work_s=[10.0, 10.0, 10.0],
        origin=[0, 0, 1],
        units=[0, 0],
        n_regions=2,
    )
    return with_fleet(world, node_tenant=np.array(tenant))


def test_a_reserved_unit_waits_for_its_tenant_and_for_nobody_else() -> None:
    world = two_tenants([1, -1])
    # The first buyer has the open unit alone; the second buyer's own has been idle until 3 s.
    assert executed(world, RESERVED) == [(0, 1, 1.0), (1, 1, 11.0), (2, 0, 3.0)]
    assert executed(two_tenants([-1, -1]), RESERVED)[:2] == [(0, 0, 1.0), (1, 1, 2.0)]
    ledger = run_ledger(world, RESERVED)
    assert ledger.time_us[1, UNMATCHED] == 9 * US_PER_S


def test_what_a_reserved_unit_idles_is_held_and_displaces_who_could_have_had_it() -> None:
    world = two_tenants([1, -1])
    instants: Integers = np.arange(100) * US_PER_S + US_PER_S // 2
    run = finish(replace(world, sample_instant_us=instants), RESERVED)
    held = run.measured.occupancy
    by_label = {label: int(held.unit_us[held.label == label].sum()) // US_PER_S for label in (H, I)}
    # 100 s each: the reserved unit works from 3 to 13 s, the open one from 1 to 21 s.
    assert by_label == {H: 90, I: 80}
    # One unit is idle while the second job waits: from 2 to 3 s. From 3 to 11 s both are at work.
    assert run.measured.cost.displacement_gpu_s.sum() == pytest.approx(1.0)
    free = label_time(finish(world, LATE).ledger, 1)
    assert int(free.unit_us[free.label == H].sum()) == 0


@given(small=small_worlds(), regime=st.sampled_from(all_regimes()))
def test_a_tenant_s_unit_serves_its_tenant_alone(small: SmallWorld, regime: Regime) -> None:
    world = small.build()
    run = finish(world, replace(regime, plane=Plane.RESERVED, admission=Admission.OPEN))
    record = run.ledger.record
    work = record[run.ledger.work]
    tenant = world.fleet.node_tenant[work["unit"]]
    buyer = run.ledger.stage_fact["buyer"][work["stage"]]
    assert ((tenant == -1) | (tenant == buyer)).all()
    assert run.ledger.time_us[:, :N_WAITING_STATES].min() >= 0


def test_reserved_shares_follow_the_buyers_shares() -> None:
    world = draw_world(load("baseline").replace({"fleet.nodes": 20_000}), 0)
    tenant = world.fleet.node_tenant
    n_nodes, expected = len(tenant), 0.7
    share = (tenant >= 0).mean()
    assert abs(share - expected) < 5 * (expected * (1 - expected) / n_nodes) ** 0.5
    rank = np.arange(1.0, len(world.workload.buyer_region) + 1.0)
    law = rank**-1.0 / (rank**-1.0).sum()
    got = np.bincount(tenant[tenant >= 0], minlength=len(law)) / (tenant >= 0).sum()
    zipf = load("baseline").number("load.buyer_zipf")
    law = rank**-zipf / (rank**-zipf).sum()
    assert np.abs(got - law).max() < 5 * (law.max() / (share * n_nodes)) ** 0.5
