"""The one place that turns a scenario and a seed into a world, before any decision is made."""

import numpy as np

from hanse.agents.world import Outages, World
from hanse.market.crossings import CrossingCosts
from hanse.market.geography import Geography, demand_median
from hanse.market.terms import Terms
from hanse.market.units import US_PER_S, Integers
from hanse.scenarios.draw_fleet import draw_fleet
from hanse.scenarios.draw_place import geography_of, law_of
from hanse.scenarios.draw_workload import draw_workload, pick
from hanse.scenarios.scenario import AUTO_HUB, Scenario
from hanse.scenarios.streams import stream
from hanse.scenarios.tables import read_regions, region_index
from hanse.scenarios.traces import Trace

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
    geography, law = geography_of(scenario), law_of(scenario)
    fleet = draw_fleet(scenario, seed)
    verifier_region = _draw_verifier_region(scenario, seed)
    return World(
        scenario=scenario.name,
        seed=seed,
        horizon_us=scenario.microseconds("measurement.horizon_s"),
        geography=geography,
        law=law,
        fleet=fleet,
        workload=draw_workload(
            scenario,
            seed,
            geography=geography,
            law=law,
            fleet=fleet,
            verifier_region=verifier_region,
            trace=trace,
        ),
        crossing=crossing_of(scenario),
        terms=terms_of(scenario, geography),
        verifier_region=verifier_region,
        sample_instant_us=_draw_sample_instants(scenario, seed),
        outages=_draw_outages(scenario, seed, geography.n_regions),
    )


def crossing_of(scenario: Scenario) -> CrossingCosts:
    """Return what a boundary crossing costs in this scenario."""
    return CrossingCosts(
        identity_full_us=scenario.number("crossing.identity_full_us"),
        identity_verify_us=scenario.number("crossing.identity_verify_us"),
        policy_base_us=scenario.number("crossing.policy_base_us"),
        policy_rule_us=scenario.number("crossing.policy_rule_us"),
        rule_dimensions=scenario.count("crossing.rule_dimensions"),
        rule_levels=scenario.count("crossing.rule_levels"),
        interaction_order=scenario.count("crossing.interaction_order"),
        proxy_cpu_us=scenario.number("crossing.proxy_cpu_us"),
        proxy_us=scenario.number("crossing.proxy_us"),
        commit_us=scenario.number("crossing.commit_us"),
        authority_round_trips=scenario.number("crossing.authority_round_trips"),
        approval_us=scenario.microseconds("crossing.approval_s"),
        round_trip_scale=scenario.number("crossing.round_trip_scale"),
    )


def terms_of(scenario: Scenario, geography: Geography) -> Terms:
    """Return the numbers that every regime shares."""
    number, count, microseconds = scenario.number, scenario.count, scenario.microseconds
    return Terms(
        control_cores=number("control.cores"),
        clearing_interval_us=microseconds("control.clearing_interval_s"),
        refresh_interval_us=microseconds("control.refresh_interval_s"),
        bounce_limit=count("control.bounce_limit"),
        redo_limit=count("control.redo_limit"),
        hub_region=_hub_region(scenario, geography),
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
        audit_detection=number("verification.audit_detection"),
        audit_bytes=number("verification.audit_bytes"),
        stake_multiple=number("verification.stake_multiple"),
        saved_share=number("verification.saved_share"),
        temptation_share=number("verification.temptation_share"),
        capital_rate_per_year=number("resources.capital_rate_per_year"),
        invoice_lag_us=microseconds("resources.invoice_lag_days") * _SECONDS_PER_DAY,
        release=scenario.text("verification.release"),
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
    )


def _hub_region(scenario: Scenario, geography: Geography) -> int:
    hub = scenario.text("control.hub")
    return demand_median(geography) if hub == AUTO_HUB else region_index(hub)


def _draw_verifier_region(scenario: Scenario, seed: int) -> Integers:
    chance = stream(seed, "verifier.region").random(scenario.count("verification.verifiers"))
    return pick(chance, read_regions().capacity_weight)


def _draw_outages(scenario: Scenario, seed: int, n_regions: int) -> Outages:
    """Draw outages of each region's site as a Poisson process, with exponential lengths."""
    horizon_s = scenario.number("measurement.horizon_s")
    expected = scenario.number("control.outages_per_day") * horizon_s / _SECONDS_PER_DAY
    rng = stream(seed, "control.outages")
    region = np.repeat(np.arange(n_regions), rng.poisson(expected, n_regions))
    from_us = np.floor(rng.random(len(region)) * horizon_s * US_PER_S).astype(np.int64)
    length_s = rng.exponential(scenario.number("control.outage_s"), len(region))
    order = np.lexsort((from_us, region))
    until_us = from_us + np.rint(length_s * US_PER_S).astype(np.int64)
    return Outages(region=region[order], from_us=from_us[order], until_us=until_us[order])


def _draw_sample_instants(scenario: Scenario, seed: int) -> Integers:
    """Draw one uniform instant in each of equal strata of the horizon, so they are sorted."""
    n_instants = scenario.count("measurement.displacement_instants")
    within = stream(seed, "sample.instants").random(n_instants)
    stratum_us = scenario.microseconds("measurement.horizon_s") / n_instants
    return np.floor((np.arange(n_instants) + within) * stratum_us).astype(np.int64)
