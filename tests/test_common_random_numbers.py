"""Common random numbers, as far as the world: luck has names, and no name moves another's."""

import ast
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.agents.world import World
from hanse.scenarios.draw import draw_world
from hanse.scenarios.scenario import load
from hanse.scenarios.streams import stream
from tests.project_files import PROJECT, python_files, tree_of

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
        if isinstance(column, np.ndarray):
            column[...] = 0
    assert draw_world(SMALL, 3).workload.job_value_usd.min() > 0
    assert draw_world(SMALL, 3).geography.demand_weight.sum() == pytest.approx(1.0)


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
            {"workload.job_buyer", "workload.job_origin", "workload.stage_verifier"},
        ),
        ("crossing.commit_cs2", 0.9, {"workload.attempt_commit"}),
        ("control.service_cs2", 0.9, {"workload.attempt_service"}),
        ("verification.signed_receipts", 5, {"workload.stage_is_sampled"}),
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
    assert {name.partition(".")[0] for name in moved(before, bigger_fleet)} == {"fleet"}
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
    files = [file for file in python_files("scenarios") if file.stem.startswith("draw")]
    imported = {
        node.module
        for file in files
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hanse.market.")
    }
    facts = {"crossings", "geography", "jurisdictions", "terms", "units"}
    assert imported == {f"hanse.market.{module}" for module in facts}
