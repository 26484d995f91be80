"""The checks of failing and trying again: long chains, capped retries and the metastable queue."""

from math import exp
from typing import Final

import numpy as np
from scipy.optimize import minimize_scalar

from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.engine.states import COMPLETE, LAPSED
from hanse.market.failure_terms import FailureTerms
from hanse.market.units import US_PER_S
from hanse.scenarios.selftest.checks import (
    ON_ARRIVAL,
    Check,
    close_to,
    mean_close_to,
    run_ledger,
)
from hanse.scenarios.selftest.failing_worlds import failing_world, impatient_world
from hanse.scenarios.streams import stream

_QUANTILE: Final = 3.29
"""Of the normal law, for two sides of 99.9 %; draws of jobs are independent here."""

_TIMEOUT_S: Final = 10
_HORIZON_S: Final = 24_000
_PULSE_S: Final = 1_000
_PULSE: Final = 50
_PATIENT_S: Final = 40
_SETTLED_S: Final = 12_000


def long_chains(n_jobs: int) -> list[Check]:
    """O26: n steps of success p each come off with p^n; one retry a step at .9 is p = .99."""
    checks = []
    for error_share, retries, per_step in ((0.01, 0, 0.99), (0.05, 0, 0.95), (0.1, 1, 0.99)):
        name = f"O26 50 steps that fail with {error_share}, {retries} retries: share of jobs done"
        world = failing_world(
            stream(0, name), n_jobs=n_jobs, n_stages=50, error_share=error_share, retries=retries
        )
        done = run_ledger(world, ON_ARRIVAL).job_done_us >= 0
        expected = per_step**50
        error = (expected * (1.0 - expected) / n_jobs) ** 0.5
        checks.append(close_to(name, expected, float(done.mean()), within=_QUANTILE * error))
    return checks


def capped_retries(n_jobs: int) -> list[Check]:
    """O27: with three attempts at the most, their mean is (1 - p^3) / (1 - p)."""
    checks = []
    for share in (0.02, 0.05, 0.2, 0.5):
        name = f"O27 attempts at an error share of {share}"
        world = failing_world(
            stream(0, name), n_jobs=n_jobs, n_stages=1, error_share=share, retries=2
        )
        attempts = run_ledger(world, ON_ARRIVAL).stage["retries"] + 1
        chance = np.array([1.0 - share, share * (1.0 - share), share**2])
        expected = float(chance @ [1, 2, 3])
        variance = float(chance @ np.array([1, 4, 9])) - expected**2
        error = (variance / n_jobs) ** 0.5
        mean = float(attempts.mean())
        checks.append(close_to(name, expected, mean, within=_QUANTILE * error))
        closed = (1.0 - share**3) / (1.0 - share)
        checks.append(close_to(f"{name}, in closed form", closed, expected, within=1e-12))
    return checks


def impatience_alone(n_jobs: int) -> list[Check]:
    """O17 without retries: stale work is served, so a sojourn in M/M/1 exceeds T by exp(-(1 - r)T).

    Who gives up changes nothing for those behind.
    """
    checks = []
    for per_s, timeout_s in ((0.5, 2), (0.8, 10), (0.9, 10)):
        failures = FailureTerms(timeout_us=timeout_s * US_PER_S, retry_limit=0)
        name = f"O17 share timed out at rate {per_s} after {timeout_s} s, no retries"
        world = impatient_world(
            stream(0, name),
            per_s=per_s,
            horizon_s=round(n_jobs / per_s),
            pulse=0,
            pulse_s=0,
            failures=failures,
        )
        gone = run_ledger(world, ON_ARRIVAL).stage["status"] == LAPSED
        expected = float(np.exp(-(1.0 - per_s) * timeout_s))
        checks.append(mean_close_to(name, expected, gone.astype(float)))
    return checks


def metastable_queue() -> list[Check]:
    """O17: after a pulse, an M/M/1 whose stale work is served stays down iff rate >= 1 / (R + 1).

    Below that rate what comes back, R + 1 requests for each, fits the server: the queue empties and
    clients wait little. Above, the server has no time for a request before its client gives up.
    With admission control or breakers the same rate recovers. Goodput is the share of jobs done of
    those that arrived long after the pulse.
    """
    checks = []
    for retries, rates in ((3, (0.20, 0.24, 0.30, 0.35)), (1, (0.40, 0.47, 0.55, 0.60))):
        for per_s in rates:
            recovers = per_s < 1.0 / (retries + 1)
            name = f"O17 goodput at rate {per_s}, {retries} retries, after a pulse"
            plain = FailureTerms(timeout_us=_TIMEOUT_S * US_PER_S, retry_limit=retries)
            share = settled_goodput(metastable_world(per_s, plain))
            checks.append(close_to(name, float(recovers), share, within=0.01))
    for what, terms in CURES.items():
        share = settled_goodput(metastable_world(0.35, terms))
        checks.append(close_to(f"O17 goodput at rate 0.35 with {what}", 1.0, share, within=0.02))
    return checks


def healthy_end(timeout_s: float, retries: int) -> float:
    """Return the rate beyond which no healthy state is left at a server of rate one (O17).

    Where requests and their retries come at x in all, a share p = exp(-(1 - x) timeout) of tries is
    late, and each request is sent (1 - p^(R + 1)) / (1 - p) times: the rate that x belongs to is
    greatest there.

    Examples
    --------
    >>> [round(healthy_end(10.0, retries), 3) for retries in (1, 2, 3)]
    [0.705, 0.695, 0.694]
    """

    def carried(total: float) -> float:
        late = exp(-(1.0 - total) * timeout_s)
        return total * (1.0 - late) / (1.0 - late ** (retries + 1))

    best = minimize_scalar(lambda total: -carried(total), bounds=(0.0, 1.0), method="bounded")
    return float(-best.fun)


def healthy_branch() -> list[Check]:
    """O17 from an empty start: health lasts a tenth below the end of its branch, and not above.

    Patience is four times that of the pulses: the shorter it is, the further below the end of
    the branch chance alone tips the queue over within a horizon.
    """
    checks = []
    for retries in (1, 3):
        end_per_s = healthy_end(_PATIENT_S, retries)
        plain = FailureTerms(timeout_us=_PATIENT_S * US_PER_S, retry_limit=retries)
        for share in (0.9, 1.1):
            name = f"O17 goodput at {share} of the end of health, {retries} retries"
            world = impatient_world(
                stream(0, name),
                per_s=share * end_per_s,
                horizon_s=_HORIZON_S,
                pulse=0,
                pulse_s=0,
                failures=plain,
            )
            checks.append(close_to(name, float(share < 1.0), settled_goodput(world), within=0.01))
    return checks


CURES: Final = {
    "admission control": FailureTerms(
        timeout_us=_TIMEOUT_S * US_PER_S, retry_limit=3, admission_limit=5
    ),
    "a circuit breaker": FailureTerms(
        timeout_us=_TIMEOUT_S * US_PER_S,
        retry_limit=3,
        breaker_failures=5,
        breaker_cooldown_us=120 * US_PER_S,
    ),
}
"""What every regime may have, and what ends the collapse."""


def metastable_world(per_s: float, failures: FailureTerms) -> World:
    """Build the queue of O17 with its pulse."""
    return impatient_world(
        stream(0, f"O17 {per_s} {failures.retry_limit}"),
        per_s=per_s,
        horizon_s=_HORIZON_S,
        pulse=_PULSE,
        pulse_s=_PULSE_S,
        failures=failures,
    )


def settled_goodput(world: World) -> float:
    """Return the share of jobs done of those that arrived in the second half of the horizon."""
    return goodput_between(run_ledger(world, ON_ARRIVAL), _SETTLED_S, _HORIZON_S - 100)


def goodput_between(ledger: Ledger, from_s: int, until_s: int) -> float:
    """Return the share of one-stage jobs done of those that arrived in between."""
    arrival_s = ledger.stage_fact["job_arrival_us"] / US_PER_S
    chosen = (arrival_s >= from_s) & (arrival_s < until_s)
    return float((ledger.stage["status"][chosen] == COMPLETE).mean())
