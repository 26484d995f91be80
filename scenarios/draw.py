"""The one place that turns a scenario and a seed into a world, before any decision is made."""

import numpy as np

from hanse.agents.world import World
from hanse.market.geography import demand_median
from hanse.market.terms import Conduct, Terms
from hanse.market.units import Integers
from hanse.scenarios.drawing.borders import under_borders, with_remote_access
from hanse.scenarios.drawing.crossings import crossing_of, draw_crossings
from hanse.scenarios.drawing.egress import draw_egress_prices
from hanse.scenarios.drawing.entrants import with_entrants
from hanse.scenarios.drawing.fleet import draw_fleet
from hanse.scenarios.drawing.mishaps import (
    draw_divergences,
    draw_mishaps,
    draw_outages,
    failure_terms_of,
)
from hanse.scenarios.drawing.money import (
    draw_asks,
    draw_habits,
    settlement_terms_of,
    with_chargeback_coins,
)
from hanse.scenarios.drawing.place import geography_of, law_of
from hanse.scenarios.drawing.shocks import ALWAYS_PAYS, detection_left, fake_share
from hanse.scenarios.drawing.traces import Trace
from hanse.scenarios.drawing.workload import draw_workload, pick
from hanse.scenarios.scenario import AUTO_HUB, Scenario
from hanse.scenarios.streams import stream
from hanse.scenarios.tables import read_regions, region_index

_SECONDS_PER_DAY = 86_400


def draw_world(scenario: Scenario, seed: int, *, trace: Trace | None = None) -> World:
    """Draw every fact that routing cannot change; the same for every regime.

    Parameters
    ----------
    seed : picks the world; any whole number.
    trace : replaces the arrivals and tokens of the model calls; all else is drawn as without it.

    Examples
    --------
    >>> from hanse.scenarios.scenario import load
    >>> draw_world(load("baseline"), 1).fleet.n_nodes
    200
    """
    geography = geography_of(scenario)
    law = with_remote_access(law_of(scenario), scenario)
    fleet = with_entrants(draw_fleet(scenario, seed), scenario)
    verifier_region = _draw_verifier_region(scenario, seed)
    workload = draw_workload(
        scenario,
        seed,
        geography=geography,
        law=law,
        fleet=fleet,
        verifier_region=verifier_region,
        trace=trace,
    )
    workload = under_borders(workload, scenario, seed, law=law, verifier_region=verifier_region)
    workload = with_chargeback_coins(workload, scenario, seed)
    return World(
        scenario=scenario.name,
        seed=seed,
        horizon_us=scenario.microseconds("measurement.horizon_s"),
        geography=geography,
        law=law,
        fleet=fleet,
        workload=workload,
        crossing=crossing_of(scenario),
        terms=terms_of(scenario),
        verifier_region=verifier_region,
        sample_instant_us=_draw_sample_instants(scenario, seed),
        outages=draw_outages(scenario, seed, geography.n_regions),
        divergences=draw_divergences(scenario, seed, geography.n_regions),
        crossing_draws=draw_crossings(
            scenario,
            seed,
            n_regions=geography.n_regions,
            n_jurisdictions=len(geography.jurisdiction),
            n_stages=workload.n_stages,
            n_buyers=len(workload.buyer_region),
        ),
        mishaps=draw_mishaps(scenario, seed, n_stages=workload.n_stages, fleet=fleet),
        habits=draw_habits(scenario, seed, n_buyers=len(workload.buyer_region)),
        asks=draw_asks(scenario, seed, n_owners=len(fleet.owner)),
        egress=draw_egress_prices(scenario, seed, fleet=fleet, buyer_region=workload.buyer_region),
    )


def terms_of(scenario: Scenario) -> Terms:
    """Return the numbers that every regime shares."""
    fakes = fake_share(scenario)
    number, count, microseconds = scenario.number, scenario.count, scenario.microseconds
    return Terms(
        control_cores=number("control.cores"),
        clearing_interval_us=microseconds("control.clearing_interval_s"),
        refresh_interval_us=microseconds("control.refresh_interval_s"),
        bounce_limit=count("control.bounce_limit"),
        redo_limit=count("control.redo_limit"),
        hub_region=_hub_region(scenario),
        quota_share=number("control.quota_share"),
        shards=count("control.shards"),
        peer_regions=count("control.peer_regions"),
        control_delay_scale=number("control.delay_scale"),
        service_posted_us=number("control.service_posted_us"),
        service_welfare_us=number("control.service_welfare_us"),
        service_message_us=number("control.service_message_us"),
        service_edge_us=number("control.service_edge_us"),
        service_solve_us=number("control.service_solve_us"),
        receipt_sign_us=number("verification.receipt_sign_us"),
        receipt_verify_us=number("verification.receipt_verify_us"),
        settlement_us=number("verification.settlement_us"),
        audit_probability=number("verification.audit_probability"),
        audit_share=number("verification.audit_share"),
        challenge_window_us=microseconds("verification.challenge_window_s"),
        audit_detection=detection_left(scenario),
        audit_bytes=number("verification.audit_bytes"),
        stake_multiple=number("verification.stake_multiple"),
        saved_share=ALWAYS_PAYS if fakes else number("verification.saved_share"),
        temptation_share=fakes or number("verification.temptation_share"),
        capital_rate_per_year=number("resources.capital_rate_per_year"),
        invoice_lag_us=microseconds("resources.invoice_lag_days") * _SECONDS_PER_DAY,
        release=scenario.text("verification.release"),
        conduct=_conduct_of(scenario),
        hardware_usd_per_gpu_hour=number("resources.hardware_usd_per_gpu_hour"),
        core_usd_per_hour=number("resources.core_usd_per_hour"),
        active_w=number("resources.active_w"),
        idle_w=number("resources.idle_w"),
        core_w=number("resources.core_w"),
        pue=number("resources.pue"),
        network_standing_w=number("resources.network_standing_w"),
        network_j_per_gb=number("resources.network_j_per_gb"),
        credential_ttl_us=microseconds("crossing.credential_ttl_s"),
        authority_ttl_us=microseconds("crossing.authority_ttl_s"),
        context_ttl_us=microseconds("crossing.context_ttl_s"),
        context_tokens_per_gpu_s=number("crossing.context_tokens_per_gpu_s"),
        **_people(scenario),
        failures=failure_terms_of(scenario),
        settlement=settlement_terms_of(scenario),
    )


def _people(scenario: Scenario) -> dict[str, float]:
    """Return how long people work on what, and what their hour costs."""
    return {
        "approval_person_hours": scenario.number("crossing.approval_person_hours"),
        "procurement_person_hours": scenario.number("resources.procurement_person_hours"),
        "dispute_person_hours": scenario.number("resources.dispute_person_hours"),
        "person_usd_per_hour": scenario.number("resources.person_usd_per_hour"),
    }


def _conduct_of(scenario: Scenario) -> Conduct:
    return Conduct(
        cheat=scenario.text("verification.cheat"),
        checker=scenario.text("verification.checker"),
        ring_share=scenario.number("shock.ring_share"),
    )


def _hub_region(scenario: Scenario) -> int:
    """Return where the hub sits; no shock moves it."""
    hub = scenario.text("control.hub")
    if hub != AUTO_HUB:
        return region_index(hub)
    return demand_median(geography_of(scenario, is_cut=False))


def _draw_verifier_region(scenario: Scenario, seed: int) -> Integers:
    chance = stream(seed, "verifier.region").random(scenario.count("verification.verifiers"))
    return pick(chance, read_regions().capacity_weight)


def _draw_sample_instants(scenario: Scenario, seed: int) -> Integers:
    """Draw one uniform instant in each of equal strata of the horizon, so they are sorted."""
    n_instants = scenario.count("measurement.displacement_instants")
    within = stream(seed, "sample.instants").random(n_instants)
    stratum_us = scenario.microseconds("measurement.horizon_s") / n_instants
    return np.floor((np.arange(n_instants) + within) * stratum_us).astype(np.int64)
