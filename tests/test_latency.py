"""Latency: parts that sum to the whole, critical paths by hand, shares that paper knows."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.agents.world import World
from hanse.market.accounts.critical_path import done_jobs, last_of_each, last_predecessor, on_path
from hanse.market.engine.states import N_STATES, STATES, TOOL
from hanse.market.regime import Regime
from hanse.market.units import US_PER_S, Integers
from hanse.scenarios.measuring.latency import (
    AFTERWARDS,
    CAPACITY,
    COMPONENT_OF,
    COMPONENTS,
    PAYLOAD,
    RETRY,
    TOOLS,
    Latency,
    latency,
)
from hanse.scenarios.selftest.checks import ON_ARRIVAL, run_ledger
from hanse.scenarios.selftest.oracle_worlds import FREE_TERMS, plain_workload, plain_world
from hanse.scenarios.streams import stream
from tests.strategies import (
    AUDITED,
    SmallWorld,
    all_regimes,
    cheating_worlds,
    finished,
    small_worlds,
    with_audits,
    with_luck,
    world_of,
)


def chains(*lengths: int, tool_us: int = 0, work_us: int = 7 * US_PER_S) -> World:
    """Build chains that arrive far apart, on two units and without any friction."""
    stage_job = np.repeat(np.arange(len(lengths)), lengths)
    arrival_us = (np.arange(len(lengths)) * 1_000 + 1) * US_PER_S
    work = plain_workload(
        arrival_us, np.full(len(stage_job), work_us), stage_job=stage_job, value_usd=1e6
    )
    work = replace(work, stage_tool_us=np.where(work.stage_ordinal > 0, tool_us, 0))
    return plain_world(work, n_nodes=2, horizon_us=len(lengths) * 1_000 * US_PER_S)


def latency_of(world: World, regime: Regime = ON_ARRIVAL) -> Latency:
    return latency(run_ledger(world, regime), world.workload)


def test_every_state_of_a_stage_has_one_component() -> None:
    assert set(COMPONENT_OF) | set(AFTERWARDS) == set(range(N_STATES))
    assert set(COMPONENT_OF) & set(AFTERWARDS) == set()
    assert set(COMPONENT_OF.values()) == set(range(len(COMPONENTS)))
    assert STATES[TOOL] == "tool"


def test_o13_one_step_without_tools_or_friction_coordinates_nothing() -> None:
    found = latency_of(chains(1, 1, 1))
    assert found.total_us.tolist() == [7 * US_PER_S] * 3
    assert found.part_us[:, PAYLOAD].tolist() == found.total_us.tolist()
    assert found.coordination_share(with_tools=False) == 0.0
    assert found.coordination_share(with_tools=True) == 0.0


@pytest.mark.parametrize("n_stages", [1, 2, 5, 20])
def test_o13_the_latency_of_a_chain_is_the_sum_of_its_parts(n_stages: int) -> None:
    found = latency_of(chains(n_stages, tool_us=3 * US_PER_S))
    # n payloads of 7 s, and between each two a tool of 3 s.
    assert found.total_us.tolist() == [(7 * n_stages + 3 * (n_stages - 1)) * US_PER_S]
    assert found.part_us[0, TOOLS] == 3 * (n_stages - 1) * US_PER_S
    expected = 3 * (n_stages - 1) / (7 * n_stages + 3 * (n_stages - 1))
    assert found.coordination_share(with_tools=False) == 0.0
    assert found.coordination_share(with_tools=True) == pytest.approx(expected, abs=1e-12)


def test_waiting_for_a_unit_is_capacity_and_not_coordination() -> None:
    world = chains(1, 1, 1)
    together = np.array([1, 2, 3]) * US_PER_S
    workload = replace(world.workload, job_arrival_us=together)
    found = latency_of(replace(world, workload=workload))
    # Two units, three jobs of 7 s: the third waits from 3 s until the first ends at 8 s.
    assert found.part_us[:, CAPACITY].tolist() == [0, 0, 5 * US_PER_S]
    assert found.coordination_share(with_tools=True) == 0.0


def test_deciding_is_coordination_and_grows_with_its_service_time() -> None:
    world = chains(2)
    shares = []
    for service_us in (0.0, 1e5, 1e6):
        terms = replace(FREE_TERMS, service_posted_us=service_us)
        found = latency_of(replace(world, terms=terms))
        shares.append(found.coordination_share(with_tools=False))
        assert found.total_us[0] == 14 * US_PER_S + 2 * service_us
    assert shares == pytest.approx([0.0, 0.2 / 14.2, 2 / 16], abs=1e-12)


def path_of(edges: list[tuple[int, int]], done_s: list[int]) -> set[int]:
    """Walk back through one job whose stages were done at these instants."""
    edge_from, edge_to = np.array(edges, np.int64).reshape(-1, 2).T
    done_us = np.array(done_s)
    before = last_predecessor(done_us, edge_from, edge_to)
    last = last_of_each(np.zeros(len(done_us), np.int64), done_us)
    return set(np.flatnonzero(on_path(before, last)).tolist())


@pytest.mark.parametrize(
    ("edges", "done_s", "path"),
    [
        ([], [4], {0}),
        ([(0, 1), (1, 2)], [1, 2, 3], {0, 1, 2}),
        # A diamond: the slower arm counts.
        ([(0, 1), (0, 2), (1, 3), (2, 3)], [1, 5, 3, 6], {0, 1, 3}),
        ([(0, 1), (0, 2), (1, 3), (2, 3)], [1, 3, 5, 6], {0, 2, 3}),
        # Two ends: the job is done with the later one.
        ([(0, 1), (0, 2)], [1, 9, 4], {0, 1}),
        # Equal arms: the one of the higher index.
        ([(0, 2), (1, 2)], [3, 3, 4], {1, 2}),
    ],
)
def test_the_critical_path_leads_back_through_what_delivered_last(
    edges: list[tuple[int, int]], done_s: list[int], path: set[int]
) -> None:
    assert path_of(edges, done_s) == path


def lengths_along(work: Integers, edges: list[tuple[int, int]]) -> Integers:
    """Finish each stage as soon as its predecessors let it; stages stand in order of the graph."""
    done = np.zeros(len(work), np.int64)
    for stage, length in enumerate(work):
        ready = [done[a] for a, b in edges if b == stage]
        done[stage] = max(ready, default=0) + length
    return done


@given(st.data())
def test_o13_the_latency_of_a_graph_is_the_work_along_its_critical_path(
    data: st.DataObject,
) -> None:
    n = data.draw(st.integers(1, 12))
    work = np.array(data.draw(st.lists(st.integers(1, 9), min_size=n, max_size=n)))
    pairs = [(a, b) for b in range(n) for a in range(b)]
    edges = data.draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    done = lengths_along(work, edges)
    path = path_of(edges, done.tolist())
    assert work[sorted(path)].sum() == done.max()


def test_a_job_is_done_when_all_of_its_stages_are() -> None:
    complete = np.array([True, True, True, False, True])
    assert done_jobs(np.array([0, 0, 1, 1, 2]), complete).tolist() == [True, False, True]


def holds_exactly(small: SmallWorld, regime: Regime) -> None:
    """Check the identity; every job that no stage of was begun anew has no overlap."""
    run = finished(small, regime)
    found = latency(run.ledger, run.world.workload)
    assert (found.part_us.sum(axis=1) == found.total_us).all()
    assert (found.part_us >= 0).all()
    redone = np.unique(run.ledger.stage_fact["job"][run.ledger.stage["redos"] > 0])
    assert set(found.job[found.overlap_us != 0]) <= set(redone)
    done = run.ledger.job_done_us
    assert found.job.tolist() == np.flatnonzero(done >= 0).tolist()
    arrival_us = run.world.workload.job_arrival_us
    assert (found.total_us == (done - arrival_us)[done >= 0]).all()


@given(small_worlds(), st.sampled_from(all_regimes()))
@settings(deadline=None)
def test_o13_parts_sum_to_the_latency_of_every_job_to_the_microsecond(
    small: SmallWorld, regime: Regime
) -> None:
    holds_exactly(small, regime)


@given(cheating_worlds(), st.sampled_from(all_regimes()))
@settings(deadline=None)
def test_parts_sum_to_the_whole_where_results_are_caught_and_work_is_lost(
    small: SmallWorld, regime: Regime
) -> None:
    holds_exactly(small, regime)


def test_work_that_was_lost_is_retry_and_not_payload() -> None:
    world = world_of(
        arrival_s=[1], work_s=[7, 20], stage_job=[0, 0], units=[0, 0, 0], horizon_s=100
    )
    world = with_luck(with_audits(world), temptation=[[0.0, 1.0]], audit=[[0.0, 1.0]])
    found = latency_of(world, AUDITED)
    # The first stage runs from 1 s to 8 s and is audited until 15 s; from 8 s on the second works
    # on what is wrong. At 15 s both are lost; they are done anew until 22 s, and until 42 s.
    assert found.total_us.tolist() == [41 * US_PER_S]
    assert found.part_us[0, PAYLOAD] == (7 + 20) * US_PER_S
    assert found.part_us[0, RETRY] == (7 + 7) * US_PER_S
    # From 15 s to 22 s the second stage waits for the first, which is under way itself.
    assert found.overlap_us.tolist() == [7 * US_PER_S]


def barriers(n_arms: int, n_jobs: int) -> World:
    """Let jobs fan out into arms of exponential work, mean one second; the last arm ends them."""
    stage_job = np.repeat(np.arange(n_jobs), n_arms)
    work_s = stream(0, f"barrier {n_arms}").exponential(1.0, n_jobs * n_arms)
    work = plain_workload(
        (np.arange(n_jobs) * 100 + 1) * US_PER_S,
        np.rint(work_s * US_PER_S).astype(np.int64) + 1,
        stage_job=stage_job,
    )
    none = np.zeros(0, np.int64)
    work = replace(work, edge_from=none, edge_to=none)
    return plain_world(work, n_nodes=n_arms, horizon_us=(n_jobs + 1) * 100 * US_PER_S)


@pytest.mark.parametrize(
    ("n_arms", "mean_s"), [(1, 1.0), (2, 1.5), (4, 2.0833), (8, 2.7179), (16, 3.3807)]
)
def test_o18_a_barrier_takes_the_harmonic_number_of_its_arms(n_arms: int, mean_s: float) -> None:
    found = latency_of(barriers(n_arms, 600))
    took_s = found.total_us / US_PER_S
    # 3.3 standard errors hold 99.9 % of means of 600 independent jobs.
    assert took_s.mean() == pytest.approx(mean_s, abs=3.3 * took_s.std() / 600**0.5)
    assert (found.part_us[:, PAYLOAD] == found.total_us).all()
    assert found.coordination_share(with_tools=True) == 0.0
