"""Law and entrants as parameters: neutral by default, and each with its dose and response."""

import numpy as np
import pytest

from hanse.agents.model import ComputeMarket
from hanse.agents.world import World
from hanse.market.jurisdictions import DATA_CLASSES, RESIDENT
from hanse.market.regime import AUDITED_MARKET, CENTRAL, Regime
from hanse.market.units import Integers
from hanse.scenarios.draw import draw_world
from hanse.scenarios.drawing.borders import barred_buyers, headquarters, recognised_of
from hanse.scenarios.drawing.chip_rules import BARRED, CAPPED, capacity_weight, region_tier
from hanse.scenarios.drawing.entrants import programme_regions, with_entrants
from hanse.scenarios.drawing.place import geography_of
from hanse.scenarios.scenario import Scenario, ScenarioError
from hanse.scenarios.studies.removals import controllers
from hanse.scenarios.tables import (
    jurisdiction_index,
    read_jurisdictions,
    read_owners,
    read_regions,
)
from tests.small_runs import tiny

NEUTRAL = {
    "law.recognition_share": 1.0,
    "law.chip_rule": "as-placed",
    "law.chip_delivered_share": 0.1,
    "law.chip_country_share": 0.0,
    "law.chip_own_design_share": 0.0,
    "law.chip_licence_share": 0.0,
    "law.remote_access": "open",
    "load.foreign_headquarters_share": 1.0,
    "law.egress_rule": "tariff",
    "law.egress_cost_usd_per_gb": 0.0,
    "law.egress_switching_share": 1.0,
    "fleet.sovereign_jurisdiction": "none",
    "fleet.sovereign_nodes": 50,
    "verification.minimum_stake_nodes": 1,
}


def with_law(**changes: object) -> Scenario:
    """Change parameters of the tiny baseline, with two underscores for a dot."""
    return tiny().replace({key.replace("__", "."): value for key, value in changes.items()})


def judged_abroad(world: World) -> float:
    """Return the share of stages whose verifier sits in another jurisdiction."""
    verifier, own = world.workload.stage_verifier, world.geography.region_jurisdiction
    seat = own[world.verifier_region[np.maximum(0, verifier)]]
    origin = own[world.workload.job_origin[world.workload.stage_job]]
    return float(((verifier >= 0) & (seat != origin)).mean())


def test_rules_that_are_off_leave_every_byte_of_a_world_as_it_was() -> None:
    assert draw_world(tiny().replace(NEUTRAL), 4).digest() == draw_world(tiny(), 4).digest()


def test_the_less_is_recognised_abroad_the_more_is_judged_at_home() -> None:
    shares = (1.0, 0.8, 0.6, 0.4, 0.2, 0.0)
    abroad = [judged_abroad(draw_world(with_law(law__recognition_share=s), 4)) for s in shares]
    assert abroad[0] > 0.4
    assert np.diff(abroad).max() <= 0.0
    assert abroad[-1] == 0.0


def test_a_pair_of_jurisdictions_that_recognises_goes_on_to_as_the_share_grows() -> None:
    few, more = (recognised_of(with_law(law__recognition_share=s), 4) for s in (0.3, 0.6))
    assert (few <= more).all()
    assert few.diagonal().all()
    own = jurisdiction_index()
    assert few[own[:, None] == own].all()


def test_resident_data_are_judged_only_where_both_law_and_recognition_let_them() -> None:
    world = draw_world(with_law(law__recognition_share=0.5, load__resident_share=1.0), 4)
    workload, verifier = world.workload, world.workload.stage_verifier
    judged = verifier >= 0
    origin = workload.job_origin[workload.stage_job][judged]
    seat = world.verifier_region[verifier[judged]]
    counts = recognised_of(with_law(law__recognition_share=0.5), 4)
    assert judged.any()
    assert (world.law.may_serve[RESIDENT] & counts)[origin, seat].all()


@pytest.mark.parametrize("rule", ["tiers-2025", "case-by-case-2026"])
def test_a_chip_rule_moves_capacity_and_loses_none(rule: str) -> None:
    share = [
        capacity_weight(with_law(law__chip_rule=rule, law__chip_delivered_share=d))
        for d in (1.0, 0.75, 0.5, 0.25, 0.0)
    ]
    assert [float(one.sum()) for one in share] == pytest.approx([1.0] * 5)
    assert share[0] == pytest.approx(read_regions().capacity_weight)
    barred = [float(one[region_tier() == BARRED].sum()) for one in share]
    assert np.diff(barred).max() < 0.0
    elsewhere = np.array(share)[:, region_tier() < CAPPED].sum(axis=1)
    assert np.diff(elsewhere).min() > 0.0


def test_the_tier_rule_lets_so_much_into_a_country_and_no_more() -> None:
    scenario = with_law(law__chip_rule="tiers-2025", law__chip_delivered_share=0.0)
    weight, country = capacity_weight(scenario), jurisdiction_index()
    by_country = np.bincount(country, weight)
    capped = np.unique(country[region_tier() == CAPPED])
    before = np.bincount(country, read_regions().capacity_weight)
    assert by_country[capped] == pytest.approx(np.minimum(before[capped], 0.0024))
    # China and Hong Kong keep what needs no design under control: half of 0.055.
    assert weight[region_tier() == BARRED].sum() == pytest.approx(0.0275)


def test_case_by_case_licences_bind_tier_3_alone_and_all_licences_are_no_rule() -> None:
    rule = {"law__chip_rule": "case-by-case-2026", "law__chip_delivered_share": 0.0}
    licensed = [
        capacity_weight(with_law(**rule, law__chip_licence_share=s)) for s in (0.0, 0.5, 1.0)
    ]
    barred = [float(one[region_tier() == BARRED].sum()) for one in licensed]
    # 0.055 x (0.5 + 0.5 x licensed)
    assert barred == pytest.approx([0.0275, 0.04125, 0.055])
    assert licensed[2] == pytest.approx(read_regions().capacity_weight)


def test_only_buyers_with_headquarters_in_tier_3_are_held_to_its_regions() -> None:
    scenario = with_law(law__remote_access="by-headquarters", load__foreign_headquarters_share=0.5)
    world = draw_world(scenario, 4)
    workload, n_classes = world.workload, len(DATA_CLASSES)
    barred = barred_buyers(scenario, 4, workload.buyer_region)
    assert 0 < barred.sum() < len(barred)
    assert (workload.job_data_class // n_classes == barred[workload.job_buyer]).all()
    may_serve = world.law.may_serve
    assert may_serve.shape[0] == 2 * n_classes
    assert not may_serve[n_classes:][:, :, region_tier() != BARRED].any()
    assert (may_serve[:n_classes] == draw_world(tiny(), 4).law.may_serve).all()
    plain = draw_world(tiny(), 4).workload
    assert (workload.job_data_class % n_classes == plain.job_data_class).all()


def test_headquarters_are_at_home_unless_a_share_is_drawn_elsewhere() -> None:
    buyer_region = np.arange(26).repeat(40)
    own = jurisdiction_index()[buyer_region]
    assert (headquarters(tiny(), 4, buyer_region) == own).all()
    away = [
        float(
            (
                headquarters(with_law(load__foreign_headquarters_share=s), 4, buyer_region) != own
            ).mean()
        )
        for s in (0.2, 0.6, 1.0)
    ]
    # Of those who draw, some draw their own: demand of one's own jurisdiction, 0.34 at most.
    assert np.diff(away).min() > 0.2
    assert away[0] < 0.2
    assert len(read_jurisdictions().jurisdiction) == 23


def test_egress_out_of_the_eu_is_held_to_cost_and_nothing_else_is() -> None:
    before = geography_of(tiny()).egress_usd_per_gb
    at_cost = geography_of(with_law(law__egress_rule="at-cost")).egress_usd_per_gb
    members = programme_regions("EU")
    assert (at_cost[members] == 0.02).all()
    assert (np.delete(at_cost, members) == np.delete(before, members)).all()
    free = [
        geography_of(
            with_law(law__egress_rule="switching-free", law__egress_switching_share=s)
        ).egress_usd_per_gb[members]
        for s in (0.0, 0.5, 1.0)
    ]
    assert [float(one.max()) for one in free] == pytest.approx([0.02, 0.01, 0.0])


def test_cost_is_a_ceiling_and_never_raises_a_tariff() -> None:
    dear = geography_of(with_law(law__egress_rule="at-cost", law__egress_cost_usd_per_gb=9.0))
    assert (dear.egress_usd_per_gb == geography_of(tiny()).egress_usd_per_gb).all()


def test_a_programme_adds_nodes_at_home_and_leaves_all_others_alone() -> None:
    plain = draw_world(tiny(), 4).fleet
    fleet = draw_world(
        with_law(fleet__sovereign_jurisdiction="EU", fleet__sovereign_nodes=9), 4
    ).fleet
    is_new = fleet.node_owner == len(plain.owner)
    assert fleet.owner == (*plain.owner, "sovereign-EU")
    assert is_new.sum() == 9
    assert set(fleet.node_region[is_new]) <= set(programme_regions("EU"))
    for column in ("node_region", "node_owner", "node_free_from_us", "node_tenant"):
        assert (getattr(fleet, column)[~is_new] == getattr(plain, column)).all()
    keys = list(zip(fleet.node_region, fleet.node_class, fleet.node_owner, strict=True))
    assert keys == sorted(keys)


def test_a_minimum_stake_keeps_small_owners_out_and_moves_no_other_node() -> None:
    plain = draw_world(tiny(), 4).fleet
    count = np.bincount(plain.node_owner, minlength=len(plain.owner))
    sizes = []
    for nodes_min in (0, 1, 2, 4, 7):
        scenario = with_law(verification__minimum_stake_nodes=nodes_min)
        fleet = with_entrants(plain, scenario)
        assert (fleet.node_region == plain.node_region[count[plain.node_owner] >= nodes_min]).all()
        sizes.append(fleet.n_nodes)
    assert sizes[0] == sizes[1] == plain.n_nodes
    assert np.diff(sizes).max() <= 0
    assert sizes[-1] < sizes[0]
    with pytest.raises(ScenarioError, match="admits nobody"):
        with_entrants(plain, with_law(verification__minimum_stake_nodes=1_000))


def test_every_place_and_owner_has_its_row_in_the_tables_of_law() -> None:
    assert set(region_tier()) == {1, 2, 3}
    assert len(region_tier()) == len(read_regions().region)
    listed = controllers(draw_world(tiny(), 4), CENTRAL, least_share=0.0)
    homes = {one.name: one.home for one in listed}
    assert {homes[name] for name in read_owners().owner[:2]} == {"US"}
    assert homes["chinese-owners"] == "CN"
    assert set(homes.values()) <= set(read_jurisdictions().jurisdiction)


def executed(world: World, regime: Regime) -> tuple[Integers, Integers]:
    """Run a world; return the job and the unit of each execution."""
    ledger = ComputeMarket(world, regime, with_agents=False).run_to_horizon()
    record = ledger.record[ledger.work]
    return ledger.stage_fact["job"][record["stage"]], np.asarray(record["unit"], np.int64)


@pytest.mark.parametrize("regime", [CENTRAL, AUDITED_MARKET])
def test_barred_buyers_are_served_in_tier_3_alone_and_all_others_elsewhere_too(
    regime: Regime,
) -> None:
    scenario = with_law(
        law__remote_access="by-headquarters",
        load__foreign_headquarters_share=0.5,
        load__model_calls=120,
        fleet__nodes=60,
    )
    world = draw_world(scenario, 4)
    job, unit = executed(world, regime)
    tier = region_tier()[world.fleet.node_region[unit]]
    is_barred = world.workload.job_data_class[job] >= len(DATA_CLASSES)
    assert is_barred.any()
    assert (tier[is_barred] == BARRED).all()
    assert (tier[~is_barred] != BARRED).any()


@pytest.mark.parametrize("regime", [CENTRAL, AUDITED_MARKET])
def test_a_larger_programme_serves_more_of_what_is_asked(regime: Regime) -> None:
    share = []
    for n_nodes in (0, 10, 100):
        scenario = with_law(fleet__sovereign_jurisdiction="EU", fleet__sovereign_nodes=n_nodes)
        world = draw_world(scenario, 4)
        _, unit = executed(world, regime)
        names = np.array(world.fleet.owner, dtype=object)[world.fleet.node_owner[unit]]
        share.append(float((names == "sovereign-EU").mean()))
    assert share[0] == 0.0
    assert share[0] <= share[1] <= share[2]
    assert share[2] > 0.0
