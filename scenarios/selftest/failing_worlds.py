"""Small worlds in which something fails, and paper or a textbook says what comes of it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hanse.agents.world import Mishaps, World
from hanse.market.failure_terms import FailureTerms
from hanse.market.units import US_PER_S, Floats, Integers
from hanse.scenarios.drawing.arrivals import renewal_instants, stepped_instants
from hanse.scenarios.drawing.tapes import cut_us
from hanse.scenarios.selftest.oracle_worlds import (
    FREE_TERMS,
    N_ATTEMPTS,
    plain_workload,
    plain_world,
    poisson_us,
)

_STAGE_US = 1_000


def failing_world(
    rng: np.random.Generator, *, n_jobs: int, n_stages: int, error_share: float, retries: int
) -> World:
    """Build jobs of stages in a row, one job a second, without delays: errors alone fail them."""
    job = np.repeat(np.arange(n_jobs), n_stages)
    workload = plain_workload(
        (np.arange(n_jobs) + 1) * US_PER_S, np.full(len(job), _STAGE_US), stage_job=job
    )
    failures = FailureTerms(call_error_share=error_share, retry_limit=retries)
    world = plain_world(
        workload,
        n_nodes=4,
        horizon_us=(n_jobs + 10) * US_PER_S,
        terms=replace(FREE_TERMS, failures=failures),
    )
    return replace(
        world,
        mishaps=replace(world.mishaps, attempt_error=rng.random((N_ATTEMPTS, len(job)))),
    )


def impatient_world(
    rng: np.random.Generator,
    *,
    per_s: float,
    horizon_s: int,
    pulse: int,
    pulse_s: int,
    failures: FailureTerms,
) -> World:
    """Build one plane with one exponential server of rate 1 a second, and clients who time out.

    Requests come as a Poisson process, and `pulse` more of them all at once at `pulse_s`.
    """
    arrival_us = poisson_us(rng, round(per_s * horizon_s * 1.2), per_s)
    arrival_us = arrival_us[arrival_us < horizon_s * US_PER_S]
    arrival_us = np.sort(np.append(arrival_us, pulse_s * US_PER_S + np.arange(pulse)))
    return _one_plane(rng, arrival_us, horizon_s=horizon_s, failures=failures)


def stepped_impatient_world(
    rng: np.random.Generator, *, per_s: Sequence[float], step_s: int, failures: FailureTerms
) -> World:
    """Build the same plane under a Poisson process whose rate goes in steps of equal length."""
    horizon_s = step_s * len(per_s)
    expected = step_s * float(sum(per_s))
    instants_s = renewal_instants(rng, expected=expected, cv=1.0, horizon_s=horizon_s)
    arrival_us = cut_us(stepped_instants(instants_s, horizon_s=horizon_s, rates=per_s))
    return _one_plane(rng, np.unique(arrival_us), horizon_s=horizon_s, failures=failures)


def _one_plane(
    rng: np.random.Generator, arrival_us: Integers, *, horizon_s: int, failures: FailureTerms
) -> World:
    workload = plain_workload(arrival_us, np.ones(len(arrival_us), np.int64))
    service: Floats = rng.exponential(1.0, (N_ATTEMPTS, len(arrival_us)))
    return plain_world(
        replace(workload, attempt_service=service),
        n_nodes=4,
        horizon_us=horizon_s * US_PER_S,
        terms=replace(FREE_TERMS, service_posted_us=float(US_PER_S), failures=failures),
    )


def breaking_world(world: World, rows: list[tuple[int, float, float]]) -> World:
    """Let nodes of a world be down: (node, from, until) in seconds."""
    node, from_s, until_s = np.array(rows, dtype=float).reshape(-1, 3).T
    mishaps: Mishaps = replace(
        world.mishaps,
        breakdown_node=node.astype(np.int64),
        breakdown_from_us=np.rint(from_s * US_PER_S).astype(np.int64),
        breakdown_until_us=np.rint(until_s * US_PER_S).astype(np.int64),
    )
    return replace(world, mishaps=mishaps)
