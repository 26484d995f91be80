"""Power caps: sites share what they may draw, to the microsecond, whoever decides."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.agents.lowering import lower_facts
from hanse.agents.world import World
from hanse.market.accounts.energy import power_limit_w
from hanse.market.accounts.occupancy import B, C, F, I, U, X
from hanse.market.engine.columns import Rows
from hanse.market.engine.power_caps import LONGEST_US
from hanse.market.engine.states import (
    AUDITING,
    CONTEXT,
    CROSSING,
    EXECUTING,
    IDENTITY,
    ON_CONTEXT,
    POWER_CAP,
    ROUTING,
    STRATEGIC,
    VERIFICATION,
)
from hanse.market.regime import AUDITED_MARKET, CENTRAL, Regime, ladder
from hanse.market.units import US_PER_S
from hanse.scenarios.selftest.checks import run_ledger
from tests.strategies import (
    AUDITED,
    HUB,
    SmallWorld,
    all_regimes,
    capped_worlds,
    finish,
    small_worlds,
    with_audits,
    with_fleet,
    with_jobs,
    with_luck,
    with_power_cap,
    world_of,
)
from tests.test_occupancy import labels_of, name


def ends_s(world: World, regime: Regime = HUB) -> list[float]:
    """Return when each occupation ends."""
    ends: list[float] = (run_ledger(world, regime).record["end_us"] / US_PER_S).tolist()
    return ends


def two_jobs(*, arrival_s: list[float], share: float = 0.5, **terms: float) -> World:
    """Build two jobs of 10 s on two units of 100 W, which idle at nothing."""
    world = world_of(
        arrival_s=arrival_s,
        work_s=[10.0, 10.0],
        units=[0, 0],
        **({"active_w": 100.0, "idle_w": 0.0} | terms),
    )
    return with_power_cap(world, share)


def test_two_jobs_under_half_the_power_take_twice_as_long() -> None:
    world = two_jobs(arrival_s=[0.0, 0.0])
    assert ends_s(world) == [20.0, 20.0]
    assert labels_of(world) == {name(U): 20.0, name(X, cause=POWER_CAP): 20.0, name(I): 160.0}


def test_a_rate_changes_whenever_the_set_of_busy_units_does() -> None:
    # The first works alone until 5, then both at half speed until its other 5 s are done at 15;
    # the second has 5 s left then, and works alone.
    world = two_jobs(arrival_s=[0.0, 5.0])
    assert ends_s(world) == [15.0, 20.0]
    assert labels_of(world) == {name(U): 20.0, name(X, cause=POWER_CAP): 10.0, name(I): 170.0}


def test_idle_power_comes_off_the_cap_first() -> None:
    # 150 W less twice 50 W of idling leave 50 W for two units that add 50 W each: half speed.
    world = two_jobs(arrival_s=[0.0, 0.0], share=0.75, idle_w=50.0)
    assert ends_s(world) == [20.0, 20.0]


def test_a_cap_below_idle_power_stops_all_work() -> None:
    world = two_jobs(arrival_s=[0.0, 0.0], share=0.25, idle_w=50.0)
    assert labels_of(world) == {name(X, cause=POWER_CAP): 200.0}


def test_busy_cores_slow_work_down_and_are_blamed() -> None:
    # 100 W, of which the one core takes 50 W while it decides: on the first job until 10, on the
    # second until 20. The first starts at 10 and is slowed to half until 20; 5 s are left.
    world = two_jobs(
        arrival_s=[0.0, 0.0],
        core_w=50.0,
        service_posted_us=10.0 * US_PER_S,
    )
    assert ends_s(world)[0] == 30.0
    run = labels_of(world)
    assert run[name(C, ROUTING, POWER_CAP)] == 5.0


def crossing_job(*, share: float, hold: bool) -> World:
    """Build two jobs on units of region 1: one that lies there, and one that crosses to it.

    The first has 20 s of work from 0 on. The other comes at 0, too, with 10 s of context to
    rebuild before its 10 s of work, and holds its unit for 2 s before that, or does not.
    """
    world = world_of(
        arrival_s=[0.0, 0.0],
        work_s=[20.0, 10.0],
        units=[1, 1],
        origin=[1, 0],
        n_regions=2,
        active_w=100.0,
        context_tokens_per_gpu_s=1.0,
    )
    world = with_jobs(
        world,
        stage_context_tokens=np.array([0, 10]),
        stage_holds=np.array([False, hold]),
    )
    world = replace(world, crossing=replace(world.crossing, identity_full_us=2.0 * US_PER_S))
    return with_power_cap(world, share)


def test_coordination_under_a_cap_costs_others_time() -> None:
    world = crossing_job(share=0.5, hold=True)
    # Half the power of two units drives one. Until 2 the first works alone. Then one rebuilds and
    # one works, at half speed: payload alone would go at full speed, so the rest is lost to the
    # rebuild, until it is done at 22, when the first has 8 s left and the second 10. Two work at
    # half speed until 38: lost to the cap. Then one has 2 s left.
    assert ends_s(world) == [38.0, 40.0]
    assert labels_of(world) == {
        name(U): 30.0,
        name(C, CONTEXT, CROSSING): 10.0,
        name(C, CONTEXT, POWER_CAP): 20.0,
        name(B, IDENTITY, CROSSING): 2.0,
        name(X, cause=POWER_CAP): 16.0,
        name(I): 200.0 - 78.0,
    }


def test_a_rebuild_that_is_slowed_down_is_the_stages_time_on_its_context() -> None:
    run = finish(crossing_job(share=0.5, hold=True), HUB)
    assert run.measured.counts.state_us[0, [ON_CONTEXT, EXECUTING]].tolist() == [
        20 * US_PER_S,
        56 * US_PER_S,
    ]


def test_a_cheat_draws_nothing_that_others_could_miss() -> None:
    world = with_audits(two_jobs(arrival_s=[0.0, 0.0]), audit_probability=0.001)
    world = with_luck(world, temptation=[[0.0, 1.0]])
    assert labels_of(world, AUDITED) == {
        name(F, VERIFICATION, STRATEGIC): 10.0,
        name(U): 10.0,
        name(I): 180.0,
    }


def test_an_audit_takes_power_from_payload() -> None:
    world = with_audits(two_jobs(arrival_s=[0.0, 10.0]))
    world = with_luck(world, temptation=[[1.0, 1.0]], audit=[[0.0, 1.0]])
    # The first ends at 10; its audit and the second share the power of one unit until 30.
    assert labels_of(world, AUDITED) == {
        name(U): 20.0,
        name(C, VERIFICATION, AUDITING): 10.0,
        name(C, VERIFICATION, POWER_CAP): 20.0,
        name(I): 150.0,
    }


def test_the_horizon_cuts_off_what_a_cap_has_slowed_down() -> None:
    world = replace(two_jobs(arrival_s=[0.0, 0.0]), horizon_us=13 * US_PER_S)
    assert labels_of(world) == {name(U): 13.0, name(X, cause=POWER_CAP): 13.0}


def test_residual_work_is_slowed_down_too() -> None:
    world = world_of(arrival_s=[90.0], work_s=[5.0], units=[0, 0], active_w=100.0)
    world = with_fleet(world, node_free_from_us=np.array([10, 10]) * US_PER_S)
    assert ends_s(with_power_cap(world, 0.5)) == [20.0, 20.0, 95.0]


def test_only_the_regions_with_a_cap_slow_down() -> None:
    world = world_of(
        arrival_s=[0.0, 0.0],
        work_s=[10.0, 10.0],
        origin=[0, 1],
        units=[0, 1],
        n_regions=2,
        active_w=100.0,
    )
    caps = replace(world.geography, power_cap_share=np.array([1.0, 0.5]))
    assert sorted(ends_s(replace(world, geography=caps))) == [10.0, 20.0]


def test_a_horizon_that_the_clock_of_a_site_cannot_count_is_refused() -> None:
    world = replace(two_jobs(arrival_s=[0.0, 0.0]), horizon_us=LONGEST_US + 1)
    with pytest.raises(ValueError, match="power caps allow a horizon"):
        lower_facts(world, CENTRAL)


def same(one: Rows, other: Rows) -> bool:
    """Say whether two columns agree byte for byte."""
    return one.tobytes() == other.tobytes()


@settings(max_examples=40)
@given(small=small_worlds(), regime=st.sampled_from(all_regimes()))
def test_a_cap_of_one_is_no_cap(small: SmallWorld, regime: Regime) -> None:
    world = small.build()
    without = replace(world, geography=replace(world.geography, power_cap_share=np.zeros(0)))
    one, other = run_ledger(world, regime), run_ledger(without, regime)
    assert same(one.record, other.record)
    assert same(one.time_us, other.time_us)
    assert same(one.plane, other.plane)


@settings(max_examples=60)
@given(small=small_worlds(), regime=st.sampled_from(all_regimes()))
def test_a_cap_that_never_binds_changes_nothing(small: SmallWorld, regime: Regime) -> None:
    # Where work adds nothing to idle power, the clocks of sites run, and nothing is slowed down.
    terms = replace(small.terms, active_w=700.0, idle_w=700.0, core_w=0.0)
    small = replace(small, terms=terms)
    one = run_ledger(small.build(), regime)
    other = run_ledger(replace(small, power_cap_share=0.9).build(), regime)
    assert len(other.lost_us) == len(other.record)
    assert other.lost_us.sum() == 0
    assert same(one.record, other.record)
    assert same(one.time_us, other.time_us)


@settings(max_examples=100)
@given(small=capped_worlds(), regime=st.sampled_from([*all_regimes(), AUDITED_MARKET]))
def test_no_site_draws_more_than_its_cap(small: SmallWorld, regime: Regime) -> None:
    run = finish(small.build(), regime)
    terms, horizon_s = run.world.terms, run.ledger.horizon_us / US_PER_S
    drawn = run.measured.energy.table()[0].sum(axis=(0, 1, 2, 3))
    limit = power_limit_w(run.ledger, terms)
    idle = np.bincount(run.ledger.unit["region"], minlength=len(limit)) * terms.idle_w
    assert (drawn <= np.maximum(limit, idle) * horizon_s * (1.0 + 1e-9)).all()


def test_less_power_means_less_payload_on_every_rung() -> None:
    world = world_of(
        arrival_s=[float(k) for k in range(30)],
        work_s=[9.0] * 30,
        units=[0] * 6,
        horizon_s=60.0,
        patience_s=1e4,
        active_w=700.0,
        idle_w=100.0,
    )
    for rung in ladder:
        done = []
        for share in (1.0, 0.8, 0.6, 0.4, 0.2):
            occupancy = finish(with_power_cap(world, share), rung.regime).measured.occupancy
            done.append(int(occupancy.unit_us[occupancy.label == U].sum()))
        assert done == sorted(done, reverse=True)
        assert done[-1] < done[0] / 3
