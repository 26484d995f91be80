"""The workload and the luck of a world: shapes, orders, worths, and who may verify what."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.agents.world import World
from hanse.market.jurisdictions import RESIDENT, Law
from hanse.market.regime import regimes
from hanse.market.units import US_PER_HOUR, US_PER_S
from hanse.scenarios.draw import draw_world
from hanse.scenarios.drawing.traces import Trace
from hanse.scenarios.drawing.workload import allowed_verifiers, mean_list_usd_per_gpu_hour, pick
from hanse.scenarios.run import run_world
from hanse.scenarios.scenario import load
from hanse.scenarios.tables import read_regions
from tests.small_runs import tiny

BASELINE = load("baseline")
MODEL_CALL, BATCH = 0, 1
ERRORS = 4.0


@pytest.fixture(scope="module")
def world() -> World:
    return draw_world(BASELINE, 1)


def test_jobs_are_sorted_by_arrival_and_stages_by_job(world: World) -> None:
    load_of = world.workload
    assert (np.diff(load_of.job_arrival_us) >= 0).all()
    assert (load_of.job_arrival_us < world.horizon_us).all()
    order = np.lexsort((load_of.stage_ordinal, load_of.stage_job))
    assert np.array_equal(order, np.arange(load_of.n_stages))
    assert set(load_of.stage_job.tolist()) == set(range(load_of.n_jobs))
    assert load_of.family == ("model_call", "batch")


def test_first_stages_wait_for_no_tool_and_have_no_context(world: World) -> None:
    load_of = world.workload
    first = load_of.stage_ordinal == 0
    assert not load_of.stage_tool_us[first].any()
    assert not load_of.stage_context_tokens[first].any()
    assert (load_of.stage_tool_us[~first] > 0).all()


def test_a_second_stage_inherits_the_prompt_and_the_answer_of_the_first(world: World) -> None:
    load_of = world.workload
    second = np.flatnonzero(load_of.stage_ordinal == 1)
    prompt = load_of.stage_input_bytes[second - 1] / 4
    # work = prompt / 2800 + answer / 50, so answer = 50 (work - prompt / 2800)
    answer = 50 * (load_of.stage_work_us[second - 1] / US_PER_S - prompt / 2800)
    assert abs(load_of.stage_context_tokens[second] - prompt - answer).max() < 0.001


def test_batch_jobs_have_one_stage_and_a_deadline_of_an_hour_or_four_times_their_work(
    world: World,
) -> None:
    load_of = world.workload
    is_batch = load_of.job_family[load_of.stage_job] == BATCH
    assert not load_of.stage_ordinal[is_batch].any()
    job = load_of.stage_job[is_batch]
    patience_us = load_of.job_deadline_us[job] - load_of.job_arrival_us[job]
    expected_us = np.maximum(US_PER_HOUR, 4 * load_of.stage_work_us[is_batch])
    assert abs(patience_us - expected_us).max() <= 4


def test_a_job_loses_half_its_worth_by_the_deadline(world: World) -> None:
    load_of = world.workload
    patience_s = (load_of.job_deadline_us - load_of.job_arrival_us) / US_PER_S
    lost = load_of.job_delay_usd_per_s * patience_s / load_of.job_value_usd
    assert lost == pytest.approx(0.5)
    assert (patience_s[load_of.job_family == MODEL_CALL] == 120.0).all()


@pytest.mark.parametrize(("family", "multiple"), [(MODEL_CALL, 3.0), (BATCH, 1.5)])
def test_jobs_are_worth_a_multiple_of_their_work_on_average(
    world: World, family: int, multiple: float
) -> None:
    load_of = world.workload
    work_us = np.bincount(load_of.stage_job, weights=load_of.stage_work_us)
    list_usd = work_us / US_PER_HOUR * mean_list_usd_per_gpu_hour()
    ratio = (load_of.job_value_usd / list_usd)[load_of.job_family == family]
    error = ratio.std() / len(ratio) ** 0.5
    assert abs(ratio.mean() - multiple) < ERRORS * error


def test_jobs_originate_with_their_buyers(world: World) -> None:
    load_of = world.workload
    assert np.array_equal(load_of.job_origin, load_of.buyer_region[load_of.job_buyer])
    assert len(load_of.buyer_region) == 60


def test_demand_may_be_moved_to_where_capacity_stands() -> None:
    moved = draw_world(BASELINE.replace({"load.demand_at_capacity_share": 1}), 1).geography
    assert moved.demand_weight == pytest.approx(read_regions().capacity_weight)


def test_shares_of_jobs_and_stages_are_those_asked_for(world: World) -> None:
    load_of = world.workload
    for flags in (load_of.job_first_party >= 0, load_of.job_data_class, load_of.stage_holds):
        assert abs(flags.mean() - 0.3) < ERRORS * (0.3 * 0.7 / len(flags)) ** 0.5


def test_first_party_jobs_belong_to_hyperscalers(world: World) -> None:
    owner = world.workload.job_first_party
    assert world.fleet.owner_is_hyperscaler[owner[owner >= 0]].all()
    assert owner.min() == -1


def test_verifiers_may_see_what_they_audit(world: World) -> None:
    load_of = world.workload
    assert len(world.verifier_region) == 8
    found = load_of.stage_verifier >= 0
    job, verifier = load_of.stage_job[found], load_of.stage_verifier[found]
    place = world.verifier_region[verifier]
    data_class, origin = load_of.job_data_class[job], load_of.job_origin[job]
    assert world.law.may_serve[data_class, origin, place].all()


@given(
    may=st.lists(st.booleans(), min_size=4, max_size=4),
    places=st.lists(st.integers(0, 3), min_size=1, max_size=6),
)
def test_the_next_allowed_verifier_takes_the_place_of_a_barred_one(
    may: list[bool], places: list[int]
) -> None:
    law = Law(may_serve=np.broadcast_to(np.array(may), (2, 4, 4)))
    chosen = allowed_verifiers(law, np.array(places))[RESIDENT, 0].tolist()
    n = len(places)
    for drawn, verifier in enumerate(chosen):
        round_from_drawn = [(drawn + step) % n for step in range(n)]
        allowed = [one for one in round_from_drawn if may[places[one]]]
        assert verifier == (allowed[0] if allowed else -1)


@given(
    share=st.lists(st.floats(0.001, 1), min_size=1, max_size=30),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_a_pick_is_always_an_index(share: list[float], chance: float) -> None:
    assert 0 <= pick(np.array([chance]), np.array(share))[0] < len(share)


def test_attempts_are_coins_and_unit_mean_factors() -> None:
    load_of = draw_world(BASELINE.replace({"control.service_cs2": 0.7}), 1).workload
    # 3 bounces + 2 x 2 redos + 3 rows
    assert load_of.attempt_audit.shape == (10, load_of.n_stages)
    size = load_of.attempt_audit.size
    for coins in (load_of.attempt_audit, load_of.attempt_temptation):
        assert ((coins >= 0) & (coins < 1)).all()
        assert abs(coins.mean() - 0.5) < ERRORS * (1 / 12 / size) ** 0.5
    for factors, cs2 in ((load_of.attempt_commit, 0.5), (load_of.attempt_service, 0.7)):
        assert abs(factors.mean() - 1) < ERRORS * (cs2 / size) ** 0.5
        fourth = ((factors - factors.mean()) ** 4).mean()
        assert abs(factors.var() - cs2) < ERRORS * ((fourth - cs2**2) / size) ** 0.5


def test_service_takes_its_mean_time_by_default(world: World) -> None:
    assert (world.workload.attempt_service == 1).all()


def test_32_stages_have_real_receipts(world: World) -> None:
    assert world.workload.stage_is_sampled.sum() == 32


def test_there_is_one_sampled_instant_in_each_stratum(world: World) -> None:
    stratum = world.sample_instant_us // (world.horizon_us / 1024)
    assert np.array_equal(stratum, np.arange(1024))


@pytest.mark.parametrize("n_nodes", [1, 200])
def test_a_world_may_have_no_jobs(n_nodes: int) -> None:
    nothing = {"load.model_calls": 0, "load.batch_jobs": 0, "fleet.nodes": n_nodes}
    empty = draw_world(BASELINE.replace(nothing), 1)
    assert empty.workload.n_jobs == empty.workload.n_stages == 0
    assert empty.workload.attempt_audit.shape == (10, 0)


def test_a_trace_replaces_arrivals_and_tokens_of_model_calls() -> None:
    trace = Trace(
        arrival_us=np.array([0, 5, 5, 3_599_999_999, 3_600_000_000]),
        context_tokens=np.array([2800, 28, 0, 280, 1]),
        generated_tokens=np.array([50, 5, 0, 500, 1]),
    )
    replayed = draw_world(BASELINE, 1, trace=trace).workload
    call = np.flatnonzero(replayed.job_family == MODEL_CALL)
    # Two calls of one microsecond are parted by one.
    assert replayed.job_arrival_us[call].tolist() == [0, 5, 6, 3_599_999_999]
    first = np.flatnonzero(np.isin(replayed.stage_job, call) & (replayed.stage_ordinal == 0))
    # 2800/2800 + 50/50 = 2 s; 28/2800 + 5/50 = 0.11 s; nothing takes 1 us; 0.1 + 10 = 10.1 s
    assert replayed.stage_work_us[first].tolist() == [2_000_000, 110_000, 1, 10_100_000]


def test_a_trace_leaves_fleet_and_batch_alone(world: World) -> None:
    one = np.array([1])
    trace = Trace(arrival_us=one * 0, context_tokens=one, generated_tokens=one)
    replayed = draw_world(BASELINE, 1, trace=trace)
    batch = world.workload.job_family == BATCH
    drawn_us = world.workload.job_arrival_us[batch]
    kept_us = replayed.workload.job_arrival_us[replayed.workload.job_family == BATCH]
    assert np.array_equal(kept_us, drawn_us)
    same = replace(world, workload=replayed.workload)
    assert same.digest() == replayed.digest()


@pytest.mark.parametrize("name", ["central", "audited-market"])
def test_a_world_without_jobs_runs_and_costs_no_work(name: str) -> None:
    empty = {"load.model_calls": 0, "load.batch_jobs": 0, "fleet.occupied_share": 0.0}
    world = draw_world(tiny().replace(empty), 1)
    assert world.workload.n_jobs == 0
    tables = run_world(world, regimes[name]).tables
    assert set(tables["occupancy"]["label"]) == {"I"}
    assert tables["sync_cost"]["gpu_s"].sum() == 0.0
