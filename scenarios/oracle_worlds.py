"""Small worlds whose answer is known on paper; `selftest` and the analytic tests run them."""

from dataclasses import replace

import numpy as np

from hanse.agents.fleet import Fleet
from hanse.agents.workload import Workload
from hanse.agents.world import World
from hanse.market.crossings import CrossingCosts
from hanse.market.geography import Geography
from hanse.market.jurisdictions import Law
from hanse.market.terms import ON_RECEIPT, Terms
from hanse.market.units import Floats, Integers

FREE_TERMS = Terms(
    control_cores=1.0,
    clearing_interval_us=0,
    refresh_interval_us=0,
    bounce_limit=3,
    redo_limit=2,
    hub_region=0,
    control_delay_scale=0.0,
    service_posted_us=0.0,
    service_welfare_us=0.0,
    service_message_us=0.0,
    service_edge_us=0.0,
    service_solve_us=0.0,
    receipt_sign_us=0.0,
    receipt_verify_us=0.0,
    settlement_us=0.0,
    audit_probability=0.0,
    audit_share=1.0,
    audit_detection=1.0,
    audit_bytes=0.0,
    stake_multiple=4.0,
    saved_share=0.6,
    temptation_share=0.0,
    capital_rate_per_year=0.0,
    invoice_lag_us=0,
    release=ON_RECEIPT,
    hardware_usd_per_gpu_hour=1.0,
    core_usd_per_hour=0.0,
    active_w=0.0,
    idle_w=0.0,
    core_w=0.0,
    credential_ttl_us=0,
    authority_ttl_us=0,
    context_ttl_us=0,
    context_tokens_per_gpu_s=0.0,
)
"""Terms without any friction; each oracle switches on what it is about."""

FREE_CROSSINGS = CrossingCosts(
    identity_full_us=0.0,
    identity_verify_us=0.0,
    policy_base_us=0.0,
    policy_rule_us=0.0,
    rule_dimensions=0,
    rule_levels=0,
    interaction_order=0,
    proxy_cpu_us=0.0,
    proxy_us=0.0,
    commit_us=0.0,
    authority_round_trips=0.0,
    approval_us=0,
    round_trip_scale=0.0,
)


def line_geography(n_regions: int, *, rtt_ms: float) -> Geography:
    """Build regions on a line, each in a jurisdiction of its own, with one round trip between all."""
    rtt = np.full((n_regions, n_regions), rtt_ms)
    np.fill_diagonal(rtt, rtt_ms if n_regions == 1 else min(rtt_ms, 1.0))
    names = tuple(f"region-{k}" for k in range(n_regions))
    return Geography(
        region=names,
        jurisdiction=names,
        region_jurisdiction=np.arange(n_regions),
        latitude=np.zeros(n_regions),
        longitude=np.arange(n_regions, dtype=float),
        rtt_ms=rtt,
        gbps=np.full((n_regions, n_regions), 10.0),
        egress_usd_per_gb=np.zeros(n_regions),
        electricity_usd_per_kwh=np.zeros(n_regions),
        carbon_g_per_kwh=np.zeros(n_regions),
        demand_weight=np.full(n_regions, 1.0 / n_regions),
    )


def free_law(n_regions: int) -> Law:
    """Let everything be served everywhere."""
    return Law(may_serve=np.ones((2, n_regions, n_regions), bool))


def even_fleet(n_nodes: int, n_regions: int, *, posted_usd_per_gpu_hour: float = 2.0) -> Fleet:
    """Spread nodes evenly over the regions, all of one owner."""
    return Fleet(
        node_region=np.sort(np.arange(n_nodes) % n_regions),
        node_class=np.zeros(n_nodes, np.int64),
        node_owner=np.zeros(n_nodes, np.int64),
        node_free_from_us=np.zeros(n_nodes, np.int64),
        node_posted_usd_per_gpu_hour=np.full(n_nodes, posted_usd_per_gpu_hour),
        owner=("independent",),
        owner_is_hyperscaler=np.array([False]),
        accelerator_class=("h100",),
    )


def plain_workload(
    arrival_us: Integers,
    work_us: Integers,
    *,
    origin: Integers | None = None,
    service: Floats | None = None,
    value_usd: float = 100.0,
    deadline_us: int = 1 << 60,
) -> Workload:
    """Build one-stage jobs that are worth the same, whenever they finish before the deadline."""
    n = len(arrival_us)
    zero, ones = np.zeros(n, np.int64), np.ones((8, n))
    origin = zero if origin is None else origin
    return Workload(
        family=("job",),
        buyer_region=np.arange(int(origin.max(initial=0)) + 1),
        job_family=zero,
        job_arrival_us=arrival_us,
        job_deadline_us=np.full(n, deadline_us),
        job_origin=origin,
        job_buyer=origin,
        job_first_party=np.full(n, -1),
        job_class=zero,
        job_data_class=zero,
        job_value_usd=np.full(n, value_usd),
        job_delay_usd_per_s=np.zeros(n),
        stage_job=np.arange(n),
        stage_ordinal=zero,
        stage_work_us=work_us,
        stage_input_bytes=zero,
        stage_context_tokens=zero,
        stage_tool_us=zero,
        stage_holds=np.zeros(n, bool),
        stage_verifier=zero,
        stage_is_sampled=np.zeros(n, bool),
        attempt_temptation=ones,
        attempt_audit=ones,
        attempt_commit=ones,
        attempt_service=ones if service is None else np.tile(service, (8, 1)),
    )


def plain_world(
    workload: Workload,
    *,
    n_nodes: int,
    horizon_us: int,
    n_regions: int = 1,
    rtt_ms: float = 0.001,
    terms: Terms = FREE_TERMS,
    crossing: CrossingCosts = FREE_CROSSINGS,
    n_samples: int = 16,
) -> World:
    """Put a workload into a world without frictions but those of `terms` and `crossing`."""
    return World(
        scenario="oracle",
        seed=0,
        horizon_us=horizon_us,
        geography=line_geography(n_regions, rtt_ms=rtt_ms),
        law=free_law(n_regions),
        fleet=even_fleet(n_nodes, n_regions),
        workload=workload,
        crossing=crossing,
        terms=terms,
        verifier_region=np.zeros(1, np.int64),
        sample_instant_us=(np.arange(n_samples) * 2 + 1) * horizon_us // (2 * n_samples),
    )


def queue_world(
    rng: np.random.Generator, *, n_jobs: int, servers: int, utilisation: float, service: Floats
) -> World:
    """Build a control plane as a queue: Poisson arrivals, service of unit mean, units in plenty.

    `service`, shape (n_jobs,), are the unit-mean factors on a service time of one second.
    """
    gaps_s = rng.exponential(1.0 / (servers * utilisation), n_jobs)
    arrival_us = np.rint(np.cumsum(gaps_s) * 1e6).astype(np.int64)
    work_us = np.ones(n_jobs, np.int64)
    terms = replace(FREE_TERMS, control_cores=float(servers), service_posted_us=1e6)
    workload = plain_workload(arrival_us, work_us, service=service)
    horizon_us = int(arrival_us[-1]) + 10**12
    return plain_world(workload, n_nodes=64, horizon_us=horizon_us, terms=terms)
