"""Routing sovereignty: what is lost without one controller, by hand and in small worlds."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from hanse.agents.world import World
from hanse.market.regime import CENTRAL, MARKET
from hanse.market.units import US_PER_S
from hanse.scenarios.draw import draw_world
from hanse.scenarios.selftest.oracle_worlds import plain_workload, plain_world
from hanse.scenarios.studies.removals import NO_HOME, Controller, controllers, vendor_of, without
from hanse.scenarios.studies.sovereignty import (
    WORLD,
    YARDSTICKS,
    draw_removals,
    programme,
    removals,
    routing_sovereignty,
)
from hanse.scenarios.tables import read_owners
from tests.small_runs import tiny


def removed_row(
    seed: int, controller: str, loss: float, *, foreign: bool = False
) -> dict[str, object]:
    return {
        "seed": seed,
        "yardstick": "reference",
        "jurisdiction": "JP" if foreign else WORLD,
        "kind": "owner",
        "controller": controller,
        "home": "US",
        "is_foreign": foreign,
        "value_usd": 10.0,
        "without_usd": 10.0 * (1.0 - loss),
        "loss_share": loss,
    }


def two_owner_world(n_jobs: int) -> World:
    """Build three nodes, two of the first owner and one of the second, and jobs of one second."""
    arrival_us = np.arange(n_jobs) * 10 + 10
    workload = plain_workload(arrival_us, np.full(n_jobs, US_PER_S), patience_us=US_PER_S + 500)
    world = plain_world(workload, n_nodes=3, horizon_us=60 * US_PER_S)
    fleet = replace(
        world.fleet,
        node_owner=np.array([0, 0, 1]),
        owner=("large", "small"),
        owner_is_hyperscaler=np.array([True, False]),
    )
    return replace(world, fleet=fleet)


def test_sovereignty_is_what_is_left_without_the_one_that_is_needed_most() -> None:
    removed = pd.DataFrame(
        [
            removed_row(seed, name, loss)
            for seed in (1, 2)
            for name, loss in (("a", 0.4), ("b", 0.1))
        ]
    )
    found = routing_sovereignty(removed).iloc[0]
    assert found["mean"] == pytest.approx(0.6)
    assert found["needed_most"] == "a"


def test_for_a_jurisdiction_only_those_abroad_count() -> None:
    abroad = [removed_row(seed, "a", 0.3, foreign=True) for seed in (1, 2)]
    at_home = [{**row, "is_foreign": False, "controller": "b", "loss_share": 0.9} for row in abroad]
    found = routing_sovereignty(pd.DataFrame(abroad + at_home)).iloc[0]
    assert (found["jurisdiction"], found["needed_most"]) == ("JP", "a")
    assert found["mean"] == pytest.approx(0.7)


def test_a_removed_owner_has_no_node_and_all_else_stays() -> None:
    world = two_owner_world(2)
    left = without(world, Controller(kind="owner", name="large", home=NO_HOME), tiny())
    assert left.fleet.node_owner.tolist() == [1]
    assert left.workload is world.workload
    with pytest.raises(ValueError, match="there is no node"):
        without(left, Controller(kind="owner", name="small", home=NO_HOME), tiny())


def test_listed_owners_have_the_least_share_and_a_home() -> None:
    world = draw_world(tiny(), 2)
    listed = controllers(world, CENTRAL, least_share=0.1)
    count = np.bincount(world.fleet.node_owner, minlength=len(world.fleet.owner))
    shares = {one: count[k] / world.fleet.n_nodes for k, one in enumerate(world.fleet.owner)}
    assert {one.name for one in listed} == {name for name, share in shares.items() if share >= 0.1}
    assert {one.home for one in listed if one.name in read_owners().owner[:5]} == {"US"}
    everybody = controllers(world, CENTRAL, least_share=0.0)
    assert len(everybody) == int((count > 0).sum())


def test_a_vendor_takes_with_it_only_what_it_has_not_delivered() -> None:
    world, vendor = draw_world(tiny(), 2), Controller(kind="vendor", name="NVIDIA", home="US")
    left = [
        without(world, vendor, tiny(), undelivered_share=share).fleet.n_nodes
        for share in (0.0, 0.3, 0.6, 0.9)
    ]
    assert left[0] == world.fleet.n_nodes
    assert np.diff(left).max() < 0
    with pytest.raises(ValueError, match="there is no node"):
        without(world, vendor, tiny(), undelivered_share=1.0)
    assert vendor_of("a class of nobody's") == ("a class of nobody's", NO_HOME)


def test_the_work_of_a_removed_verifier_goes_to_others_that_may_look() -> None:
    world = draw_world(tiny(), 2)
    gone = Controller(kind="verifier", name="3", home=NO_HOME)
    before = world.workload.stage_verifier
    after = without(world, gone, tiny()).workload.stage_verifier
    assert (before == 3).any()
    assert not (after == 3).any()
    assert (after[before != 3] == before[before != 3]).all()


def test_a_region_without_links_serves_its_own_and_nobody_else() -> None:
    world = draw_world(tiny(), 2)
    region = world.geography.region.index("de-fra")
    cut = without(world, Controller(kind="links", name="de-fra", home="EU-DE"), tiny())
    may_serve = cut.law.may_serve
    assert may_serve[:, region].sum(axis=1).tolist() == [1, 1]
    assert may_serve[:, :, region].sum(axis=1).tolist() == [1, 1]
    others = np.delete(np.arange(world.geography.n_regions), region)
    same = np.ix_([0, 1], others, others)
    assert (may_serve[same] == world.law.may_serve[same]).all()


def test_sites_of_control_are_those_of_the_regime_and_a_hub_is_needed_by_all() -> None:
    world = draw_world(tiny(), 2)
    assert len(controllers(world, CENTRAL, kinds=("site",))) == 1
    assert len(controllers(world, MARKET, kinds=("site",))) == world.geography.n_regions
    removed = removals(
        tiny(), seeds=[2], regime=CENTRAL, yardsticks=("realised",), kinds=("site",), workers=1
    )
    whole = removed[removed["jurisdiction"] == WORLD]
    # Without its hub nothing is decided: all worth is lost, and no cost but what is charged anyway.
    assert removed[removed["jurisdiction"] != WORLD]["loss_share"].to_numpy() == pytest.approx(1.0)
    assert whole["loss_share"].to_numpy() == pytest.approx(1.0, abs=0.02)


def test_the_planner_loses_what_removed_nodes_could_have_done_and_gains_by_none() -> None:
    removed = removals(tiny(), seeds=[1, 2], yardsticks=("planner",), least_share=0.05, workers=1)
    assert len(removed) >= 4
    assert set(removed["jurisdiction"]) == {WORLD}
    assert (removed["loss_share"] >= -1e-6).all()
    assert (removed["loss_share"] <= 1.0).all()


def test_a_verifier_and_a_site_are_nothing_to_a_planner_that_needs_neither() -> None:
    removed = removals(
        tiny(), seeds=[1], yardsticks=("reference",), kinds=("verifier", "site"), workers=1
    )
    assert (removed["loss_share"] == 0.0).all()


def test_removals_can_be_drawn_and_unknown_words_are_refused() -> None:
    removed = pd.DataFrame([removed_row(seed, name, 0.2) for seed in (1, 2) for name in "ab"])
    assert isinstance(draw_removals(removed), Figure)
    with pytest.raises(ValueError, match=f"yardstick must be one of {', '.join(YARDSTICKS)}"):
        removals(tiny(), seeds=[1], yardsticks=("guess",))
    with pytest.raises(ValueError, match="kind must be one of"):
        controllers(draw_world(tiny(), 1), CENTRAL, kinds=("king",))


def test_a_programme_of_nothing_costs_and_gains_nothing_and_a_larger_one_costs_more() -> None:
    found = programme(tiny(), "EU", nodes=[0, 6], seeds=[1, 2], workers=1).set_index("nodes")
    gains = ["worth_gain_usd", "world_gain_usd", "sovereignty_gain"]
    assert found.loc[0, ["cost_usd", *gains]].tolist() == [0.0, 0.0, 0.0, 0.0]
    # 6 nodes for 300 s at the replacement cost of hardware.
    rate = tiny().number("resources.hardware_usd_per_gpu_hour")
    assert found.loc[6, "cost_usd"] == pytest.approx(6 * 300 / 3600 * rate)
    assert found.loc[6, gains].notna().all()
