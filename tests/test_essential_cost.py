"""Essential coordination: on paper, the same for all regimes, and never above what one spends."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings

from hanse.agents.lowering import lower_facts
from hanse.agents.world import World
from hanse.market.accounts.essential_cost import EssentialCost, essential_cost, executed_stages
from hanse.market.engine.states import CONTEXT, IDENTITY, POLICY, VERIFICATION
from hanse.market.jurisdictions import RESIDENT
from hanse.market.regime import CENTRAL, MARKET, ladder
from hanse.market.units import US_PER_S
from hanse.scenarios.draw import draw_world
from hanse.scenarios.measuring.run_tables import tables_of
from hanse.scenarios.scenario import load
from hanse.scenarios.yardstick import measure_yardstick, with_losses
from tests.strategies import (
    SmallWorld,
    cheating_worlds,
    finish,
    finished,
    frictionless_worlds,
    small_worlds,
    with_audits,
    with_fleet,
    with_jobs,
    world_of,
)
from tests.test_debt_of_crossings_by_hand import crossing_job

SIZE = {"fleet.nodes": 30, "load.model_calls": 120, "load.batch_jobs": 10}


def essential(world: World, risk_target: float | None = None) -> EssentialCost:
    return essential_cost(lower_facts(world, CENTRAL), world.terms, risk_target=risk_target)


@cache
def drawn(seed: int, context_ttl_s: float) -> World:
    settings_ = SIZE | {"crossing.context_ttl_s": context_ttl_s}
    return draw_world(load("baseline").replace(settings_), seed)


def spares(world: World, small: SmallWorld | None = None) -> list[float]:
    """Return, for each rung and family, the cost beyond the essential; and check the core time."""
    its = essential(world)
    n_families = len(world.workload.family)
    left: list[float] = []
    for rung in ladder:
        run = finished(small, rung.regime) if small else finish(world, rung.regime)
        executed = executed_stages(run.ledger)
        fact = run.ledger.stage_fact
        needed = its.gpu_s(executed, fact["family"], n_families)
        left += (run.measured.cost.per_family() - needed.sum(axis=1)).tolist()
        spent_core_s = run.ledger.stage["data_core_us"].sum() / US_PER_S
        left.append(spent_core_s - its.core_s(executed, fact["buyer"]))
        rebuilt = run.measured.cost.displaced_gpu_s[:, CONTEXT].sum(axis=(1, 2))
        left += (rebuilt - needed[:, CONTEXT]).tolist()
    return left


@settings(max_examples=25)
@given(small=small_worlds())
def test_no_rung_spends_less_than_the_essential(small: SmallWorld) -> None:
    assert min(spares(small.build(), small)) >= -1e-9


@settings(max_examples=15)
@given(small=cheating_worlds())
def test_no_rung_spends_less_where_cheats_are_redone(small: SmallWorld) -> None:
    assert min(spares(small.build(), small)) >= -1e-9


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("context_ttl_s", [0.0, 1.0])
def test_no_rung_of_the_baseline_spends_less(seed: int, context_ttl_s: float) -> None:
    world = drawn(seed, context_ttl_s)
    assert essential(world).gpu_us[:, CONTEXT].sum() > 0
    assert min(spares(world)) >= -1e-9


@settings(max_examples=40)
@given(small=small_worlds())
def test_it_is_not_negative_and_the_same_whichever_regime(small: SmallWorld) -> None:
    world = small.build()
    one, other = (
        essential_cost(lower_facts(world, regime), world.terms, risk_target=0.0)
        for regime in (CENTRAL, MARKET)
    )
    for name in EssentialCost.__slots__:
        column = getattr(one, name)
        assert np.isfinite(column).all()
        assert (column >= 0).all()
        assert (column == getattr(other, name)).all()


@settings(max_examples=30)
@given(small=frictionless_worlds())
def test_nothing_is_essential_where_nothing_is_lost_or_checked(small: SmallWorld) -> None:
    its = essential(small.build(), risk_target=0.0)
    assert all(not getattr(its, name).any() for name in EssentialCost.__slots__)


def test_a_context_is_essential_only_where_the_tool_outlasts_it() -> None:
    world = crossing_job(holds=True)
    # Kept for nothing: on the way home, half a millisecond, it is lost.
    assert essential(world).gpu_us[:, CONTEXT].tolist() == [0.0, 500_000.0, 0.0]
    kept = replace(world, terms=replace(world.terms, context_ttl_us=500))
    assert not essential(kept).gpu_us.any()
    slow = with_jobs(kept, stage_tool_us=np.array([0, 1, 0]))
    assert essential(slow).gpu_us[:, CONTEXT].tolist() == [0.0, 500_000.0, 0.0]


def test_a_crossing_is_essential_where_home_has_no_unit() -> None:
    world = world_of(arrival_s=[0.0, 1.0], work_s=[1.0, 1.0], units=[1], n_regions=2, one_way_s=0.1)
    costs = replace(
        world.crossing,
        identity_full_us=5_000.0,
        identity_verify_us=250.0,
        policy_base_us=100.0,
        proxy_cpu_us=30.0,
        round_trip_scale=1.0,
    )
    its = essential(replace(world, crossing=costs))
    assert its.core_us[:, IDENTITY].tolist() == [250.0, 250.0]
    assert its.core_us[:, POLICY].tolist() == [130.0, 130.0]
    assert its.commit_us.tolist() == [200_000.0, 200_000.0]
    # One identity for the buyer: 5,000 us instead of 250, once.
    assert its.core_s(np.array([True, True]), np.array([0, 0])) == pytest.approx(0.00551)
    assert its.core_s(np.array([False, False]), np.array([0, 0])) == 0.0
    at_home = with_fleet(replace(world, crossing=costs), node_region=np.array([0]))
    assert not essential(at_home).core_us.any()


def test_work_that_law_forbids_everywhere_needs_nothing() -> None:
    world = world_of(arrival_s=[0.0], work_s=[1.0], units=[1], n_regions=2, one_way_s=0.1)
    its = essential(with_jobs(world, job_data_class=np.array([RESIDENT])))
    assert not its.core_us.any()
    assert not its.commit_us.any()


def test_audits_are_essential_up_to_what_finds_or_deters() -> None:
    world = with_audits(
        world_of(arrival_s=[0.0], work_s=[10.0], units=[0]), audit_share=0.5, saved_share=1e6
    )
    # Half are tempted; all audits find. A tenth may stay: four fifths are audited, half the work.
    found = essential(world, risk_target=0.1).gpu_us[0, VERIFICATION]
    assert found == pytest.approx(0.8 * 5e6)
    assert essential(world, risk_target=0.5).gpu_us[0, VERIFICATION] == 0.0
    assert essential(world).gpu_us[0, VERIFICATION] == 0.0
    # Saving 0.6 of 10 s at 1 USD an hour is 1/600; at stake are 5 times 100 USD.
    timid = replace(world, terms=replace(world.terms, saved_share=0.6))
    deterred = essential(timid, risk_target=0.1).gpu_us[0, VERIFICATION]
    assert deterred == pytest.approx(5e6 / 600.0 / 500.0)
    with pytest.raises(ValueError, match="risk_target must be in"):
        essential(world, risk_target=1.5)


def test_excess_is_cost_less_what_was_essential_in_the_measures() -> None:
    world = drawn(0, 1.0)
    yardstick = measure_yardstick(world)
    run = finish(world, MARKET)
    table = with_losses(tables_of(run.measured)["measures"], yardstick, run.measured)
    value = dict(
        zip(
            zip(table["family"].tolist(), table["measure"].tolist(), strict=True),
            table["value"].tolist(),
            strict=True,
        )
    )
    for family in world.workload.family:
        needed = value[family, "essential_cost_gpu_s"]
        assert needed >= 0
        assert value[family, "excess_cost_gpu_s"] == value[family, "sync_cost_gpu_s"] - needed
    assert sum(value[family, "essential_cost_gpu_s"] for family in world.workload.family) > 0
