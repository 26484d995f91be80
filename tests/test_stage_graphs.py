"""Jobs as graphs of stages: worked by hand, against textbooks, and held to every law there is."""

from collections import Counter
from dataclasses import replace
from typing import Final

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gamma

from hanse.agents.workload import Workload
from hanse.agents.world import World
from hanse.market.accounts.occupancy import F, U
from hanse.market.engine.stage_graph import earliest_start_us, longest_rest_us, work_behind_us
from hanse.market.engine.states import (
    CAUGHT,
    COMPLETE,
    DISCARDED,
    LAPSED,
    NOT_READY,
    REDO,
    RIGHT,
    STRATEGIC,
    TOOL,
)
from hanse.market.engine.states import RULE as BY_RULE
from hanse.market.regime import AUDITED_MARKET, Regime, regimes
from hanse.market.units import US_PER_S, Integers
from hanse.scenarios.selftest.oracle_worlds import graph_workload, plain_workload, plain_world
from tests.strategies import (
    HUB,
    Finished,
    SmallWorld,
    all_regimes,
    cheating_worlds,
    finish,
    finished,
    frictionless_worlds,
    graphs,
    seconds,
    small_worlds,
    with_audits,
    with_jobs,
    with_luck,
    world_of,
)
from tests.test_conservation import LAWS, LAWS_OF_REDO, broken
from tests.test_essential_cost import spares
from tests.test_neutrality import (
    NAMED,
    RULE_ALONE,
    SHARING,
    WELFARE_RUNGS,
    blamed,
    metered_debt,
    unlike_the_reference,
)
from tests.test_planner import bound, rounding_usd, welfare_usd

FORK: Final = [(0, 1), (0, 2)]
DIAMOND: Final = [*FORK, (1, 3), (2, 3)]
JOIN: Final = [(0, 2), (1, 2)]


def graph_of(
    edges: list[tuple[int, int]], work_s: list[float], *, units: list[int], **terms: float | str
) -> World:
    """Build one job with these stages and edges, which arrives at zero."""
    world = world_of(
        arrival_s=[0.0],
        work_s=work_s,
        stage_job=[0] * len(work_s),
        units=units,
        n_regions=max(units) + 1,
        **terms,  # type: ignore[arg-type]
    )
    return replace(world, workload=graph_workload(world.workload, edges))


def done_s(run: Finished) -> list[float]:
    """Return when each stage was done, or given up."""
    return [at_us / US_PER_S for at_us in run.ledger.stage["done_us"].tolist()]


# What an edge may be.


def edged(edge_from: list[int], edge_to: list[int]) -> Workload:
    """Give edges to two jobs of two stages."""
    row = plain_workload(seconds(0, 1), seconds(1, 1, 1, 1), stage_job=np.array([0, 0, 1, 1]))
    return replace(row, edge_from=np.array(edge_from, int), edge_to=np.array(edge_to, int))


@pytest.mark.parametrize(
    ("edge_from", "edge_to", "message"),
    [
        ([1], [0], "must lead to a stage of higher index, got 1 to 0"),
        ([1], [1], "must lead to a stage of higher index, got 1 to 1"),
        ([0], [4], "edge_to must be a stage below 4, got 4"),
        ([-1], [1], "edge_from must be a stage below 4, got -1"),
        ([1], [2], "must stay within a job, got stage 1 of job 0 to stage 2 of job 1"),
        ([2, 0], [3, 1], "must be sorted by .*, got 0 to 1 behind 2 to 3"),
        ([0, 0], [1, 1], "must be sorted by .* and stand once, got 0 to 1 behind 0 to 1"),
        ([0], [1, 3], "edge_to must be whole numbers, shape"),
    ],
)
def test_an_edge_that_is_wrong_is_refused(
    edge_from: list[int], edge_to: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        edged(edge_from, edge_to)


def test_an_edge_is_between_whole_numbers() -> None:
    row = edged([0], [1])
    with pytest.raises(ValueError, match="edge_from must be whole numbers"):
        replace(row, edge_from=np.array([0.0]))


# Paths and what lies behind, against networkx.


@settings(max_examples=60)
@given(small=graphs(small_worlds()))
def test_paths_and_the_work_behind_are_those_of_the_graph(small: SmallWorld) -> None:
    load_of = small.build().workload
    work_us, tool_us = load_of.stage_work_us, load_of.stage_tool_us
    edges = (load_of.edge_from, load_of.edge_to)
    graph = nx.DiGraph()
    graph.add_nodes_from(range(load_of.n_stages))
    graph.add_weighted_edges_from(
        (a, b, int(work_us[a] + tool_us[b]))
        for a, b in zip(*(e.tolist() for e in edges), strict=True)
    )
    start_us = earliest_start_us(work_us, tool_us, *edges)
    rest_us = longest_rest_us(work_us, tool_us, *edges)
    behind_us = work_behind_us(load_of.stage_job, work_us, *edges)
    for stage in range(load_of.n_stages):
        above = graph.subgraph({stage, *nx.ancestors(graph, stage)})
        assert start_us[stage] == nx.dag_longest_path_length(above)
        below = {stage, *nx.descendants(graph, stage)}
        assert behind_us[stage] == work_us[list(below - {stage})].sum()
        assert rest_us[stage] == longest_below_us(graph, stage, work_us)


def longest_below_us(graph: "nx.DiGraph[int]", stage: int, work_us: Integers) -> int:
    """Return the longest path of tools and work below a stage, by recursion."""
    return max(
        (
            int(edge["weight"] - work_us[stage] + work_us[after])
            + longest_below_us(graph, after, work_us)
            for after, edge in graph[stage].items()
        ),
        default=0,
    )


# Worked by hand.


def test_the_branches_of_a_diamond_run_side_by_side_and_the_last_waits_for_both() -> None:
    world = graph_of(DIAMOND, [5.0, 3.0, 7.0, 2.0], units=[0, 0])
    assert done_s(finish(world, HUB)) == [5.0, 8.0, 12.0, 14.0]


def test_the_branches_of_a_diamond_on_one_unit_run_one_after_another() -> None:
    world = graph_of(DIAMOND, [5.0, 3.0, 7.0, 2.0], units=[0])
    assert done_s(finish(world, HUB)) == [5.0, 8.0, 15.0, 17.0]


def test_two_roots_start_when_the_job_comes_and_the_tool_answers_after_the_last() -> None:
    world = graph_of(JOIN, [5.0, 3.0, 4.0], units=[0, 0])
    run = finish(with_jobs(world, stage_tool_us=seconds(9, 9, 2)), HUB)
    assert done_s(run) == [5.0, 3.0, 11.0]
    assert run.ledger.job_done_us.tolist() == [11 * US_PER_S]
    assert run.ledger.time_us[2, TOOL] == 2 * US_PER_S


def test_a_job_is_worth_what_it_is_when_the_last_of_its_loose_ends_is_done() -> None:
    world = graph_of(FORK, [1.0, 2.0, 6.0], units=[0, 0])
    run = finish(with_jobs(world, job_delay_usd_per_s=np.array([1.0])), HUB)
    assert done_s(run) == [1.0, 3.0, 7.0]
    assert run.measured.welfare.value_usd.tolist() == [93.0, 0.0]


def test_a_branch_is_not_worth_more_for_being_shorter_than_the_other() -> None:
    # The long branch takes 30 s: no result of the job meets its deadline at 20 s.
    world = graph_of(FORK, [1.0, 2.0, 30.0], units=[0, 0], patience_s=20.0)
    run = finish(world, HUB)
    assert len(run.work) == 0
    assert run.ledger.stage["status"].tolist() == [LAPSED, NOT_READY, NOT_READY]


def caught_branch(**terms: float | str) -> World:
    """Build a diamond whose second stage cheats at first, and is audited."""
    world = graph_of(DIAMOND, [10.0, 10.0, 20.0, 5.0], units=[0, 0, 0], **terms)
    coins = [[1.0, 0.0, 1.0, 1.0]]
    return with_luck(with_audits(world), temptation=coins, audit=coins)


def test_a_caught_branch_is_redone_with_what_needs_it_and_the_other_branch_stands() -> None:
    run = finish(caught_branch(audit_bytes=12.5e9), regimes["audited-market"])
    # The data of the audit take 10 s from 20 s on, the audit 10 s: the branch is caught at 40 s,
    # when the last stage has run from 30 to 35 s. Done again at 50 s, which that waits for.
    assert done_s(run) == [10.0, 50.0, 30.0, 55.0]
    assert run.work["stage"].tolist() == [0, 1, 2, 3, 1, 3]
    outcomes = [RIGHT, CAUGHT, RIGHT, DISCARDED, RIGHT, RIGHT]
    assert run.work["outcome"].tolist() == outcomes
    assert run.ledger.stage["epoch"].tolist() == [0, 1, 0, 1]
    assert run.ledger.time_us[3, REDO] == 10 * US_PER_S
    assert run.measured.welfare.value_usd.tolist() == [100.0, 0.0]


def test_what_a_unit_executes_for_a_job_that_is_given_up_runs_to_its_end_and_is_lost() -> None:
    world = graph_of(DIAMOND, [2.0, 30.0, 5.0, 1.0], units=[0, 0, 0], redo_limit=0)
    coins = [[1.0, 1.0, 0.0, 1.0]]
    run = finish(
        with_luck(with_audits(world), temptation=coins, audit=coins), regimes["audited-market"]
    )
    # The short branch runs from 2 to 7 s; its audit ends at 12 s and catches it, once too often.
    assert run.ledger.stage["status"].tolist() == [COMPLETE, LAPSED, LAPSED, NOT_READY]
    assert done_s(run)[1:3] == [12.0, 12.0]
    assert run.ledger.stage["lapse_cause"].tolist()[1:3] == [STRATEGIC, STRATEGIC]
    long_branch = run.work[run.work["stage"] == 1]
    assert long_branch["outcome"].tolist() == [DISCARDED]
    assert long_branch["end_us"].tolist() == long_branch["final_us"].tolist() == [32 * US_PER_S]
    lost_us = run.measured.occupancy.unit_us[run.measured.occupancy.label == F]
    assert lost_us.sum() == (2 + 30 + 5) * US_PER_S
    assert not (run.measured.occupancy.label == U).any()


def test_a_branch_that_expires_takes_the_job_with_it_and_what_is_done_stays_done() -> None:
    # One unit: after the first branch the second could not be done and followed by 20 s.
    world = graph_of(DIAMOND, [2.0, 10.0, 10.0, 1.0], units=[0], patience_s=20.0)
    run = finish(world, HUB)
    assert run.ledger.stage["status"].tolist() == [COMPLETE, COMPLETE, LAPSED, NOT_READY]
    assert done_s(run)[:3] == [2.0, 12.0, 20.0]
    assert run.ledger.stage["lapse_cause"][2] == BY_RULE
    counts = {name: value for (_, name), value in run.measured_rows().items()}
    assert counts["jobs_expired"] == 1.0
    assert run.measured.occupancy.unit_us[run.measured.occupancy.label == F].sum() == 12 * US_PER_S


def test_what_joins_branches_waits_for_the_slowest_of_its_inputs_and_pays_for_all() -> None:
    edges = [(0, 3), (1, 3), (2, 3)]
    world = graph_of(edges, [10.0, 10.0, 10.0, 5.0], units=[0, 1, 2], one_way_s=1.0)
    terms = {"context_tokens_per_gpu_s": 1_000.0, "context_ttl_us": 60 * US_PER_S}
    gbps = np.full((3, 3), 10.0)
    gbps[2, 0] = 5.0
    world = replace(
        world,
        geography=replace(world.geography, gbps=gbps, egress_usd_per_gb=np.full(3, 0.1)),
        terms=replace(world.terms, **terms),  # type: ignore[arg-type]
    )
    world = with_jobs(
        world,
        stage_input_bytes=np.array([0, 0, 0, 3 * 10**9]),
        stage_context_tokens=np.array([0, 0, 0, 1_000]),
        stage_holds=np.full(4, True),
    )
    run = finish(world, HUB)
    last = run.work[3]
    # A third of the data comes from each region: 1 GB at 10 Gbit/s takes 0.8 s, at 5 Gbit/s 1.6 s.
    # The context is where the first of the three was done, and so is the last stage.
    assert run.ledger.unit["region"][last["unit"]] == 0
    assert (last["transfer_us"], last["context_us"]) == (1_600_000, 0)
    assert run.ledger.stage["egress_usd"][3] == pytest.approx(2 * 0.1)
    assert done_s(run)[3] == pytest.approx(11.0 + 1.6 + 5.0, abs=0.002)


# O13 and O18: what textbooks know of graphs.


@settings(max_examples=40)
@given(small=graphs(frictionless_worlds()))
def test_o13_without_contention_and_friction_a_job_takes_its_critical_path(
    small: SmallWorld,
) -> None:
    drawn = small.build().workload
    rich = replace(
        drawn,
        stage_class=np.zeros(drawn.n_stages, int),
        job_data_class=np.zeros(drawn.n_jobs, int),
        job_origin=np.zeros(drawn.n_jobs, int),
        job_value_usd=np.full(drawn.n_jobs, 1e6),
        job_delay_usd_per_s=np.zeros(drawn.n_jobs),
        job_deadline_us=drawn.job_arrival_us + 10**12,
        stage_context_tokens=np.zeros(drawn.n_stages, int),
        stage_verifier=np.zeros(drawn.n_stages, int),
        buyer_region=np.zeros(len(drawn.buyer_region), int),
    )
    world = plain_world(rich, n_nodes=drawn.n_stages, horizon_us=10**9)
    run = finish(world, HUB)
    path_us = earliest_start_us(
        rich.stage_work_us, rich.stage_tool_us, rich.edge_from, rich.edge_to
    )
    end_us = np.zeros(rich.n_jobs, int)
    np.maximum.at(end_us, rich.stage_job, path_us + rich.stage_work_us)
    assert (run.ledger.job_done_us == rich.job_arrival_us + end_us).all()


def forks_and_joins(work_s: "np.ndarray[tuple[int, int], np.dtype[np.float64]]") -> World:
    """Build one job for each row, whose branches all start at once and join in a microsecond."""
    n_jobs, n_branches = work_s.shape
    work_us = np.ones((n_jobs, n_branches + 1), int)
    work_us[:, :-1] = np.rint(work_s * US_PER_S)
    n_stages = n_branches + 1
    workload = plain_workload(
        np.arange(n_jobs) * 1_000,
        work_us.reshape(-1),
        stage_job=np.repeat(np.arange(n_jobs), n_stages),
        value_usd=1e9,
    )
    edges = [
        (job * n_stages + branch, job * n_stages + n_branches)
        for job in range(n_jobs)
        for branch in range(n_branches)
    ]
    return plain_world(
        graph_workload(workload, edges),
        n_nodes=n_jobs * n_branches,
        horizon_us=int(work_us.max()) + n_jobs * 1_000 + US_PER_S,
    )


def barrier_s(world: World) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Run the forks and return how long each job waited for the last of its branches."""
    ledger = finish(world, HUB).ledger
    return np.asarray((ledger.job_done_us - world.workload.job_arrival_us - 1) / US_PER_S)


@pytest.mark.parametrize(("n_branches", "expected"), [(2, 1.5), (4, 2.0833), (16, 3.3807)])
def test_o18_a_barrier_of_exponential_branches_takes_a_harmonic_number(
    n_branches: int, expected: float
) -> None:
    rank = np.arange(1, n_branches + 1)
    assert (1 / rank).sum() == pytest.approx(expected, abs=1e-4)
    n_jobs = 200
    work_s = np.random.default_rng(n_branches).exponential(1.0, (n_jobs, n_branches))
    waited_s = barrier_s(forks_and_joins(work_s))
    assert waited_s == pytest.approx(work_s.max(axis=1), abs=1e-6)
    # The greatest of n is a sum of independent exponentials of rates 1 to n.
    standard_error_s = np.sqrt((1 / rank**2).sum() / n_jobs)
    assert waited_s.mean() == pytest.approx(expected, abs=3.3 * standard_error_s)


@pytest.mark.parametrize("n_branches", [2, 8])
def test_o18_a_barrier_of_pareto_branches_takes_what_its_order_statistic_says(
    n_branches: int,
) -> None:
    n_jobs, shape, n = 400, 3.0, n_branches
    work_s = 1.0 + np.random.default_rng(n).pareto(shape, (n_jobs, n))
    waited_s = barrier_s(forks_and_joins(work_s))
    moment = [gamma(n + 1) * gamma(1 - k / shape) / gamma(n + 1 - k / shape) for k in (1, 2)]
    standard_error_s = np.sqrt((moment[1] - moment[0] ** 2) / n_jobs)
    assert waited_s.mean() == pytest.approx(moment[0], abs=3.3 * standard_error_s)


def test_o18_a_barrier_of_pareto_branches_without_a_variance_has_the_median_of_its_law() -> None:
    # With the shape 1.5 the mean has no standard error, a share has: half of (1 - x**-1.5)**n.
    n_jobs, n = 400, 8
    mean = gamma(n + 1) * gamma(1 - 1 / 1.5) / gamma(n + 1 - 1 / 1.5)
    assert mean == pytest.approx(10.87, abs=0.01)
    work_s = 1.0 + np.random.default_rng(3).pareto(1.5, (n_jobs, n))
    median_s = (1 - 0.5 ** (1 / n)) ** (-1 / 1.5)
    share = (barrier_s(forks_and_joins(work_s)) <= median_s).mean()
    assert share == pytest.approx(0.5, abs=3.3 * np.sqrt(0.25 / n_jobs))


# Whatever holds in every run holds where jobs are graphs.


@settings(max_examples=80)
@given(small=graphs(small_worlds()), regime=st.sampled_from(all_regimes()))
def test_every_law_holds_for_graphs_under_any_regime(small: SmallWorld, regime: Regime) -> None:
    assert broken(small, regime, LAWS) == []


@settings(max_examples=80)
@given(small=graphs(cheating_worlds()))
def test_every_law_holds_for_graphs_whose_stages_are_caught(small: SmallWorld) -> None:
    assert broken(small, AUDITED_MARKET, LAWS + LAWS_OF_REDO) == []


def test_the_graphs_that_are_drawn_have_all_that_could_go_wrong() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=100)
    @given(small=graphs(cheating_worlds()))
    def count(small: SmallWorld) -> None:
        run = finished(small, AUDITED_MARKET)
        stage, job = run.ledger.stage, run.ledger.stage_fact["job"]
        has_lapsed = stage["status"] == LAPSED
        seen["joins from several regions"] += int((stage["n_sources"] > 1).sum())
        seen["thrown away"] += int((run.work["outcome"] == DISCARDED).sum())
        seen["given up with a unit"] += int((has_lapsed & (stage["unit"] >= 0)).sum())
        seen["done in a job given up"] += int(
            (np.isin(job, job[has_lapsed]) & (stage["status"] == COMPLETE)).sum()
        )
        seen["done"] += int((run.ledger.job_done_us >= 0).sum())

    count()
    assert min(seen.values()) >= 5, seen


@settings(max_examples=30)
@given(small=graphs(frictionless_worlds()))
def test_n1_graphs_without_friction_are_cleared_like_the_reference(small: SmallWorld) -> None:
    assert unlike_the_reference(small.build(), (*WELFARE_RUNGS, *SHARING)) == []


@settings(max_examples=30)
@given(small=graphs(frictionless_worlds()))
def test_n1_graphs_without_friction_have_no_debt_and_no_cost_but_the_rule(
    small: SmallWorld,
) -> None:
    runs = {rung.name: finished(small, rung.regime) for rung in NAMED}
    assert [metered_debt(run) for run in runs.values()] == [0.0] * len(NAMED)
    # Planes of reserved units may book one that is reserved for nobody twice at one instant.
    twice = {"reserved": {("routing", "staleness")}}
    assert {
        name: blamed(run) - RULE_ALONE - twice.get(name, set()) for name, run in runs.items()
    } == {name: set() for name in runs}


@settings(max_examples=40)
@given(small=graphs(small_worlds()), regime=st.sampled_from([None, *all_regimes()]))
def test_nothing_is_above_the_planner_s_bound_of_a_graph(
    small: SmallWorld, regime: Regime | None
) -> None:
    world = small.build()
    planned = bound(world, n_bins=6)
    assert welfare_usd(world, regime) <= planned.bound_usd + rounding_usd(world, planned)


@settings(max_examples=20)
@given(small=graphs(small_worlds()))
def test_no_rung_spends_less_on_a_graph_than_the_essential(small: SmallWorld) -> None:
    assert min(spares(small.build(), small)) >= -1e-9
