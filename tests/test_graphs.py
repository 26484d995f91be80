"""Graphs laid out for many jobs at once, beside the same graphs built one stage after another."""

from collections.abc import Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hanse.market.units import Integers
from hanse.scenarios.drawing.graphs import (
    Graphs,
    Link,
    Step,
    lay_out,
    longest_us,
    repeated,
    threads,
)


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps as links and widths, shape (n_steps, n_jobs) as lists."""

    links: list[Link]
    widths: list[list[int]]


def steps_of(plan: Plan) -> list[Step]:
    return [
        Step(role=number, width=np.array(width, np.int64), link=link)
        for number, (link, width) in enumerate(zip(plan.links, plan.widths, strict=True))
    ]


def one_by_one(links: Sequence[Link], widths: Sequence[int]) -> tuple[int, set[tuple[int, int]]]:
    """Build the graph of one job in the words of the module's first lines."""
    n_stages, edges, last = 0, set[tuple[int, int]](), list[int]()
    for link, width in zip(links, widths, strict=True):
        if width == 0:
            continue
        new = list(range(n_stages, n_stages + width))
        if last and link is Link.AFTER_EACH:
            edges |= set(zip(last[:width], new, strict=True))
        elif last and link is Link.AFTER_PAIRS:
            pairs = [(low, high) for high in range(len(last)) for low in range(high)]
            for stage, (low, high) in zip(new, pairs, strict=True):
                edges |= {(last[low], stage), (last[high], stage)}
        else:
            ends = set(range(n_stages)) - {before for before, _ in edges}
            edges |= {(end, stage) for end in ends for stage in new}
        n_stages, last = n_stages + width, new
    return n_stages, edges


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Draw templates that may be: threads never grow, and pairs are all of them."""
    n_jobs, n_steps = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    links, widths, last = [], [], [0] * n_jobs
    for _ in range(n_steps):
        link = draw(st.sampled_from(list(Link)))
        if link is Link.AFTER_ALL:
            width = draw(st.lists(st.integers(0, 4), min_size=n_jobs, max_size=n_jobs))
        elif link is Link.AFTER_EACH:
            width = [draw(st.integers(0, one)) for one in last]
        else:
            width = [one * (one - 1) // 2 if draw(st.booleans()) else 0 for one in last]
        last = [new or old for new, old in zip(width, last, strict=True)]
        links.append(link)
        widths.append(width)
    return Plan(links, widths)


def edges_of(graphs: Graphs) -> list[tuple[int, int]]:
    return list(zip(graphs.edge_from.tolist(), graphs.edge_to.tolist(), strict=True))


EARLY_END = Plan(
    [Link.AFTER_ALL, Link.AFTER_EACH, Link.AFTER_PAIRS, Link.AFTER_ALL], [[3], [2], [1], [1]]
)


@example(plan=EARLY_END)
@given(plan=plans())
def test_many_jobs_at_once_have_the_graphs_that_each_has_alone(plan: Plan) -> None:
    graphs = lay_out(len(plan.widths[0]), steps_of(plan))
    begin, expected = 0, set[tuple[int, int]]()
    for job, widths in enumerate(zip(*plan.widths, strict=True)):
        n_stages, edges = one_by_one(plan.links, widths)
        assert graphs.n_stages[job] == n_stages
        expected |= {(begin + before, begin + after) for before, after in edges}
        begin += n_stages
    assert sorted(edges_of(graphs)) == sorted(expected)


@given(plan=plans())
def test_edges_are_sorted_stand_once_and_lead_on_within_a_job(plan: Plan) -> None:
    graphs = lay_out(len(plan.widths[0]), steps_of(plan))
    assert [(to, fro) for fro, to in edges_of(graphs)] == sorted(
        {(to, fro) for fro, to in edges_of(graphs)}
    )
    assert (graphs.edge_from < graphs.edge_to).all()
    assert (graphs.job[graphs.edge_from] == graphs.job[graphs.edge_to]).all()
    assert (graphs.depth[graphs.edge_from] < graphs.depth[graphs.edge_to]).all()


@given(plan=plans(), seed=st.integers(0, 9))
def test_the_longest_path_is_that_of_networkx(plan: Plan, seed: int) -> None:
    graphs = lay_out(len(plan.widths[0]), steps_of(plan))
    us: Integers = np.random.default_rng(seed).integers(1, 100, len(graphs.role))
    network = nx.DiGraph()
    for stage, job in enumerate(graphs.job.tolist()):
        # An edge from the job's beginning, so that the work of first stages counts, too.
        network.add_edge(f"job {job}", stage, weight=us[stage])
    for before, after in edges_of(graphs):
        network.add_edge(before, after, weight=us[after])
    for job in range(len(graphs.n_stages)):
        name = f"job {job}"
        alone = network.subgraph({name, *np.flatnonzero(graphs.job == job).tolist()})
        expected = nx.dag_longest_path_length(alone) if name in network else 0
        assert longest_us(graphs, us)[job] == expected


def test_a_chain_a_fan_a_join_and_pairs_by_hand() -> None:
    one, three = np.array([1]), np.array([3])
    graphs = lay_out(
        1,
        [
            Step(role=0, width=one),
            Step(role=1, width=three),
            Step(role=2, width=three, link=Link.AFTER_PAIRS),
            Step(role=3, width=one),
        ],
    )
    # 0 fans out to 1, 2, 3; 4, 5, 6 stand for (1, 2), (1, 3), (2, 3); 7 joins them.
    fan = [(0, 1), (0, 2), (0, 3)]
    pairs = [(1, 4), (2, 4), (1, 5), (3, 5), (2, 6), (3, 6)]
    assert edges_of(graphs) == [*fan, *pairs, (4, 7), (5, 7), (6, 7)]
    assert longest_us(graphs, np.array([5, 1, 2, 3, 7, 1, 1, 4])).tolist() == [5 + 2 + 7 + 4]


def test_a_thread_that_ends_early_is_joined_with_the_others() -> None:
    calls, agents = np.array([5]), np.array([2])
    graphs = lay_out(
        1, [*threads(0, calls=calls, side_by_side=agents), Step(role=1, width=np.array([1]))]
    )
    # Threads 0-2-4 and 1-3.
    assert edges_of(graphs) == [(0, 2), (1, 3), (2, 4), (3, 5), (4, 5)]
    assert graphs.follows.tolist() == [-1, -1, 0, 1, 2, -1]


def test_rounds_repeat_as_often_as_each_job_has_drawn() -> None:
    body = [Step(role=0, width=np.array([2, 2])), Step(role=1, width=np.array([1, 1]))]
    graphs = lay_out(2, repeated(body, np.array([1, 2])))
    assert graphs.n_stages.tolist() == [3, 6]
    assert graphs.role.tolist() == [0, 0, 1, 0, 0, 1, 0, 0, 1]


@pytest.mark.parametrize("n_jobs", [0, 3])
def test_jobs_without_steps_have_no_stages(n_jobs: int) -> None:
    graphs = lay_out(n_jobs, [Step(role=0, width=np.zeros(n_jobs, np.int64))])
    assert graphs.n_stages.tolist() == [0] * n_jobs
    assert longest_us(graphs, graphs.role).tolist() == [0] * n_jobs
