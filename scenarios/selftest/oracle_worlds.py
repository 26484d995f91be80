"""Small worlds whose answer is known on paper; `selftest` and the analytic tests run them."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import numpy as np

from hanse.agents.fleet import Fleet
from hanse.agents.workload import Workload, chain_edges
from hanse.agents.world import World
from hanse.market.crossings import CrossingCosts
from hanse.market.geography import Geography
from hanse.market.jurisdictions import RESIDENT, UNRESTRICTED, Law
from hanse.market.terms import ON_RECEIPT, Terms
from hanse.market.units import US_PER_S, Floats, Integers

N_ATTEMPTS: Final = 8
"""Draws of luck per stage; more bounces and redos than that need a world of their own."""

_SPREAD_US: Final = 300 * US_PER_S

FREE_TERMS = Terms(
    control_cores=1.0,
    clearing_interval_us=0,
    refresh_interval_us=0,
    bounce_limit=3,
    redo_limit=2,
    hub_region=0,
    quota_share=1.0,
    shards=2,
    peer_regions=2,
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
    challenge_window_us=0,
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
    """Build regions, each in a jurisdiction of its own, with one round trip between any two."""
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
    """Let unrestricted data be served everywhere, and resident data at home alone."""
    may_serve = np.ones((2, n_regions, n_regions), bool)
    may_serve[RESIDENT] = np.eye(n_regions, dtype=bool)
    return Law(may_serve=may_serve)


def even_fleet(n_nodes: int, n_regions: int, *, posted_usd_per_gpu_hour: float = 2.0) -> Fleet:
    """Spread nodes evenly over the regions, all of one owner."""
    return Fleet(
        node_region=np.sort(np.arange(n_nodes) % n_regions),
        node_class=np.zeros(n_nodes, np.int64),
        node_owner=np.zeros(n_nodes, np.int64),
        node_free_from_us=np.zeros(n_nodes, np.int64),
        node_posted_usd_per_gpu_hour=np.full(n_nodes, posted_usd_per_gpu_hour),
        node_tenant=np.full(n_nodes, -1),
        owner=("independent",),
        owner_is_hyperscaler=np.array([False]),
        accelerator_class=("h100",),
    )


def plain_workload(
    arrival_us: Integers,
    work_us: Integers,
    *,
    stage_job: Integers | None = None,
    origin: Integers | None = None,
    service: Floats | None = None,
    value_usd: float = 100.0,
    patience_us: int = 1 << 50,
) -> Workload:
    """Build jobs of one buyer per region that keep their worth until their patience ends.

    Parameters
    ----------
    work_us : accelerator time of each stage.
    stage_job : job of each stage, sorted; each job is one stage if it is not given. The stages of
        a job run one after another.
    origin : region of each job; the first if it is not given.
    service : factor on the time that a decision on each stage takes, in each attempt.
    """
    n_jobs, n_stages = len(arrival_us), len(work_us)
    job = np.arange(n_jobs) if stage_job is None else stage_job
    ordinal = np.arange(n_stages) - np.searchsorted(job, job)
    edge_from, edge_to = chain_edges(ordinal)
    zero, nothing = np.zeros(n_jobs, np.int64), np.zeros(n_stages, np.int64)
    ones = np.ones((N_ATTEMPTS, n_stages))
    origin = zero if origin is None else origin
    return Workload(
        family=("job",),
        buyer_region=np.arange(int(origin.max(initial=0)) + 1),
        job_family=zero,
        job_arrival_us=arrival_us,
        job_deadline_us=arrival_us + patience_us,
        job_origin=origin,
        job_buyer=origin,
        job_first_party=np.full(n_jobs, -1),
        job_data_class=zero,
        job_value_usd=np.full(n_jobs, value_usd),
        job_delay_usd_per_s=np.zeros(n_jobs),
        stage_job=job,
        stage_ordinal=ordinal,
        edge_from=edge_from,
        edge_to=edge_to,
        stage_class=nothing,
        stage_region=np.full(n_stages, -1),
        stage_work_us=work_us,
        stage_input_bytes=nothing,
        stage_context_tokens=nothing,
        stage_tool_us=nothing,
        stage_holds=np.zeros(n_stages, bool),
        stage_verifier=nothing,
        stage_is_sampled=np.zeros(n_stages, bool),
        stage_is_real=np.zeros(n_stages, bool),
        attempt_temptation=ones,
        attempt_audit=ones,
        attempt_commit=ones,
        attempt_service=ones if service is None else np.tile(service, (N_ATTEMPTS, 1)),
        attempt_way=np.ones((0, 0)),
    )


def graph_workload(workload: Workload, edges: Iterable[tuple[int, int]]) -> Workload:
    """Give the jobs of a workload these edges between stages, in place of those that it has.

    Examples
    --------
    >>> chain = plain_workload(np.array([0]), np.array([5, 3, 7, 2]), stage_job=np.zeros(4, int))
    >>> diamond = graph_workload(chain, [(0, 1), (0, 2), (2, 3), (1, 3)])
    >>> diamond.edge_from.tolist(), diamond.edge_to.tolist()
    ([0, 0, 1, 2], [1, 2, 3, 3])
    """
    pair = np.array(sorted((after, before) for before, after in edges), np.int64).reshape(-1, 2)
    return replace(workload, edge_from=pair[:, 1], edge_to=pair[:, 0])


def plain_world(
    workload: Workload,
    *,
    n_nodes: int,
    horizon_us: int,
    n_regions: int = 1,
    rtt_ms: float = 0.001,
    terms: Terms = FREE_TERMS,
    crossing: CrossingCosts = FREE_CROSSINGS,
    sample_instant_us: Integers | None = None,
) -> World:
    """Put a workload into a world without frictions but those of `terms` and `crossing`."""
    if sample_instant_us is None:
        sample_instant_us = (np.arange(16) * 2 + 1) * horizon_us // 32
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
        sample_instant_us=sample_instant_us,
    )


def poisson_us(rng: np.random.Generator, n_jobs: int, per_s: float) -> Integers:
    """Draw the instants of a Poisson process, rounded once to whole microseconds."""
    return np.rint(np.cumsum(rng.exponential(1.0 / per_s, n_jobs)) * US_PER_S).astype(np.int64)


def queue_world(
    rng: np.random.Generator, *, n_jobs: int, servers: int, utilisation: float, service: Floats
) -> World:
    """Build a control plane as a queue: Poisson arrivals, service of unit mean, units in plenty.

    `service`, shape (n_jobs,), are the unit-mean factors on a service time of one second.
    """
    arrival_us = poisson_us(rng, n_jobs, servers * utilisation)
    workload = plain_workload(
        arrival_us, np.ones(n_jobs, np.int64), service=service, patience_us=3_600 * US_PER_S
    )
    terms = replace(FREE_TERMS, control_cores=float(servers), service_posted_us=float(US_PER_S))
    horizon_us = int(arrival_us[-1]) + 3_600 * US_PER_S
    return plain_world(workload, n_nodes=servers + 2, horizon_us=horizon_us, terms=terms)


def counted_queue_world(rng: np.random.Generator, *, n_jobs: int) -> World:
    """Build a queue on whole seconds, and count it between each two of them.

    At most one job arrives a second; services are geometric. Between two whole seconds nothing
    changes, so that the mean of the counts is the mean over time, without any error.
    """
    arrival_us = np.cumsum(rng.geometric(0.25, n_jobs)) * US_PER_S
    service = rng.geometric(1.0 / 3.0, n_jobs).astype(float)
    n_seconds = int(arrival_us[-1] / US_PER_S) + 600
    workload = plain_workload(arrival_us, np.ones(n_jobs, np.int64), service=service)
    return plain_world(
        workload,
        n_nodes=4,
        horizon_us=n_seconds * US_PER_S,
        terms=replace(FREE_TERMS, service_posted_us=float(US_PER_S)),
        sample_instant_us=np.arange(n_seconds) * US_PER_S + US_PER_S // 2,
    )


def clearing_world(
    rng: np.random.Generator, *, n_jobs: int, per_s: float, interval_s: float, service_s: float
) -> World:
    """Build a plane that clears Poisson requests at an interval, each time in constant time."""
    arrival_us = poisson_us(rng, n_jobs, per_s)
    workload = plain_workload(arrival_us, np.ones(n_jobs, np.int64))
    terms = replace(
        FREE_TERMS,
        clearing_interval_us=round(interval_s * US_PER_S),
        service_posted_us=service_s * US_PER_S,
    )
    crowd = int(3 * per_s * max(interval_s, service_s)) + 40
    horizon_us = int(arrival_us[-1]) + 600 * US_PER_S
    return plain_world(workload, n_nodes=crowd, horizon_us=horizon_us, terms=terms)


def receipt_world(
    rng: np.random.Generator, *, n_jobs: int, utilisation: float, interval_s: float
) -> World:
    """Build a plane that checks Poisson receipts, each for a second, whatever its interval is.

    Each clearing starts a Poisson number of jobs. Their work is uniform on many whole intervals,
    so that they end at a constant rate and independently: a Poisson process. It is so long that
    what the queue holds does not matter for when later receipts arrive.
    """
    arrival_us = poisson_us(rng, n_jobs, utilisation)
    interval_us = round(interval_s * US_PER_S)
    spread_us = interval_us * round(_SPREAD_US / interval_us)
    terms = replace(FREE_TERMS, clearing_interval_us=interval_us, receipt_verify_us=float(US_PER_S))
    crowd = int(utilisation * spread_us / US_PER_S) + 40
    horizon_us = int(arrival_us[-1]) + 3_600 * US_PER_S
    workload = plain_workload(arrival_us, rng.integers(1, spread_us, n_jobs))
    return plain_world(workload, n_nodes=crowd, horizon_us=horizon_us, terms=terms)


def crossing_world(n_crossings: int, *, crossing: CrossingCosts, holds: bool) -> World:
    """Build a chain of stages of which each but the first has to cross into the next region.

    Region k has one unit. Residual work leaves it at `100 k` seconds, when every other unit is
    busy: behind the stage that ran at k - 1 came a long job that law binds to its region. Each
    crossing moves 125 MB at 10 Gbit/s, and rebuilds a context at 1,000 tokens per second.
    """
    n_stages, period_us = n_crossings + 1, 100 * US_PER_S
    free_from_us = np.arange(n_stages) * period_us
    arrival_us = np.append(US_PER_S, free_from_us + period_us // 4)
    work_us = np.full(2 * n_stages, 30 * period_us * n_stages)
    work_us[:n_stages] = period_us // 2
    stage_job = np.append(np.zeros(n_stages, np.int64), np.arange(1, n_stages + 1))
    workload = plain_workload(
        arrival_us,
        work_us,
        stage_job=stage_job,
        origin=np.append(0, np.arange(n_stages)),
        value_usd=1e6,
    )
    follows = workload.stage_ordinal > 0
    workload = replace(
        workload,
        job_data_class=np.append(UNRESTRICTED, np.full(n_stages, RESIDENT)),
        stage_holds=np.full(2 * n_stages, holds),
        stage_input_bytes=np.where(follows, 125_000_000, 0),
        stage_context_tokens=np.where(follows, 500, 0),
    )
    world = plain_world(
        workload,
        n_nodes=n_stages,
        n_regions=n_stages,
        rtt_ms=80.0,
        horizon_us=(n_stages + 1) * period_us,
        crossing=crossing,
        terms=replace(FREE_TERMS, context_tokens_per_gpu_s=1_000.0, context_ttl_us=1 << 50),
    )
    return replace(world, fleet=replace(world.fleet, node_free_from_us=free_from_us))


def reuse_world(*, uses_per_credential: int, n_jobs: int) -> World:
    """Build one crossing a second by one buyer, whose credential lasts for so many of them."""
    arrival_us = (np.arange(n_jobs) + 1) * US_PER_S
    workload = plain_workload(arrival_us, np.full(n_jobs, US_PER_S // 10))
    world = plain_world(
        workload,
        n_nodes=2,
        n_regions=2,
        horizon_us=(n_jobs + 10) * US_PER_S,
        crossing=replace(FREE_CROSSINGS, identity_full_us=5_000.0, identity_verify_us=250.0),
        terms=replace(
            FREE_TERMS,
            credential_ttl_us=uses_per_credential * US_PER_S - US_PER_S // 2,
        ),
    )
    return replace(world, fleet=replace(world.fleet, node_region=np.array([1, 1])))


def renamed(world: World, rng: np.random.Generator) -> World:
    """Give buyers and verifiers other indices, and equal nodes each other's residual work."""
    work, fleet = world.workload, world.fleet
    buyer = rng.permutation(len(work.buyer_region))
    verifier = rng.permutation(len(world.verifier_region))
    keys = (rng.random(fleet.n_nodes), fleet.node_owner, fleet.node_class, fleet.node_region)
    workload = replace(
        work,
        buyer_region=work.buyer_region[np.argsort(buyer)],
        job_buyer=buyer[work.job_buyer],
        stage_verifier=verifier[work.stage_verifier],
    )
    return replace(
        world,
        workload=workload,
        verifier_region=world.verifier_region[np.argsort(verifier)],
        fleet=replace(fleet, node_free_from_us=fleet.node_free_from_us[np.lexsort(keys)]),
    )
