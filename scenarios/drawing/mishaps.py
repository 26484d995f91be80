"""The one place that draws what will go wrong: errors, waits to retry, nodes and sites down."""

import numpy as np

from hanse.agents.fleet import Fleet
from hanse.agents.world import Mishaps, Outages
from hanse.market.failure_terms import FailureTerms
from hanse.market.units import US_PER_S, Flags, Integers
from hanse.scenarios.drawing.attempts import can_fail, draw_coins
from hanse.scenarios.drawing.shocks import Intervals, draw_nodes_struck
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.streams import stream

_SECONDS_PER_DAY = 86_400
_NO_COINS = np.zeros((0, 0))


def failure_terms_of(scenario: Scenario) -> FailureTerms:
    """Return what every client and every plane does about failures."""
    number, count, microseconds = scenario.number, scenario.count, scenario.microseconds
    return FailureTerms(
        call_error_share=number("failure.call_error_share"),
        timeout_us=microseconds("failure.timeout_s"),
        retry_limit=count("failure.retry_limit"),
        backoff_us=microseconds("failure.backoff_s"),
        backoff_growth=number("failure.backoff_growth"),
        backoff_jitter=number("failure.backoff_jitter"),
        admission_limit=count("failure.admission_limit"),
        breaker_failures=count("failure.breaker_failures"),
        breaker_cooldown_us=microseconds("failure.breaker_cooldown_s"),
        recovery_persons=number("failure.recovery_persons"),
    )


def draw_mishaps(scenario: Scenario, seed: int, *, n_stages: int, fleet: Fleet) -> Mishaps:
    """Draw the mishaps of a world; of what never happens, no coins are drawn."""
    alone, together = (
        _draw_breakdowns(scenario, seed, fleet.n_nodes),
        draw_nodes_struck(scenario, seed, fleet),
    )
    node, from_us, until_us = _joined(
        *(np.concatenate(pair) for pair in zip(alone, together, strict=True))
    )
    jitters = scenario.number("failure.backoff_jitter") > 0 and can_fail(scenario)
    errs = scenario.number("failure.call_error_share") > 0
    errors, waits = (
        draw_coins(scenario, seed, name, n_stages=n_stages) if happens else _NO_COINS
        for name, happens in (("error", errs), ("backoff", jitters))
    )
    return Mishaps(
        attempt_error=errors,
        attempt_backoff=waits,
        breakdown_node=node,
        breakdown_from_us=from_us,
        breakdown_until_us=until_us,
    )


def _draw_breakdowns(scenario: Scenario, seed: int, n_nodes: int) -> Intervals:
    """Draw when nodes are down: a Poisson process each, exponential lengths."""
    horizon_s = scenario.number("measurement.horizon_s")
    expected = scenario.number("failure.breakdowns_per_day") * horizon_s / _SECONDS_PER_DAY
    rng = stream(seed, "failure.breakdowns")
    node = np.repeat(np.arange(n_nodes), rng.poisson(expected, n_nodes))
    from_us = np.floor(rng.random(len(node)) * horizon_s * US_PER_S).astype(np.int64)
    length_s = rng.exponential(scenario.number("failure.breakdown_s"), len(node))
    until_us = from_us + 1 + np.rint(length_s * US_PER_S).astype(np.int64)
    return node, from_us, until_us


def _joined(node: Integers, from_us: Integers, until_us: Integers) -> Intervals:
    """Sort intervals by node and beginning, and join those of a node that overlap or touch."""
    if len(node) == 0:
        return node, from_us, until_us
    order = np.lexsort((from_us, node))
    node, from_us, until_us = node[order], from_us[order], until_us[order]
    apart_us = int(until_us.max()) + 1
    latest_us = np.maximum.accumulate(node * apart_us + until_us)
    begins: Flags = np.append(True, (node * apart_us + from_us)[1:] > latest_us[:-1])
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(node)) - 1
    return node[first], from_us[first], latest_us[last] - node[first] * apart_us


def draw_outages(scenario: Scenario, seed: int, n_regions: int) -> Outages:
    """Draw when sites of control are down: each by itself, and many at once by configuration."""
    alone = _draw_own_outages(scenario, seed, n_regions)
    shared = _draw_configuration_outages(scenario, seed, n_regions)
    region, from_us, until_us = (np.concatenate(pair) for pair in zip(alone, shared, strict=True))
    return _sorted(region, from_us, until_us)


def draw_divergences(scenario: Scenario, seed: int, n_regions: int) -> Outages:
    """Draw changes of policy as a Poisson process, and how long each region has not heard of it."""
    rng, at_us = _draw_changes(scenario, seed, "failure.policy_changes")
    lag_s = rng.exponential(scenario.number("failure.policy_lag_s"), (n_regions, len(at_us)))
    from_us = np.tile(at_us, n_regions)
    until_us = from_us + np.rint(lag_s.reshape(-1) * US_PER_S).astype(np.int64)
    return _sorted(np.repeat(np.arange(n_regions), len(at_us)), from_us, until_us)


def _draw_changes(scenario: Scenario, seed: int, name: str) -> tuple[np.random.Generator, Integers]:
    """Draw when changes happen as a Poisson process; whoever draws more of them goes on there."""
    horizon_s = scenario.number("measurement.horizon_s")
    expected = scenario.number(f"{name}_per_day") * horizon_s / _SECONDS_PER_DAY
    rng = stream(seed, name)
    n_changes = int(rng.poisson(expected))
    return rng, np.floor(rng.random(n_changes) * horizon_s * US_PER_S).astype(np.int64)


def _sorted(region: Integers, from_us: Integers, until_us: Integers) -> Outages:
    order = np.lexsort((from_us, region))
    return Outages(region=region[order], from_us=from_us[order], until_us=until_us[order])


def _draw_own_outages(scenario: Scenario, seed: int, n_regions: int) -> Intervals:
    """Draw outages of each region's site as a Poisson process, with exponential lengths."""
    horizon_s = scenario.number("measurement.horizon_s")
    expected = scenario.number("control.outages_per_day") * horizon_s / _SECONDS_PER_DAY
    rng = stream(seed, "control.outages")
    region = np.repeat(np.arange(n_regions), rng.poisson(expected, n_regions))
    from_us = np.floor(rng.random(len(region)) * horizon_s * US_PER_S).astype(np.int64)
    length_s = rng.exponential(scenario.number("control.outage_s"), len(region))
    return region, from_us, from_us + np.rint(length_s * US_PER_S).astype(np.int64)


def _draw_configuration_outages(scenario: Scenario, seed: int, n_regions: int) -> Intervals:
    """Draw bad changes of configuration, each of which takes a share of all sites down at once."""
    rng, at_us = _draw_changes(scenario, seed, "failure.bad_changes")
    length_s = rng.exponential(scenario.number("failure.bad_change_s"), len(at_us))
    is_hit = rng.random((len(at_us), n_regions)) < scenario.number("failure.blast_share")
    change, region = np.nonzero(is_hit)
    until_us = at_us + np.rint(length_s * US_PER_S).astype(np.int64)
    return region, at_us[change], until_us[change]
