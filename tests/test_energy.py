"""Joules: what the ledgers say was drawn, by hand, and down to the last unit-microsecond."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.market.accounts.energy import (
    ACCELERATOR,
    CORE,
    NETWORK,
    carbon_kg,
    core_time,
    power_limit_w,
    unit_joules,
    usd_per_joule,
)
from hanse.market.accounts.occupancy import NONE, B, C, F, H, I, U, X
from hanse.market.engine.states import (
    AUDITING,
    CONTEXT,
    CROSSING,
    DISTANCE,
    IDENTITY,
    POWER_CAP,
    ROUTING,
    SERVICE,
    STALENESS,
    VERIFICATION,
)
from hanse.market.regime import AUDITED_MARKET
from hanse.market.units import BYTES_PER_GB, J_PER_KWH, US_PER_S
from hanse.scenarios.measuring.run_tables import tables_of
from hanse.scenarios.outcomes import MEASURES, SHARED_MEASURES
from tests.strategies import (
    HUB,
    Finished,
    SmallWorld,
    all_regimes,
    capped_worlds,
    finish,
    finished,
    small_worlds,
    with_jobs,
    world_of,
)

WATTS = {U: 700, C: 700, F: 700, B: 100, H: 100, I: 100, X: 0}


def crossing_run(*, hold: bool, **terms: float) -> Finished:
    """Run 10 s of work that crosses from region 0 to 1 with 2 GB, for 2 s, and rebuilds for 3 s."""
    world = world_of(
        arrival_s=[0.0],
        work_s=[10.0],
        units=[1],
        n_regions=2,
        active_w=700.0,
        idle_w=100.0,
        core_w=10.0,
        context_tokens_per_gpu_s=1.0,
        **terms,
    )
    world = with_jobs(
        world,
        stage_holds=np.array([hold]),
        stage_input_bytes=np.array([2 * BYTES_PER_GB]),
        stage_context_tokens=np.array([3]),
    )
    crossing = replace(world.crossing, identity_full_us=0.4 * US_PER_S)
    return finish(replace(world, crossing=crossing), HUB)


def test_a_held_unit_idles_while_it_waits_and_works_while_it_rebuilds() -> None:
    joules = crossing_run(hold=True).measured.energy.table()[ACCELERATOR]
    # 2 GB at 10 Gbit/s take 1.6 s, and identity 0.4 s.
    assert joules[0, B, CONTEXT + 1, DISTANCE + 1].tolist() == pytest.approx([0.0, 160.0])
    assert joules[0, B, IDENTITY + 1, CROSSING + 1].tolist() == pytest.approx([0.0, 40.0])
    assert joules[0, C, CONTEXT + 1, CROSSING + 1].tolist() == pytest.approx([0.0, 2_100.0])
    assert joules[0, U, 0, 0].tolist() == pytest.approx([0.0, 7_000.0])
    assert joules[1, I, 0, 0].tolist() == pytest.approx([0.0, 8_500.0])
    assert joules.sum() == pytest.approx(17_800.0)


@pytest.mark.parametrize("hold", [True, False])
def test_bytes_draw_where_they_come_from_and_a_network_stands(hold: bool) -> None:
    run = crossing_run(hold=hold, network_j_per_gb=500.0, network_standing_w=20.0)
    network = run.measured.energy.table()[NETWORK]
    assert network[0, C, CONTEXT + 1, DISTANCE + 1].tolist() == [1_000.0, 0.0]
    # One node for 100 s, in region 1.
    assert network[1, I, 0, 0].tolist() == [0.0, 2_000.0]
    assert network.sum() == 3_000.0


def test_standing_power_does_not_follow_volume() -> None:
    runs = [crossing_run(hold=True, network_standing_w=w, network_j_per_gb=1.0) for w in (0, 20)]
    drawn = [run.measured.energy.table()[NETWORK] for run in runs]
    assert (drawn[1] - drawn[0]).sum() == 2_000.0
    assert drawn[0].sum() == 2.0


def test_cores_draw_where_their_plane_sits_and_crossings_where_work_is_done() -> None:
    run = crossing_run(hold=True, service_posted_us=0.5 * US_PER_S, receipt_verify_us=1e6)
    cores = run.measured.energy.table()[CORE]
    assert cores[0, C, ROUTING + 1, SERVICE + 1].tolist() == pytest.approx([5.0, 0.0])
    assert cores[0, C, VERIFICATION + 1, AUDITING + 1].tolist() == pytest.approx([10.0, 0.0])
    assert cores[0, C, IDENTITY + 1, CROSSING + 1].tolist() == pytest.approx([0.0, 4.0])


def test_refreshes_draw_power_that_is_nobodys() -> None:
    run = crossing_run(hold=True, service_message_us=1_000.0, refresh_interval_us=US_PER_S)
    nobody = run.measured.energy.table()[CORE, -1, C, ROUTING + 1, STALENESS + 1]
    refresh_us = run.ledger.plane["refresh_core_us"].sum()
    assert refresh_us > 0
    assert nobody.tolist() == pytest.approx([refresh_us * 10.0 / US_PER_S, 0.0])


def test_what_feeds_and_cools_machines_multiplies_everything() -> None:
    terms = {"network_j_per_gb": 500.0, "network_standing_w": 20.0, "service_posted_us": 1e6}
    plain, cooled = (crossing_run(hold=True, pue=pue, **terms) for pue in (1.0, 1.25))
    one, other = plain.measured, cooled.measured
    assert other.energy.joules == pytest.approx(one.energy.joules * 1.25, rel=1e-12)
    assert other.welfare.joules == pytest.approx(one.welfare.joules * 1.25, rel=1e-12)
    price = np.array([0.36])
    assert usd_per_joule(cooled.world.terms, price) == pytest.approx(1.25e-7)


def test_carbon_is_counted_where_the_power_is_drawn() -> None:
    joules = np.array([[J_PER_KWH, 2.0 * J_PER_KWH]])
    assert carbon_kg(joules, np.array([500.0, 100.0])).tolist() == [[0.5, 0.2]]


@settings(max_examples=100)
@given(
    small=st.one_of(small_worlds(), capped_worlds()),
    regime=st.sampled_from([*all_regimes(), AUDITED_MARKET]),
)
def test_joules_are_the_ledger_of_units_times_power(small: SmallWorld, regime: object) -> None:
    run = finished(small, regime)  # type: ignore[arg-type]
    rows, region = run.measured.occupancy, run.ledger.sink["region"]
    micro_j = np.zeros(run.world.geography.n_regions, np.int64)
    for k, unit_us in enumerate(rows.unit_us.tolist()):
        watts = WATTS[int(rows.label[k])]
        is_cheat = rows.label[k] == F and rows.operation[k] == VERIFICATION
        if is_cheat or rows.cause[k] == POWER_CAP:
            watts = 100
        micro_j[region[rows.sink[k]]] += unit_us * watts
    joules = run.measured.energy.table()[ACCELERATOR].sum(axis=(0, 1, 2, 3))
    assert joules == pytest.approx(micro_j / US_PER_S, rel=1e-12)
    assert unit_joules(rows, run.world.terms).sum() == pytest.approx(joules.sum(), rel=1e-12)


@settings(max_examples=60)
@given(small=small_worlds(), regime=st.sampled_from([*all_regimes(), AUDITED_MARKET]))
def test_joules_by_operation_add_up_to_those_that_welfare_pays(
    small: SmallWorld, regime: object
) -> None:
    run = finished(small, regime)  # type: ignore[arg-type]
    paid = run.measured.energy.table()[[ACCELERATOR, CORE]].sum(axis=(0, 2, 3, 4, 5))
    assert paid == pytest.approx(run.measured.welfare.joules, rel=1e-9)
    cores = core_time(run.ledger, run.world.terms)
    assert cores.unshared_us >= 0


def test_the_table_and_the_measures_say_the_same() -> None:
    run = crossing_run(hold=True, network_j_per_gb=500.0, service_posted_us=1e6)
    table, value = tables_of(run.measured)["energy"], run.measured_rows()
    total = float(table["joules"].astype(float).sum())
    of_families = [value[family, "energy_j"] for family in ("job", "(shared)")]
    assert sum(of_families) == pytest.approx(total)
    payload = value["job", "payload_energy_j"]
    assert payload == pytest.approx(7_000.0)
    assert value["(shared)", "payload_energy_fraction"] == pytest.approx(payload / total)
    # Coordination: 200 J held, 2,100 J of rebuild, 10 J + 4 J of cores, 1,000 J of bytes.
    share = value["(shared)", "coordination_energy_share"]
    assert share == pytest.approx(3_314.0 / total)
    # Of what the one accelerator may draw, machines have drawn all of that but the bytes.
    assert value["(shared)", "coordination_power_share"] == pytest.approx(2_314.0 / 70_000.0)
    assert power_limit_w(run.ledger, run.world.terms).tolist() == [0.0, 700.0]
    for name in ("energy_j", "payload_energy_j", "coordination_energy_j", "carbon_kg"):
        assert name in MEASURES
        assert name in SHARED_MEASURES
    assert NONE == -1
