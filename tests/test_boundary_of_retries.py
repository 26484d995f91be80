"""O17 by the driver of boundaries: a queue whose stale work is served is bistable, and where."""

from dataclasses import replace
from typing import Final

import numpy as np
import pytest

from hanse.market.failure_terms import FailureTerms
from hanse.market.units import US_PER_S
from hanse.scenarios.boundary import Answer, Start, find_edge
from hanse.scenarios.failing_worlds import impatient_world
from hanse.scenarios.hysteresis import hysteresis, sweep_both_ways
from hanse.scenarios.selftest_checks import ON_ARRIVAL, run_ledger
from hanse.scenarios.selftest_failures import goodput_between
from hanse.scenarios.streams import stream

HORIZON_S: Final = 12_000
FAILURES: Final = FailureTerms(timeout_us=10 * US_PER_S, retry_limit=3)


def goodput(x: float, seed: int, start: Start, failures: FailureTerms = FAILURES) -> Answer:
    """Let requests arrive at a rate x before a server of rate one; a pulse of 50 may come first."""
    world = impatient_world(
        stream(seed, "retries"),
        per_s=x,
        horizon_s=HORIZON_S,
        pulse=50 if start is Start.OVERLOADED else 0,
        pulse_s=500,
        failures=failures,
    )
    share = goodput_between(run_ledger(world, ON_ARRIVAL), HORIZON_S // 2, HORIZON_S - 100)
    return Answer(payload_share=x * share, growth_share=0.0)


def test_o17_a_collapse_keeps_itself_alive_from_a_rate_of_one_over_the_attempts_on() -> None:
    found = {
        start: find_edge(
            goodput, low=0.15, high=0.6, seeds=range(4), tolerance=0.01, start=start
        ).transition
        for start in Start
    }
    after, before = found[Start.OVERLOADED], found[Start.EMPTY]
    assert after is not None
    assert before is not None
    # From a collapse: 1 / (R + 1) = 0.25. From health: below 0.694, where the healthy branch ends.
    assert after.location.value == pytest.approx(0.25, abs=0.03)
    assert after.location.high < before.location.low
    assert before.location.value < 0.694


def test_o17_the_area_between_the_branches_is_hysteresis_and_vanishes_without_retries() -> None:
    points = np.linspace(0.2, 0.35, 4).tolist()
    area = hysteresis(sweep_both_ways(goodput, points=points, seeds=range(4)))
    assert area.low > 0
    never_again = replace(FAILURES, retry_limit=0)

    def without(x: float, seed: int, start: Start) -> Answer:
        return goodput(x, seed, start, never_again)

    gone = hysteresis(sweep_both_ways(without, points=points, seeds=range(4)))
    assert abs(gone.value) < 0.1 * area.value
