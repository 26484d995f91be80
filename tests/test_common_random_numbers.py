"""Common random numbers: luck has names, no name moves another's, and no run moves the world."""

import ast
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.agents.model import ComputeMarket
from hanse.agents.world import World
from hanse.market.regime import Regime, ladder
from hanse.market.units import US_PER_S, Integers
from hanse.scenarios.draw import draw_world
from hanse.scenarios.scenario import load
from hanse.scenarios.streams import stream
from tests.project_files import PROJECT, python_files, tree_of
from tests.strategies import (
    AUDITED,
    CLEARED,
    SmallWorld,
    all_regimes,
    cheating_worlds,
    finish,
    with_audits,
    with_luck,
    world_of,
)

SMALL = load("baseline").replace(
    {"load.model_calls": 150, "load.batch_jobs": 40, "load.code_arrival_cv": 1.0}
)


def columns_of(value: object, name: str = "") -> dict[str, object]:
    """Return every column and scalar of a world by its dotted name."""
    if not is_dataclass(value):
        return {name: value}
    found: dict[str, object] = {}
    for field in fields(value):
        found |= columns_of(getattr(value, field.name), f"{name}.{field.name}".strip("."))
    return found


def moved(before: World, after: World) -> set[str]:
    """Name the columns that differ between two worlds."""
    old, new = columns_of(before), columns_of(after)
    return {
        name for name in old if not np.array_equal(np.asarray(old[name]), np.asarray(new[name]))
    }


def test_a_stream_is_pinned_by_its_name_and_seed() -> None:
    # Philox4x64-10 under the key blake2b("7\0arrivals"): a change of these moves every world.
    raw = stream(7, "arrivals").bit_generator.random_raw(2)
    assert raw.tolist() == [17266856495634694850, 12546018179429916952]


@given(seed=st.integers(0, 2**63), name=st.text(max_size=20), other=st.text(max_size=20))
def test_drawing_from_one_stream_never_moves_another(seed: int, name: str, other: str) -> None:
    alone = stream(seed, name).random(4)
    disturbed = stream(seed, name)
    stream(seed, other).random(100)
    assert np.array_equal(disturbed.random(4), alone)
    if other != name:
        assert not np.array_equal(stream(seed, other).random(4), alone)


@given(seed=st.integers(-(2**70), 2**70))
def test_every_whole_number_is_a_seed_of_its_own(seed: int) -> None:
    assert stream(seed, "x").random() != stream(seed + 1, "x").random()


def test_a_name_and_a_seed_cannot_run_into_each_other() -> None:
    assert stream(1, "1").random() != stream(11, "").random()


def test_the_same_seed_draws_the_same_world() -> None:
    assert draw_world(SMALL, 3).digest() == draw_world(SMALL, 3).digest()
    assert draw_world(SMALL, 3).digest() != draw_world(SMALL, 4).digest()


def test_the_order_of_drawing_worlds_does_not_matter() -> None:
    seeds = [3, 1, 2, 0]
    forwards = {seed: draw_world(SMALL, seed).digest() for seed in seeds}
    with ThreadPoolExecutor(2) as pool:
        threaded = dict(
            zip(seeds, pool.map(lambda s: draw_world(SMALL, s).digest(), seeds), strict=True)
        )
    assert {seed: draw_world(SMALL, seed).digest() for seed in reversed(seeds)} == forwards
    assert threaded == forwards


def test_another_process_draws_the_same_world() -> None:
    program = (
        "from hanse.scenarios.draw import draw_world; from hanse.scenarios.scenario import load;"
        "print(draw_world(load('slack'), 5).digest())"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONHASHSEED": "123"},
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert run.stdout.strip() == draw_world(load("slack"), 5).digest()


def test_a_world_shares_no_array_with_the_next() -> None:
    first = draw_world(SMALL, 3)
    for column in columns_of(first).values():
        if isinstance(column, np.ndarray) and column.flags.writeable:
            column[...] = 0
    assert draw_world(SMALL, 3).workload.job_value_usd.min() > 0
    assert draw_world(SMALL, 3).geography.demand_weight.sum() == pytest.approx(1.0)


OUTAGES = {"outages.region", "outages.from_us", "outages.until_us"}
COINS = {f"workload.attempt_{name}" for name in ("temptation", "audit", "commit", "service")}
# Retries need further draws, and coins of their own.
RETRIES = COINS | {"mishaps.attempt_backoff"}
ERRORS = RETRIES | {"mishaps.attempt_error", "terms.failures.call_error_share"}


@pytest.mark.parametrize(
    ("key", "value", "columns"),
    [
        ("load.hold_share", 0.9, {"workload.stage_holds"}),
        ("load.first_party_share", 0.9, {"workload.job_first_party"}),
        ("load.resident_share", 0.9, {"workload.job_data_class", "workload.stage_verifier"}),
        ("load.value_sigma", 1.0, {"workload.job_value_usd", "workload.job_delay_usd_per_s"}),
        ("load.rebuilt_context_share", 0.5, {"workload.stage_context_tokens"}),
        ("load.tool_median_s", 0.2, {"workload.stage_tool_us"}),
        (
            "load.buyer_zipf",
            0.5,
            {
                "workload.job_buyer",
                "workload.job_origin",
                "workload.stage_verifier",
                "fleet.node_tenant",
            },
        ),
        ("crossing.commit_cs2", 0.9, {"workload.attempt_commit"}),
        ("crossing.approval_sigma", 0.9, {"crossing_draws.attempt_approval"}),
        ("crossing.monotone_share", 0.9, {"crossing_draws.stage_is_monotone"}),
        ("crossing.authority_continuity", 0.5, {"crossing_draws.buyer_has_capability"}),
        ("crossing.capability_scope", 0.5, {"crossing_draws.buyer_scope"}),
        ("crossing.trust_domains", 4, {"crossing_draws.region_trust_domain"}),
        ("load.state_hold_factor", 0.5, {"crossing_draws.stage_held_steps"}),
        (
            "crossing.revocations_per_day",
            900.0,
            {"crossing_draws.revocation_buyer", "crossing_draws.revocation_us"},
        ),
        ("control.service_cs2", 0.9, {"workload.attempt_service"}),
        ("control.jitter_sigma", 0.5, {"workload.attempt_way"}),
        ("fleet.reserved_share", 0.1, {"fleet.node_tenant"}),
        (
            "control.outages_per_day",
            100.0,
            OUTAGES,
        ),
        ("failure.call_error_share", 0.1, ERRORS),
        ("failure.timeout_s", 5.0, {"terms.failures.timeout_us"} | RETRIES),
        ("failure.breaker_failures", 3, {"terms.failures.breaker_failures"}),
        ("failure.bad_changes_per_day", 100.0, OUTAGES),
        ("control.shards", 9, {"terms.shards"}),
        ("control.peer_regions", 3, {"terms.peer_regions"}),
        ("verification.signed_receipts", 5, {"workload.stage_is_sampled"}),
        ("verification.real_share", 0.5, {"workload.stage_is_real"}),
        ("verification.temptation_share", 0.5, {"terms.temptation_share"}),
        ("control.clearing_interval_s", 60, {"terms.clearing_interval_us"}),
        ("control.hub", "sg-sin", {"terms.hub_region"}),
        ("crossing.round_trip_scale", 0, {"crossing.round_trip_scale"}),
        ("fleet.occupied_share", 0.9, {"fleet.node_free_from_us"}),
        ("fleet.neocloud_usd_low", 1.0, {"fleet.node_posted_usd_per_gpu_hour"}),
        ("measurement.displacement_instants", 10, {"sample_instant_us"}),
    ],
)
def test_a_parameter_moves_its_own_columns_alone(
    key: str, value: object, columns: set[str]
) -> None:
    assert moved(draw_world(SMALL, 3), draw_world(SMALL.replace({key: value}), 3)) == columns


def test_the_fleet_and_the_workload_do_not_know_each_other_s_size() -> None:
    before = draw_world(SMALL, 3)
    bigger_fleet = draw_world(SMALL.replace({"fleet.nodes": 300}), 3)
    assert {name.partition(".")[0] for name in moved(before, bigger_fleet)} == {
        "fleet",
        "asks",  # one for each owner
    }
    more_jobs = draw_world(SMALL.replace({"load.batch_jobs": 80}), 3)
    assert {name.partition(".")[0] for name in moved(before, more_jobs)} == {"workload"}


def test_more_attempts_keep_the_numbers_of_the_earlier_ones() -> None:
    before = draw_world(SMALL, 3).workload
    after = draw_world(SMALL.replace({"control.bounce_limit": 6}), 3).workload
    rows = len(before.attempt_audit)
    assert len(after.attempt_audit) == rows + 3
    for name in ("attempt_audit", "attempt_temptation", "attempt_commit", "attempt_service"):
        assert np.array_equal(getattr(after, name)[:rows], getattr(before, name))


def test_nothing_that_draws_a_world_knows_a_regime() -> None:
    files = [
        file for file in python_files("scenarios") if {"draw", "drawing"} & {*file.parts, file.stem}
    ]
    assert len(files) > 20
    imported = {
        node.module
        for file in files
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hanse.market.")
    }
    facts = {"crossings", "failure_terms", "geography", "jurisdictions", "rails", "terms", "units"}
    assert imported == {f"hanse.market.{module}" for module in facts}


def outcome_of(world: World, regime: Regime) -> dict[str, list[object]]:
    """Run a world and return all that happened in it, and nothing that was measured."""
    ledger = ComputeMarket(world, regime, with_agents=False).run_to_horizon()
    kept = {"record": ledger.record, "time_us": ledger.time_us}
    columns: dict[str, list[object]] = {name: rows.tolist() for name, rows in kept.items()}
    for name in ("decision_core_us", "refresh_core_us", "verification_core_us", "n_messages"):
        columns[name] = ledger.plane[name].tolist()
    return columns


@settings(max_examples=20)
@given(small=cheating_worlds())
def test_no_run_modifies_the_world(small: SmallWorld) -> None:
    world = small.build()
    before = world.digest()
    for rung in ladder:
        finish(world, rung.regime)
        assert world.digest() == before, rung.name


@settings(max_examples=20)
@given(small=cheating_worlds())
def test_running_other_regimes_first_moves_nothing(small: SmallWorld) -> None:
    world = small.build()
    alone = outcome_of(world, ladder[-1].regime)
    for rung in ladder[:-1]:
        finish(world, rung.regime)
    assert outcome_of(world, ladder[-1].regime) == alone


def test_the_same_attempt_of_the_same_stage_meets_the_same_luck_under_every_regime() -> None:
    world = world_of(
        arrival_s=[float(k) for k in range(12)],
        work_s=[3.0 + k % 5 for k in range(12)],
        origin=[k % 2 for k in range(12)],
        units=[0, 0, 1],
        n_regions=2,
        one_way_s=0.2,
        control_delay_scale=1.0,
        clearing_interval_us=2_000_000,
    )
    coins = np.random.default_rng(8).random((2, 8, 12)).tolist()
    # Cheating pays at any price, so that the coin alone decides.
    world = with_luck(with_audits(world, saved_share=1e9), temptation=coins[0], audit=coins[1])
    for regime in all_regimes():
        rows = finish(world, regime).work
        is_tempted = world.workload.attempt_temptation[rows["attempt"], rows["stage"]] < 0.5
        assert (rows["is_wrong"] == is_tempted).all()


def test_more_luck_than_is_needed_changes_nothing() -> None:
    world = draw_world(SMALL, 3)
    workload = world.workload
    more = np.zeros((3, workload.n_stages))
    workload = replace(
        workload,
        attempt_temptation=np.vstack([workload.attempt_temptation, more]),
        attempt_audit=np.vstack([workload.attempt_audit, more]),
        attempt_commit=np.vstack([workload.attempt_commit, more]),
        attempt_service=np.vstack([workload.attempt_service, more]),
    )
    richer = replace(world, workload=workload)
    for rung in (ladder[0], ladder[-1]):
        assert outcome_of(richer, rung.regime) == outcome_of(world, rung.regime)


def looked_at(world: World, instant_us: Integers) -> World:
    """Measure displacement at other instants."""
    return replace(world, sample_instant_us=instant_us)


def test_measuring_more_often_moves_nothing_in_the_baseline() -> None:
    world = draw_world(SMALL, 3)
    often = looked_at(world, np.arange(world.horizon_us // US_PER_S) * US_PER_S + 123_457)
    for rung in ladder:
        assert outcome_of(often, rung.regime) == outcome_of(world, rung.regime), rung.name


def test_measuring_does_not_let_a_plane_see_what_it_would_have_missed() -> None:
    world = with_audits(
        world_of(
            arrival_s=[1.0, 2.0],
            work_s=[3.0, 3.0],
            units=[0],
            clearing_interval_us=10 * US_PER_S,
            refresh_interval_us=4 * US_PER_S,
            service_posted_us=100.0,
            audit_bytes=5e9,
            audit_share=5.0,
        )
    )
    # Job 0 runs from 10 to 13. Its audit, whose data take 4 s, has the unit from 17 to 32. At 20
    # the plane sees what was at 20: no gain, no clearing. Looked at at 16.5, it has seen a gain.
    world = with_luck(world, audit=[[0.0, 1.0]])
    regime = replace(CLEARED, audits=AUDITED.audits)
    never = outcome_of(looked_at(world, np.array([1, 2])), regime)
    assert outcome_of(looked_at(world, np.array([1, 16_500_000])), regime) == never
