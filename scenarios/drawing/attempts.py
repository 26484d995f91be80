"""The one place that draws the luck of attempts: row = attempt ordinal, column = stage.

A stage that bounces or is done again moves to its next row, whichever regime runs it and whenever,
so the same attempt of the same stage meets the same number everywhere.
"""

import numpy as np

from hanse.market.units import Floats
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.streams import stream


def attempt_shape(scenario: Scenario, n_stages: int) -> tuple[int, int]:
    """Return (n_attempts, n_stages).

    A stage needs 1 + bounces + redos + retries rows; the rows beyond are room for regimes that draw
    anew when a result is done again.
    """
    bounces, redos = scenario.count("control.bounce_limit"), scenario.count("control.redo_limit")
    return bounces + 2 * redos + 3 + retry_rows(scenario), n_stages


def can_fail(scenario: Scenario) -> bool:
    """Say whether clients of this scenario may ever have to try again."""
    causes = ("call_error_share", "timeout_s", "admission_limit", "breakdowns_per_day")
    return any(scenario.number(f"failure.{cause}") > 0 for cause in causes)


def retry_rows(scenario: Scenario) -> int:
    """Return how many more draws each stage needs for its retries: none if nothing fails."""
    return scenario.count("failure.retry_limit") if can_fail(scenario) else 0


def draw_coins(scenario: Scenario, seed: int, name: str, *, n_stages: int) -> Floats:
    """Draw one uniform coin in [0, 1) per attempt."""
    return stream(seed, f"attempt.{name}").random(attempt_shape(scenario, n_stages))


def draw_commit_factors(scenario: Scenario, seed: int, n_stages: int) -> Floats:
    """Draw log-normal factors on the time of a commit, mean 1."""
    shape, cs2 = attempt_shape(scenario, n_stages), scenario.number("crossing.commit_cs2")
    if cs2 == 0:
        return np.ones(shape)
    return _log_normal_factors(stream(seed, "attempt.commit"), shape, variance=np.log1p(cs2))


def draw_approval_factors(scenario: Scenario, seed: int, n_stages: int) -> Floats:
    """Draw log-normal factors on the time of an approval, mean 1; none at all without spread."""
    sigma = scenario.number("crossing.approval_sigma")
    if sigma == 0:
        return np.ones((0, 0))
    shape = attempt_shape(scenario, n_stages)
    return _log_normal_factors(stream(seed, "attempt.approval"), shape, variance=sigma**2)


def draw_way_factors(scenario: Scenario, seed: int, n_stages: int) -> Floats:
    """Draw log-normal factors on the ways of messages, mean 1; none at all without jitter."""
    sigma = scenario.number("control.jitter_sigma")
    if sigma == 0:
        return np.ones((0, 0))
    shape = attempt_shape(scenario, n_stages)
    return _log_normal_factors(stream(seed, "attempt.way"), shape, variance=sigma**2)


def _log_normal_factors(
    rng: np.random.Generator, shape: tuple[int, int], *, variance: float
) -> Floats:
    """Draw log-normal factors of mean 1, given the variance of their logarithm."""
    factors = rng.standard_normal(shape)
    factors *= variance**0.5
    factors -= variance / 2.0
    return np.exp(factors, out=factors)


def draw_service_factors(scenario: Scenario, seed: int, n_stages: int) -> Floats:
    """Draw Gamma factors on the service time of a decision, mean 1; all 1 by default."""
    shape, cs2 = attempt_shape(scenario, n_stages), scenario.number("control.service_cs2")
    if cs2 == 0:
        return np.broadcast_to(1.0, shape)  # one number, whatever the shape
    return stream(seed, "attempt.service").gamma(1.0 / cs2, cs2, shape)
