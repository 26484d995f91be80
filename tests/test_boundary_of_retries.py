"""O17 by the driver of boundaries: a queue whose stale work is served is bistable, and where."""

from dataclasses import replace
from typing import Final

import numpy as np
import pytest

from hanse.market.failure_terms import FailureTerms
from hanse.market.units import US_PER_S
from hanse.scenarios.growth.boundary import Answer, Ask, Start, find_edge
from hanse.scenarios.growth.hysteresis import hysteresis, sweep_both_ways
from hanse.scenarios.selftest.checks import ON_ARRIVAL, run_ledger
from hanse.scenarios.selftest.failing_worlds import impatient_world
from hanse.scenarios.selftest.failures import goodput_between, healthy_end
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


def empty_start(timeout_s: int, retries: int) -> Ask:
    """Let requests arrive before an empty server of rate one, at a share of the end of health."""
    failures = FailureTerms(timeout_us=timeout_s * US_PER_S, retry_limit=retries)

    def ask(x: float, seed: int, start: Start) -> Answer:
        return goodput(x * healthy_end(timeout_s, retries), seed, start, failures)

    return ask


def test_o17_the_end_of_the_healthy_branch_is_that_of_the_closed_form() -> None:
    found = [[healthy_end(timeout_s, retries) for retries in (1, 2, 3)] for timeout_s in (10, 20)]
    assert np.array(found) == pytest.approx(
        np.array([[0.705, 0.695, 0.694], [0.811, 0.808, 0.808]]), abs=5e-4
    )
    # Who never tries again is no burden to others: health ends where the server is full.
    assert healthy_end(10, 0) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("retries", [1, 3])
def test_o17_health_lasts_below_the_end_of_its_branch_and_nowhere_above(retries: int) -> None:
    ask = empty_start(40, retries)
    below, above = (
        [ask(share, seed, Start.EMPTY).payload_share / share for seed in range(6)]
        for share in (0.9, 1.1)
    )
    assert min(below) > 0.99 * healthy_end(40, retries)
    assert max(above) < 0.01


def test_o17_the_edge_from_health_comes_up_to_the_closed_form_as_clients_have_patience() -> None:
    edges = []
    for timeout_s in (10, 20, 40):
        ask = empty_start(timeout_s, 3)
        found = find_edge(ask, low=0.4, high=1.3, seeds=range(6), tolerance=0.02).transition
        assert found is not None
        edges.append(found.location)
    # Chance tips the queue over before its branch ends, the more rarely the longer patience is.
    assert edges[0].high < edges[1].value < edges[2].value
    assert edges[0].high < 1.0
    assert edges[2].value == pytest.approx(1.0, abs=0.06)
