"""Small worlds in which things fail: what the tests of failures share."""

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
from hypothesis import strategies as st

from hanse.agents.world import Mishaps, World
from hanse.market.failure_terms import FailureTerms
from hanse.market.units import US_PER_S
from hanse.scenarios.selftest.failing_worlds import breaking_world
from tests.strategies import HORIZON_US, SmallWorld, capped_worlds, graphs, small_worlds

Shape = Callable[[st.SearchStrategy[SmallWorld]], st.SearchStrategy[SmallWorld]]


def with_failures(world: World, **terms: float) -> World:
    """Set what clients and planes do about failures."""
    failures = replace(world.terms.failures, **terms)  # type: ignore[arg-type]
    return replace(world, terms=replace(world.terms, failures=failures))


def with_errors(world: World, *coins: list[float], **terms: float) -> World:
    """Set the first attempts' coins of error, the rest ones: they do not fail; errors are half."""
    n_attempts, n_stages = world.workload.attempt_audit.shape
    error = np.ones((n_attempts, n_stages))
    error[: len(coins)] = coins
    terms = {"call_error_share": 0.5} | terms
    failing = with_failures(world, **terms)
    return replace(failing, mishaps=replace(failing.mishaps, attempt_error=error))


@st.composite
def failing_worlds(draw: st.DrawFn, shaped: Shape = lambda worlds: worlds) -> World:
    """Draw small worlds in which everything fails that can, and clients are impatient."""
    small: SmallWorld = draw(shaped(small_worlds()))
    retries = draw(st.integers(0, 3))
    terms = FailureTerms(
        call_error_share=draw(st.sampled_from([0.0, 0.3])),
        timeout_us=draw(st.sampled_from([0, 300_000, 2_000_000, 8_000_000])),
        retry_limit=retries,
        backoff_us=draw(st.sampled_from([0, 1_000_000])),
        backoff_growth=draw(st.sampled_from([1.0, 2.0])),
        backoff_jitter=0.5,
        admission_limit=draw(st.sampled_from([0, 2, 8])),
        breaker_failures=draw(st.sampled_from([0, 2])),
        breaker_cooldown_us=3_000_000,
    )
    world = small.build()
    rng = np.random.default_rng(small.size.seed)
    world = _with_more_attempts(world, retries)
    shape = world.workload.attempt_audit.shape
    mishaps: Mishaps = replace(
        world.mishaps, attempt_error=rng.random(shape), attempt_backoff=rng.random(shape)
    )
    world = replace(world, mishaps=mishaps, terms=replace(world.terms, failures=terms))
    return breaking_world(world, _some_breakdowns(rng, draw(st.sampled_from([0, 3])), world))


def mechanism_worlds() -> st.SearchStrategy[World]:
    """Draw small worlds with any mechanism there is: graphs, power caps, failures, or none."""
    drawn = st.one_of(small_worlds(), graphs(small_worlds()), capped_worlds())
    return st.one_of(drawn.map(SmallWorld.build), failing_worlds(), failing_worlds(graphs))


def _some_breakdowns(
    rng: np.random.Generator, most: int, world: World
) -> list[tuple[int, float, float]]:
    rows = []
    for node in range(min(most, world.fleet.n_nodes)):
        from_s = float(rng.uniform(0.0, HORIZON_US / US_PER_S))
        rows.append((node, from_s, from_s + float(rng.exponential(20.0)) + 0.1))
    return rows


def _with_more_attempts(world: World, n_more: int) -> World:
    """Repeat the last draws of luck, for so many more attempts."""
    columns = {
        field.name: np.pad(getattr(world.workload, field.name), ((0, n_more), (0, 0)), mode="edge")
        for field in fields(world.workload)
        if field.name.startswith("attempt_")
    }
    return replace(world, workload=replace(world.workload, **columns))  # type: ignore[arg-type]
