"""More of a mechanism of agents or of law, more of its effect, over five levels each.

Outcomes are read from tables of seasons, from ledgers and from worlds; none sees the switch.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import pytest
from scipy.special import stdtrit
from scipy.stats import wilcoxon

from hanse.agents.council import Safeguards
from hanse.agents.model import ComputeMarket, release
from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.engine.states import CHEATED, N_WAITING_STATES, TOOL, WRONG
from hanse.market.regime import AUDITED_MARKET, CENTRAL, MARKET, Regime, regimes
from hanse.market.units import US_PER_HOUR, US_PER_S
from hanse.scenarios.draw import draw_world
from hanse.scenarios.drawing.borders import barred_buyers
from hanse.scenarios.drawing.chip_rules import BARRED, CAPPED, capacity_weight, region_tier
from hanse.scenarios.drawing.entrants import programme_regions
from hanse.scenarios.drawing.place import geography_of
from hanse.scenarios.scenario import Value, load
from hanse.scenarios.seasons.measures import hhi
from hanse.scenarios.seasons.play import Seasons, list_changes, play_seasons
from hanse.scenarios.studies.governance import Constitution, hold_votes, outcomes_by_world
from hanse.scenarios.studies.interests import Interests, read_interests
from hanse.scenarios.studies.sovereignty import programme
from tests.small_runs import tiny

SMALL: dict[str, Value] = {
    "fleet.nodes": 60,
    "load.model_calls": 700,
    "load.batch_jobs": 120,
    "measurement.displacement_instants": 16,
}
CROWDED: dict[str, Value] = {"load.model_calls": 1400, "load.batch_jobs": 240}
HELD: dict[str, Value] = {
    "institutions.hoarding": True,
    "fleet.nodes": 120,
    "load.model_calls": 2200,
    "load.batch_jobs": 240,
    "load.model_call_value_multiple": 30.0,
    "load.batch_value_multiple": 15.0,
}
RATIONED: dict[str, Value] = HELD | {
    "fleet.reserved_share": 0.1,
    "load.model_call_value_multiple": 300.0,
    "load.batch_value_multiple": 300.0,
}
LEARNING: dict[str, Value] = {
    "institutions.honesty_learning_rate": 2.0,
    "verification.temptation_share": 0.3,
    "verification.stake_multiple": 1.0,
    "verification.audit_probability": 0.2,
}
N_SEASONS = 6


def late(measure: str) -> Callable[[Seasons], float]:
    """Return what reads the mean of a market measure over the last three seasons."""
    return lambda played: float(played.path(measure).iloc[-3:].mean())


def of_independents(read: str) -> Callable[[Seasons], float]:
    """Return what counts independents' regions, or their units, in the last season."""

    def count(played: Seasons) -> float:
        places = played.places
        last = places[(places["season"] == N_SEASONS - 1) & (places["group"] == "independent")]
        return float(last["region"].nunique() if read == "regions" else last["units"].sum())

    return count


def held_hhi(played: Seasons) -> float:
    last = played.buyers[played.buyers["season"] >= N_SEASONS - 3]
    held = last.groupby("season")["held_units"]
    return float(held.apply(lambda units: hhi(units.to_numpy(float))).mean())


def lists_changed(played: Seasons) -> float:
    return float(list_changes(played.places)["changed_share"].mean())


def moved(played: Seasons) -> float:
    """Return by how much a buyer's activity changes from season to season."""
    paths = played.buyers.pivot_table(index="buyer", columns="season", values="activity")
    return float(np.abs(np.diff(paths.to_numpy(float), axis=1)).mean())


@dataclass(frozen=True, kw_only=True)
class Dose:
    """Five levels of one parameter, what is beside it, what is read, and where that goes."""

    key: str
    levels: tuple[Value, ...]
    read: Callable[[Seasons], float]
    rises: bool
    regime: str = "central"
    beside: dict[str, Value] = field(default_factory=dict)
    n_seeds: int = 4


IN_SEASONS: dict[str, Dose] = {
    "investment": Dose(
        key="institutions.growth_share",
        levels=(0.0, 0.02, 0.05, 0.1, 0.3),
        read=late("units"),
        rises=True,
        beside=CROWDED,
    ),
    "time to build": Dose(
        key="institutions.build_seasons",
        levels=(1, 2, 3, 4, 6),
        read=late("units"),
        rises=False,
        beside=CROWDED,
    ),
    "exit": Dose(
        key="institutions.exit_share",
        levels=(0.0, 0.1, 0.25, 0.5, 0.9),
        read=of_independents("units"),
        rises=False,
        beside={"resources.idle_w": 20_000.0},
    ),
    "dearer capital of independents, entry": Dose(
        key="institutions.independent_premium_per_year",
        levels=(0.0, 0.5, 1.0, 2.0, 4.0),
        read=of_independents("units"),
        rises=False,
        beside=CROWDED,
    ),
    "relocation": Dose(
        key="institutions.relocation_share",
        levels=(0.0, 0.1, 0.25, 0.5, 1.0),
        read=of_independents("regions"),
        rises=False,
        beside={"institutions.moving_usd_per_gpu_hour": 0.0, "institutions.growth_share": 0.0},
    ),
    "cost of moving": Dose(
        key="institutions.moving_usd_per_gpu_hour",
        levels=(0.0, 1.0, 2.0, 5.0, 50.0),
        read=of_independents("regions"),
        rises=True,
        beside={"institutions.relocation_share": 0.5, "institutions.growth_share": 0.0},
        n_seeds=8,
    ),
    "believed elasticity": Dose(
        key="institutions.believed_elasticity",
        levels=(1.2, 1.5, 2.0, 3.0, 5.0),
        read=late("list_usd_per_gpu_hour"),
        rises=False,
        # Where units are short, the list is what clears, whatever mark-up is believed best.
        beside={"load.model_calls": 250, "load.batch_jobs": 30},
    ),
    "use elsewhere": Dose(
        key="institutions.elsewhere_usd_per_gpu_hour",
        levels=(0.0, 1.5, 2.0, 3.0, 5.0),
        read=late("list_usd_per_gpu_hour"),
        rises=True,
    ),
    "who decides anew": Dose(
        key="institutions.deciding_share",
        levels=(0.1, 0.3, 0.5, 0.8, 1.0),
        read=lists_changed,
        rises=True,
    ),
    "elasticity of demand": Dose(
        key="institutions.demand_elasticity",
        levels=(0.0, 0.25, 0.5, 1.0, 2.0),
        read=late("jobs"),
        rises=False,
        # Units have a dear use elsewhere, so that prices rise; left alone they go either way.
        beside={"institutions.elsewhere_usd_per_gpu_hour": 20.0},
    ),
    "budgets": Dose(
        key="institutions.budget_multiple",
        levels=(0.1, 0.25, 0.5, 1.0, 4.0),
        read=late("jobs"),
        rises=True,
    ),
    "errors of forecasts": Dose(
        key="institutions.forecast_error_sigma",
        levels=(0.0, 0.1, 0.3, 0.6, 1.0),
        read=moved,
        rises=True,
    ),
    "memory of forecasts": Dose(
        key="institutions.forecast_memory",
        levels=(0.0, 0.25, 0.5, 0.75, 0.95),
        read=moved,
        rises=False,
    ),
    "pooling": Dose(
        key="institutions.pool_buyers",
        levels=(1, 4, 15, 30, 60),
        read=late("idle_held_gpu_h"),
        rises=False,
        regime="reserved",
        beside=HELD,
    ),
    "price of resale": Dose(
        key="institutions.resale_haircut",
        levels=(0.0, 0.25, 0.5, 0.75, 1.0),
        read=late("given_back_units"),
        rises=False,
        regime="reserved",
        beside=HELD | {"institutions.resale": True},
    ),
    "what may be reserved": Dose(
        key="fleet.reserved_share",
        levels=(0.1, 0.3, 0.5, 0.7, 0.9),
        read=late("held_units"),
        rises=True,
        regime="reserved",
        beside=HELD,
    ),
    "ration gaming": Dose(
        key="institutions.ration_cap",
        levels=(1.0, 1.5, 2.0, 4.0, 10.0),
        read=held_hhi,
        rises=False,
        regime="reserved",
        beside=RATIONED,
    ),
    "reputation": Dose(
        key="institutions.reputation_rewards",
        levels=(0.0, 0.5, 1.0, 2.0, 5.0),
        read=late("cheating_share"),
        rises=False,
        regime="audited-market",
        beside=LEARNING | {"verification.stake_multiple": 0.0},
    ),
    "stake": Dose(
        key="verification.stake_multiple",
        levels=(0.0, 0.5, 1.0, 2.0, 5.0),
        read=late("cheating_share"),
        rises=False,
        regime="audited-market",
        beside=LEARNING,
    ),
    "audits": Dose(
        key="verification.audit_probability",
        levels=(0.0, 0.1, 0.2, 0.4, 0.8),
        read=late("cheating_share"),
        rises=False,
        regime="audited-market",
        beside=LEARNING,
    ),
    "rent for routing": Dose(
        key="institutions.hub_rent_share",
        levels=(0.0, 0.05, 0.1, 0.2, 0.25),
        read=late("rent_moved_usd"),
        rises=True,
    ),
    "cost of a verifier": Dose(
        key="institutions.verifier_cost_usd",
        levels=(1e-4, 0.01, 0.03, 0.1, 10.0),
        read=late("verifiers"),
        rises=False,
        regime="audited-market",
    ),
    "own work first": Dose(
        key="institutions.own_growth_share",
        levels=(0.0, 0.25, 0.5, 0.75, 1.0),
        read=late("own_hours"),
        rises=True,
        beside=CROWDED | {"institutions.build_seasons": 1, "institutions.demand_headroom": 3.0},
        n_seeds=8,
    ),
}


def follows(found: np.ndarray, *, rises: bool) -> None:
    """Hold that means go one way, and the ends are apart, paired by seed, at 1 % one-sided.

    By Student's t with few seeds; by signed ranks where there are enough for them.
    """
    sign = 1.0 if rises else -1.0
    steps = sign * np.diff(found.mean(axis=0))
    ends = sign * (found[:, -1] - found[:, 0])
    assert (steps >= -1e-9).all(), found.mean(axis=0)
    assert ends.mean() > 0.0
    if len(ends) >= 7:
        assert wilcoxon(ends, alternative="greater").pvalue < 0.01, found
    else:
        error = ends.std(ddof=1) / np.sqrt(len(ends))
        assert ends.mean() >= stdtrit(len(ends) - 1, 0.99) * error, found


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_SEASONS)
def test_the_response_of_agents_follows_the_dose(name: str) -> None:
    dose = IN_SEASONS[name]
    scenario = load("baseline").replace(SMALL | dose.beside)
    found = np.array(
        [
            [
                dose.read(
                    play_seasons(
                        scenario.replace({dose.key: level}),
                        dose.regime,
                        n_seasons=N_SEASONS,
                        seed=seed,
                    )
                )
                for level in dose.levels
            ]
            for seed in range(dose.n_seeds)
        ]
    )
    follows(found, rises=dose.rises)


@cache
def ran(changes: tuple[tuple[str, Value], ...], regime: Regime, seed: int) -> tuple[World, Ledger]:
    """Run one regime on the small baseline with some changes."""
    world = draw_world(load("baseline").replace(SMALL | dict(changes)), seed)
    model = ComputeMarket(world, regime, with_agents=False)
    ledger = model.run_to_horizon()
    release(model)
    return world, ledger


Read = Callable[[World, Ledger], float]


def outsiders_wait_s(_: World, ledger: Ledger) -> float:
    """Return the mean wait of stages whose job is nobody's own."""
    outside = (ledger.stage_fact["first_party"] < 0) & (ledger.stage["ready_us"] >= 0)
    waited_us = ledger.time_us[outside][:, TOOL + 1 : N_WAITING_STATES].sum(axis=1)
    return float(waited_us.mean()) / US_PER_S


def smaller_buyers_wait_s(world: World, ledger: Ledger) -> float:
    """Return the mean wait of stages of buyers from the ninth largest on."""
    small = (ledger.stage_fact["buyer"] >= 8) & (ledger.stage["ready_us"] >= 0)
    return (
        float(ledger.time_us[small][:, TOOL + 1 : N_WAITING_STATES].sum(axis=1).mean()) / US_PER_S
    )


def own_hours(world: World, ledger: Ledger) -> float:
    """Return the hours that owners' own jobs had on their owners' units."""
    record = ledger.record[ledger.work]
    own = ledger.stage_fact["first_party"][record["stage"]]
    is_own = own == world.fleet.node_owner[record["unit"]]
    return float((record["end_us"] - record["accepted_us"])[is_own].sum()) / US_PER_HOUR


def abroad(world: World, ledger: Ledger) -> float:
    """Return the share of executions outside the jurisdiction in which their job was asked for."""
    record, own = ledger.record[ledger.work], world.geography.region_jurisdiction
    origin = own[ledger.stage_fact["origin"][record["stage"]]]
    return float((own[ledger.unit["region"][record["unit"]]] != origin).mean())


def stays_in_the_eu(world: World, ledger: Ledger) -> float:
    """Return the share of executions in the EU, of those for jobs asked for there."""
    record, members = ledger.record[ledger.work], programme_regions("EU")
    asked = np.isin(ledger.stage_fact["origin"][record["stage"]], members)
    return float(np.isin(ledger.unit["region"][record["unit"]], members)[asked].mean())


def in_tier_3(world: World, ledger: Ledger) -> float:
    """Return the share of executions in regions of tier 3."""
    region = ledger.unit["region"][ledger.record[ledger.work]["unit"]]
    return float((region_tier()[region] == BARRED).mean())


def idle_reserved_hours(world: World, ledger: Ledger) -> float:
    """Return the hours in which units idled that are kept for one buyer."""
    record = ledger.record
    begin = np.minimum(record["accepted_us"], ledger.horizon_us)
    busy = np.minimum(record["end_us"], ledger.horizon_us) - begin
    busy_us = np.bincount(record["unit"], busy, len(ledger.unit))
    is_kept = (world.fleet.node_tenant >= 0) & (ledger.unit["plane"] >= 0)
    return float((ledger.horizon_us - busy_us)[is_kept].sum()) / US_PER_HOUR


def cheats(_: World, ledger: Ledger) -> float:
    return float((ledger.record["is_wrong"][ledger.work] == CHEATED).sum())


def wrong_accepted(_: World, ledger: Ledger) -> float:
    return float((ledger.record["outcome"][ledger.work] == WRONG).sum())


def owner_hhi(world: World, _: Ledger) -> float:
    return hhi(np.bincount(world.fleet.node_owner).astype(float))


RunDose = tuple[str, tuple[Value, ...], dict[str, Value], Read, bool, tuple[Regime, ...]]
FULL: dict[str, Value] = {"load.model_calls": 2800, "load.batch_jobs": 400}
PROGRAMME: dict[str, Value] = {"fleet.sovereign_jurisdiction": "EU"}
TEMPTED: dict[str, Value] = {
    "verification.temptation_share": 0.5,
    "verification.saved_share": 1.0,
    "verification.audit_probability": 0.3,
    "verification.stake_multiple": 0.1,
}
IN_RUNS: dict[str, RunDose] = {
    "privileged work, by those who wait": (
        "load.first_party_share",
        (0.0, 0.1, 0.2, 0.3, 0.4),
        FULL,
        outsiders_wait_s,
        True,
        (CENTRAL,),
    ),
    "privileged work, by those who are served": (
        "load.first_party_share",
        (0.0, 0.2, 0.4, 0.6, 0.8),
        FULL,
        own_hours,
        True,
        (CENTRAL, MARKET),
    ),
    "labs, by those who wait": (
        "load.privileged_buyers",
        (0, 1, 2, 4, 8),
        FULL | {"load.first_party_share": 0.0},
        smaller_buyers_wait_s,
        True,
        (CENTRAL,),
    ),
    "reservations": (
        "fleet.reserved_share",
        (0.0, 0.2, 0.4, 0.6, 0.8),
        {},
        idle_reserved_hours,
        True,
        (regimes["reserved"],),
    ),
    "residency": (
        "load.resident_share",
        (0.0, 0.25, 0.5, 0.75, 1.0),
        {"law.export_rule": "hard"},
        abroad,
        False,
        (CENTRAL, MARKET),
    ),
    "remote access": (
        "load.foreign_headquarters_share",
        (0.0, 0.25, 0.5, 0.75, 1.0),
        {"law.remote_access": "by-headquarters", "fleet.nodes": 400, "load.model_calls": 300},
        in_tier_3,
        True,
        (CENTRAL, MARKET),
    ),
    "a sovereign programme, by what stays at home": (
        "fleet.sovereign_nodes",
        (0, 5, 10, 20, 40),
        PROGRAMME,
        stays_in_the_eu,
        True,
        (MARKET,),
    ),
    "minimum stake": (
        "verification.minimum_stake_nodes",
        (0, 2, 3, 5, 9),
        {},
        owner_hhi,
        True,
        (CENTRAL,),
    ),
    "slash": (
        "verification.stake_multiple",
        (0.1, 0.5, 1.0, 2.0, 4.0),
        TEMPTED,
        cheats,
        False,
        (AUDITED_MARKET,),
    ),
    "audits": (
        "verification.audit_probability",
        (0.0, 0.1, 0.3, 0.6, 0.9),
        TEMPTED | {"verification.stake_multiple": 0.5},
        wrong_accepted,
        False,
        (AUDITED_MARKET,),
    ),
}


@pytest.mark.parametrize("name", IN_RUNS)
def test_the_response_of_a_run_follows_the_dose(name: str) -> None:
    key, levels, beside, read, rises, under = IN_RUNS[name]
    for regime in under:
        found = [
            [read(*ran(tuple((beside | {key: level}).items()), regime, seed)) for level in levels]
            for seed in range(8)
        ]
        follows(np.array(found), rises=rises)


def test_a_stricter_export_rule_lets_resident_data_go_to_fewer_places() -> None:
    rules = ("free", "adequacy", "tabulated", "hard")
    places = [
        int(draw_world(tiny().replace({"law.export_rule": rule}), 0).law.may_serve.sum())
        for rule in rules
    ]
    assert places[0] == max(places)
    assert places[-1] == min(places)
    assert places[0] > places[1] > places[-1]
    assert places[0] > places[2] > places[-1]


CHIPS: dict[str, tuple[str, int]] = {
    "law.chip_licence_share": ("case-by-case-2026", BARRED),
    "law.chip_own_design_share": ("tiers-2025", BARRED),
    "law.chip_country_share": ("tiers-2025", CAPPED),
}


@pytest.mark.parametrize("key", CHIPS)
def test_the_more_an_export_tier_is_granted_the_more_stands_there(key: str) -> None:
    rule, tier = CHIPS[key]
    levels = (0.0, 0.001, 0.002, 0.004, 0.008) if tier == CAPPED else (0.0, 0.25, 0.5, 0.75, 1.0)
    there = [
        float(
            capacity_weight(
                tiny().replace({"law.chip_rule": rule, "law.chip_delivered_share": 0.0, key: level})
            )[region_tier() == tier].sum()
        )
        for level in levels
    ]
    assert np.diff(there).min() > 0.0


def test_egress_out_of_the_eu_costs_what_the_rule_allows_up_to_the_tariff() -> None:
    members = programme_regions("EU")
    before = geography_of(tiny()).egress_usd_per_gb[members]
    for cost in (0.0, 0.01, 0.02, 0.04, 0.08):
        held = tiny().replace({"law.egress_rule": "at-cost", "law.egress_cost_usd_per_gb": cost})
        now = geography_of(held).egress_usd_per_gb[members]
        assert now == pytest.approx(np.minimum(before, cost))


def test_the_eu_switch_takes_egress_down_in_proportion() -> None:
    members = programme_regions("EU")
    paid = [
        geography_of(
            tiny().replace(
                {"law.egress_rule": "switching-free", "law.egress_switching_share": share}
            )
        ).egress_usd_per_gb[members]
        for share in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    assert [float(one.max()) for one in paid] == pytest.approx([0.02, 0.015, 0.01, 0.005, 0.0])


def test_a_sovereign_programme_costs_in_proportion_and_gains_with_its_size() -> None:
    scenario = tiny().replace({"load.resident_share": 1.0, "load.model_calls": 120})
    found = programme(scenario, "EU", nodes=[0, 4, 8, 16, 32], seeds=range(4), workers=1)
    cost = found["cost_usd"].to_numpy()
    assert cost == pytest.approx(cost[1] * np.array([0, 1, 2, 4, 8]))
    gains = found["sovereignty_gain"].to_numpy()
    assert gains[0] == 0.0
    assert gains[-1] > 0.0
    assert (np.diff(gains) >= -1e-9).all()


def test_more_buyers_with_headquarters_elsewhere_are_barred_the_more_are_drawn() -> None:
    buyer_region = np.arange(26).repeat(40)
    barred = [
        int(
            barred_buyers(
                tiny().replace({"load.foreign_headquarters_share": share}), 4, buyer_region
            ).sum()
        )
        for share in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    assert barred[-1] > barred[0]


OWNERS = Constitution(initial_share=0.2, insiders="owners", holdings="heads")
CHANGED = "changed"
VOTES: dict[str, tuple[tuple[Constitution, ...], str, bool]] = {
    "initial capital": (
        tuple(replace(OWNERS, initial_share=s) for s in (0.0, 0.05, 0.15, 0.3, 0.6)),
        "power",
        True,
    ),
    "turnout": (
        tuple(replace(OWNERS, turnout=s) for s in (0.05, 0.1, 0.2, 0.5, 1.0)),
        "power",
        False,
    ),
    "delegation to insiders": (
        tuple(
            replace(OWNERS, delegated_share=s, delegates_to="insiders")
            for s in (0.0, 0.1, 0.2, 0.4, 0.8)
        ),
        "power",
        True,
    ),
    "cap": (
        tuple(
            replace(OWNERS, initial_share=0.6, safeguards=Safeguards(cap_share=s))
            for s in (0.01, 0.05, 0.1, 0.3, 1.0)
        ),
        "power",
        True,
    ),
    "quorum": (
        tuple(
            replace(OWNERS, turnout=0.3, safeguards=Safeguards(quorum=s))
            for s in (0.0, 0.35, 0.42, 0.5, 0.9)
        ),
        CHANGED,
        False,
    ),
    "threshold": (
        tuple(
            replace(OWNERS, turnout=0.2, safeguards=Safeguards(threshold=s))
            for s in (0.5, 0.6, 0.7, 0.8, 0.95)
        ),
        CHANGED,
        False,
    ),
}


def voted(interests: Interests, constitution: Constitution, measure: str) -> float:
    """Return how often anything but what stood was voted, or a mean over votes."""
    if measure == CHANGED:
        stood = interests.values[interests.status_quo]
        return float((hold_votes(interests, constitution, n_votes=100)["voted"] != stood).mean())
    return float(outcomes_by_world(interests, constitution, n_votes=100)[measure].iloc[0])


@pytest.mark.parametrize("name", VOTES)
def test_the_response_of_a_council_follows_the_dose(name: str) -> None:
    constitutions, measure, rises = VOTES[name]
    scenario = tiny().replace(TEMPTED)
    interests = read_interests(scenario, "audit rate", (0.3, 0.0, 0.6), seeds=[3, 4], workers=1)
    found = [voted(interests, one, measure) for one in constitutions]
    steps = np.diff(found) if rises else -np.diff(found)
    assert (steps >= 0.0).all(), found
    assert steps.sum() > 0.0


def test_each_fee_moves_as_much_as_it_says() -> None:
    fees = (0.0, 0.05, 0.1, 0.2, 0.4)
    found = read_interests(tiny(), "fee", fees, seeds=[1, 2], workers=1).of_group()
    treasury = found["treasury"].to_numpy()
    assert treasury - treasury[0] == pytest.approx(
        np.array(fees) / 0.4 * (treasury[-1] - treasury[0])
    )
    assert treasury[-1] > treasury[0]
    assert found["welfare"].nunique() == 1


def test_the_more_recognition_the_fewer_audits_are_judged_at_home() -> None:
    at_home = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        world = draw_world(tiny().replace({"law.recognition_share": share}), 4)
        verifier, own = world.workload.stage_verifier, world.geography.region_jurisdiction
        seat = own[world.verifier_region[np.maximum(0, verifier)]]
        origin = own[world.workload.job_origin[world.workload.stage_job]]
        at_home.append(float(((verifier < 0) | (seat == origin)).mean()))
    assert np.diff(at_home).max() <= 0.0
    assert at_home[0] > at_home[-1]
