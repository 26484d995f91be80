"""The fleet, the places and the law of a world: whose nodes stand where, and what may go there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.agents.world import World
from hanse.market.geography import demand_median
from hanse.market.jurisdictions import RESIDENT, UNRESTRICTED
from hanse.scenarios.draw import draw_world
from hanse.scenarios.drawing.fleet import apportion
from hanse.scenarios.scenario import load
from hanse.scenarios.tables import read_owners, read_regions, region_index

BASELINE = load("baseline")
ERRORS = 4.0


@pytest.fixture(scope="module")
def world() -> World:
    return draw_world(BASELINE, 1)


@given(share=st.lists(st.floats(0.001, 1), min_size=1, max_size=30), total=st.integers(0, 100_000))
def test_apportionment_is_whole_and_off_by_less_than_one(share: list[float], total: int) -> None:
    shares = np.array(share)
    counts = apportion(shares, total)
    assert counts.sum() == total
    assert (abs(counts - total * shares / shares.sum()) < 1 + 1e-6).all()


def test_nodes_are_sorted_by_region_class_and_owner() -> None:
    scenario = BASELINE.replace(
        {"fleet.classes": ["a", "b", "c"], "fleet.class_shares": [0.5, 0.3, 0.2]}
    )
    fleet = draw_world(scenario, 1).fleet
    order = np.lexsort((fleet.node_owner, fleet.node_class, fleet.node_region))
    assert np.array_equal(order, np.arange(200))
    assert np.bincount(fleet.node_class).tolist() == [100, 60, 40]
    assert fleet.accelerator_class == ("a", "b", "c")


def test_jobs_ask_for_classes_by_their_shares() -> None:
    scenario = BASELINE.replace({"fleet.classes": ["a", "b"], "fleet.class_shares": [0.8, 0.2]})
    load_of = draw_world(scenario, 1).workload
    asks = load_of.stage_class[load_of.stage_ordinal == 0]
    assert abs(asks.mean() - 0.2) < ERRORS * (0.2 * 0.8 / len(asks)) ** 0.5


def test_a_class_may_stand_in_one_region_alone() -> None:
    scenario = BASELINE.replace(
        {
            "fleet.classes": ["a", "b"],
            "fleet.class_shares": [0.9, 0.1],
            "fleet.class_regions": ["anywhere", "nl-ams"],
        }
    )
    drawn = draw_world(scenario, 1)
    fleet = drawn.fleet
    assert set(fleet.node_region[fleet.node_class == 1].tolist()) == {region_index("nl-ams")}
    assert np.bincount(fleet.node_class).tolist() == [180, 20]
    counts = np.bincount(fleet.node_region[fleet.node_class == 0], minlength=26)
    assert (abs(counts - 180 * read_regions().capacity_weight) < 1).all()
    # Whoever names no class asks for what is found anywhere.
    assert not drawn.workload.stage_class.any()


def test_nodes_stand_where_capacity_is(world: World) -> None:
    counts = np.bincount(world.fleet.node_region, minlength=26)
    assert (abs(counts - 200 * read_regions().capacity_weight) < 1).all()


@pytest.mark.parametrize("n_nodes", [1, 2, 10, 200, 5000])
def test_owners_keep_out_of_regions_that_do_not_admit_them(n_nodes: int) -> None:
    fleet = draw_world(BASELINE.replace({"fleet.nodes": n_nodes}), 1).fleet
    row = np.minimum(fleet.node_owner, len(read_owners().owner) - 1)
    assert read_owners().may_own[row, fleet.node_region].all()


def test_owners_have_their_shares_of_the_world() -> None:
    fleet = draw_world(BASELINE.replace({"fleet.nodes": 5000}), 1).fleet
    row = np.minimum(fleet.node_owner, len(read_owners().owner) - 1)
    counts = np.bincount(row)
    # Three groups of regions admit the same owners; each may be off by one node per owner.
    assert (abs(counts - 5000 * read_owners().share) < 3).all()


def test_each_independent_node_has_an_owner_of_its_own(world: World) -> None:
    fleet = world.fleet
    named = len(read_owners().owner) - 1
    independent = fleet.node_owner[fleet.node_owner >= named]
    assert independent.tolist() == list(range(named, named + len(independent)))
    assert len(fleet.owner) == len(fleet.owner_is_hyperscaler) == named + len(independent)
    assert not fleet.owner_is_hyperscaler[named:].any()
    assert fleet.owner_is_hyperscaler[:5].all()


def test_independents_may_have_several_nodes() -> None:
    fleet = draw_world(BASELINE.replace({"fleet.nodes_per_independent": 5}), 1).fleet
    named = len(read_owners().owner) - 1
    counts = np.bincount(fleet.node_owner)[named:]
    assert (counts[:-1] == 5).all()
    assert 1 <= counts[-1] <= 5


def test_hyperscalers_ask_list_prices_and_independents_a_neocloud_s(world: World) -> None:
    fleet, table = world.fleet, read_regions()
    asked, place = fleet.node_posted_usd_per_gpu_hour, fleet.node_region
    lists = fleet.owner_is_hyperscaler[fleet.node_owner]
    assert np.array_equal(asked[lists], table.list_usd_per_gpu_hour[place[lists]])
    neocloud = asked[~lists] / table.list_price_factor[place[~lists]]
    assert ((neocloud >= 2.95) & (neocloud <= 3.29)).all()
    assert len(np.unique(neocloud.round(9))) > 40


def test_half_of_the_nodes_are_occupied_at_the_start(world: World) -> None:
    free_from_us = world.fleet.node_free_from_us
    assert (free_from_us > 0).sum() == 100
    assert free_from_us.max() <= world.horizon_us


def test_the_hub_is_the_demand_median_unless_named(world: World) -> None:
    assert world.terms.hub_region == demand_median(world.geography)
    assert draw_world(
        BASELINE.replace({"control.hub": "sg-sin"}), 1
    ).terms.hub_region == region_index("sg-sin")


def test_geography_is_measured_round_trips_and_capped_rates(world: World) -> None:
    geography = world.geography
    fra, sin = region_index("de-fra"), region_index("sg-sin")
    assert geography.rtt_ms[fra, sin] == geography.rtt_ms[sin, fra] > 100.5
    assert (np.diag(geography.rtt_ms) == 1.0).all()
    assert (np.diag(geography.gbps) == 10.0).all()
    assert geography.gbps[fra, sin] == 5.0
    assert geography.demand_weight.sum() == pytest.approx(1.0)


def test_one_stream_is_slower_the_farther_it_goes() -> None:
    geography = draw_world(BASELINE.replace({"resources.transfer_streams": 1}), 1).geography
    va, sin = region_index("us-va"), region_index("sg-sin")
    # 200,000 Mbit/s x ms over 224.6 ms = 890.5 Mbit/s
    assert geography.gbps[va, sin] == pytest.approx(0.8905, abs=1e-4)


@pytest.mark.parametrize(
    ("origin", "place", "may"),
    [
        ("de-fra", "fr-par", True),
        ("de-fra", "no-osl", True),
        ("de-fra", "uk-lon", True),
        ("de-fra", "us-va", True),
        ("de-fra", "kr-sel", True),
        ("de-fra", "sg-sin", False),
        ("de-fra", "br-sp", False),
        ("de-fra", "au-syd", False),
        ("uk-lon", "in-bom", False),
        ("jp-tyo", "nl-ams", True),
        ("us-va", "cn-bjs", True),
        ("hk-hkg", "cn-bjs", True),
        ("sg-sin", "us-or", True),
        ("cn-bjs", "hk-hkg", False),
        ("cn-bjs", "cn-bjs", True),
    ],
)
def test_resident_data_go_where_the_law_lets_them(
    world: World, origin: str, place: str, may: bool
) -> None:
    assert world.law.may_serve[RESIDENT, region_index(origin), region_index(place)] == may


def test_unrestricted_data_go_anywhere_and_all_stay_at_home(world: World) -> None:
    assert world.law.may_serve[UNRESTRICTED].all()
    assert world.law.may_serve[RESIDENT].diagonal().all()


@pytest.mark.parametrize(
    ("rule", "reached"),
    [
        ("free", {"us-or", "fr-par", "sg-sin"}),
        ("adequacy", {"us-or", "fr-par"}),
        ("hard", {"us-or"}),
    ],
)
def test_one_rule_for_all_jurisdictions_may_take_the_place_of_the_tabulated(
    rule: str, reached: set[str]
) -> None:
    law = draw_world(BASELINE.replace({"law.export_rule": rule}), 1).law
    places = ("us-or", "fr-par", "sg-sin")
    for origin in ("us-va", "br-sp"):  # the rule is the same wherever data come from
        may = law.may_serve[RESIDENT, region_index(origin)]
        others = reached - {"us-or"} if origin == "br-sp" and rule == "hard" else reached
        assert {place for place in places if may[region_index(place)]} == others
    assert law.may_serve[RESIDENT].diagonal().all()
    assert law.may_serve[UNRESTRICTED].all()
