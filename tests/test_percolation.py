"""Percolation: giant shares that theory knows, and what law and participation leave reachable."""

from dataclasses import replace

import networkx as nx
import numpy as np
import pytest

from hanse.market.jurisdictions import RESIDENT, UNRESTRICTED
from hanse.scenarios.draw import draw_world
from hanse.scenarios.growth.percolation import (
    giant_share,
    giant_share_expected,
    random_graph,
    reach,
    reach_by_participation,
)
from hanse.scenarios.streams import stream
from tests.small_runs import tiny
from tests.strategies import world_of

KNOWN = [(1.5, 0.58281), (2.0, 0.79681), (3.0, 0.94048), (4.0, 0.98017)]


@pytest.mark.parametrize(("mean_degree", "share"), KNOWN)
def test_o29_the_giant_share_of_a_random_graph(mean_degree: float, share: float) -> None:
    assert giant_share_expected(mean_degree) == pytest.approx(share, abs=5e-6)
    rng = stream(0, f"giant {mean_degree}")
    found = [giant_share(random_graph(4_000, mean_degree, rng)) for _ in range(20)]
    error = np.std(found, ddof=1) / 20**0.5
    # Student's t with 19 degrees of freedom: 3.88 standard errors hold 99.9 %.
    assert np.mean(found) == pytest.approx(share, abs=3.88 * error)


@pytest.mark.parametrize("mean_degree", [0.0, 0.5, 0.9, 1.0])
def test_o29_up_to_a_mean_degree_of_one_there_is_no_giant(mean_degree: float) -> None:
    assert giant_share_expected(mean_degree) == 0.0
    rng = stream(0, f"no giant {mean_degree}")
    # At the threshold itself the largest piece is of the order n^(2/3): 252 of 4,000.
    assert giant_share(random_graph(4_000, mean_degree, rng)) < 0.15


def test_a_graph_without_nodes_has_no_giant() -> None:
    assert giant_share(nx.Graph()) == 0.0


def test_what_law_leaves_reachable_by_hand() -> None:
    # Three regions, each a jurisdiction of its own, with one, two and one units.
    world = world_of(arrival_s=[0], work_s=[1], units=[0, 1, 1, 2], n_regions=3, one_way_s=0.01)
    free, bound = (reach(world, data_class=data) for data in (UNRESTRICTED, RESIDENT))
    assert free.unit_share.tolist() == [1.0, 1.0, 1.0]
    assert free.giant_share == 1.0
    assert bound.unit_share.tolist() == [0.25, 0.5, 0.25]
    assert bound.giant_share == pytest.approx(1 / 3)
    assert bound.mean_unit_share == pytest.approx(1 / 3)  # demand is even
    assert bound.isolated_share == 0.0


def test_who_does_not_take_part_neither_asks_nor_serves() -> None:
    world = world_of(arrival_s=[0], work_s=[1], units=[0, 1, 1, 2], n_regions=3, one_way_s=0.01)
    some = reach(world, data_class=UNRESTRICTED, takes_part=np.array([True, False, True]))
    assert some.unit_share.tolist() == [0.5, 0.0, 0.5]
    assert some.giant_share == pytest.approx(2 / 3)
    assert some.isolated_share == pytest.approx(1 / 3)


def test_an_edge_needs_law_to_allow_both_directions() -> None:
    world = world_of(arrival_s=[0], work_s=[1], units=[0, 1], n_regions=2, one_way_s=0.01)
    may_serve = world.law.may_serve.copy()
    may_serve[RESIDENT, 0, 1] = True
    one_way = replace(world, law=replace(world.law, may_serve=may_serve))
    found = reach(one_way, data_class=RESIDENT)
    assert found.unit_share.tolist() == [1.0, 0.5]
    assert found.giant_share == 0.5


def test_stricter_laws_and_fewer_participants_reach_less() -> None:
    found = [
        reach(draw_world(tiny().replace({"law.export_rule": rule}), 0), data_class=RESIDENT)
        for rule in ("free", "adequacy", "hard")
    ]
    means = [one.mean_unit_share for one in found]
    assert means == sorted(means, reverse=True)
    assert means[0] == pytest.approx(1.0)
    assert means[2] < 0.5
    giants = reach_by_participation(
        draw_world(tiny(), 0),
        data_class=UNRESTRICTED,
        shares=np.array([1.0, 0.5, 0.25, 0.0]),
        rng=stream(0, "participation"),
    )
    assert giants.tolist() == pytest.approx([1.0, 0.5, round(0.25 * 26) / 26, 1 / 26])
