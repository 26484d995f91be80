"""From what clients and planes do about failures to the scalars of the engine."""

from hanse.agents.world import Mishaps, World
from hanse.market.engine.failure_columns import FailureRules
from hanse.market.failure_terms import FailureTerms


def checked_mishaps(world: World) -> Mishaps:
    """Return the mishaps of a world; `ValueError` if its errors have no coins."""
    rows, n_stages = world.mishaps.attempt_error.shape
    share = world.terms.failures.call_error_share
    if share > 0 and (rows == 0 or n_stages != world.workload.n_stages):
        raise ValueError(
            f"call_error_share={share} needs a coin for each attempt of {world.workload.n_stages} "
            f"stages, got attempt_error of shape {(rows, n_stages)}"
        )
    return world.mishaps


def lower_failures(terms: FailureTerms, *, n_planes: int) -> FailureRules:
    """Give each plane its share of what may wait, at least one, and each try a row of its own."""
    limit = terms.admission_limit
    return FailureRules(
        n_stale=1 + terms.retry_limit if terms.timeout_us > 0 else 0,
        error_share=terms.call_error_share,
        timeout_us=terms.timeout_us,
        retry_limit=terms.retry_limit,
        backoff_us=float(terms.backoff_us),
        backoff_growth=terms.backoff_growth,
        backoff_jitter=terms.backoff_jitter,
        admission_limit=max(1, limit // n_planes) if limit > 0 else 0,
        breaker_failures=terms.breaker_failures,
        breaker_cooldown_us=terms.breaker_cooldown_us,
    )


def retried_bound(world: World) -> int:
    """Bound the occupations that failures add: a retry each, and what breaks down or is redone."""
    failures, n_breakdowns = world.terms.failures, len(world.mishaps.breakdown_node)
    can_fail = failures.call_error_share > 0 or failures.timeout_us > 0 or n_breakdowns > 0
    n_retried = world.workload.n_stages * failures.retry_limit if can_fail else 0
    return n_retried + 2 * n_breakdowns
