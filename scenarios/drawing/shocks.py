"""The one place that draws shocks: what strikes a world at once and from outside, whoever routes.

Each is off by default, and then leaves every draw as it is. What strikes at an instant (nodes down,
a surge) is in the tapes of one world; what the engine takes as given from the start (ways between
regions, what nodes are, who audits) needs two worlds, before and after: see `shocks`.
"""

from math import ceil
from typing import Final

import numpy as np

from hanse.agents.fleet import Fleet
from hanse.market.units import US_PER_S, Flags, Floats, Integers
from hanse.scenarios.scenario import NOTHING, Scenario
from hanse.scenarios.streams import stream
from hanse.scenarios.tables import INDEPENDENT, region_index

ALWAYS_PAYS: Final = 1e12
"""`Terms.saved_share` under which whoever is tempted cheats: the choice has been made already."""

Intervals = tuple[Integers, Integers, Integers]


def draw_nodes_struck(scenario: Scenario, seed: int, fleet: Fleet) -> Intervals:
    """Draw which nodes go down together: node, from, until.

    Of the nodes that have the owner and the class that are named, the share is struck exactly, up
    to a whole node; those that a smaller share strikes are among those of a larger one.
    """
    coin = stream(seed, "shock.down").random(fleet.n_nodes)
    named = np.flatnonzero(_are_named(scenario, fleet))
    n_struck = ceil(len(named) * scenario.number("shock.down_share"))
    node = np.sort(named[coin[named].argsort()[:n_struck]])
    from_us = scenario.microseconds("shock.down_from_s")
    length_us = scenario.microseconds("shock.down_s")
    node = node[: len(node) if length_us > 0 else 0]
    return node, np.full(len(node), from_us), np.full(len(node), from_us + length_us)


def draw_surge_us(scenario: Scenario, seed: int) -> Integers:
    """Draw when the jobs of a surge arrive: as many as asked for, evenly within its time.

    Those of a smaller surge are among those of a larger one; what the horizon cuts off is gone.
    """
    n_jobs = scenario.count("shock.surge_jobs")
    within_s = stream(seed, "shock.surge").random(n_jobs) * scenario.number("shock.surge_s")
    instants_s = scenario.number("shock.surge_from_s") + within_s
    instants_s = instants_s[instants_s < scenario.number("measurement.horizon_s")]
    return np.floor(instants_s * US_PER_S).astype(np.int64)


def nodes_shown(scenario: Scenario) -> int:
    """Return how many nodes there seem to be, the fakes among them."""
    fakes = 1.0 + scenario.number("shock.fakes_per_node")
    return round(scenario.count("fleet.nodes") * fakes)


def fake_share(scenario: Scenario) -> float:
    """Return the chance that an attempt falls to a fake: their share of all that is shown.

    No regime can tell which nodes are fake, and fakes stand, cost and are named like real nodes.
    Which node an attempt gets is then independent of what that node is, so that a coin by attempt
    stands for a mark on nodes; only that tries on one node would share their fate is lost.
    """
    fakes = scenario.number("shock.fakes_per_node")
    return fakes / (1.0 + fakes)


def detection_left(scenario: Scenario) -> float:
    """Return the chance that an audit finds a wrong result, when a ring of auditors finds none.

    Who audits is drawn by stage, and known to nobody before.
    """
    honest = 1.0 - scenario.number("shock.ring_share")
    return scenario.number("verification.audit_detection") * honest


def round_trips_left(scenario: Scenario, rtt_ms: Floats) -> Floats:
    """Return the round trips once cables between two sides are cut, shape (n_regions, n_regions).

    A share of the traffic of each pair takes the way round instead: over whichever third region
    makes it shortest, and never quicker than before. The round trip is the mean over both.
    """
    share = scenario.number("shock.cable_share")
    sides = [_regions(scenario, f"shock.cable_{side}") for side in ("from", "to")]
    if share == 0.0 or not all(len(side) for side in sides):
        return rtt_ms
    left, ends = rtt_ms.copy(), np.ix_(*sides)
    relay = np.setdiff1d(np.arange(len(rtt_ms)), np.concatenate(sides))
    over = rtt_ms[np.ix_(sides[0], relay)][:, None, :] + rtt_ms[np.ix_(sides[1], relay)][None]
    around_ms = np.maximum(rtt_ms[ends], over.min(axis=2))
    left[ends] = (1.0 - share) * rtt_ms[ends] + share * around_ms
    left[np.ix_(sides[1], sides[0])] = left[ends].T
    return left


def _are_named(scenario: Scenario, fleet: Fleet) -> Flags:
    owner, accelerator = scenario.text("shock.down_owner"), scenario.text("shock.down_class")
    if NOTHING == owner == accelerator:
        return np.zeros(fleet.n_nodes, bool)
    named = np.array([one == owner or _is_independent(one, owner) for one in fleet.owner])
    of_owner = named[fleet.node_owner] if owner != NOTHING else np.ones(fleet.n_nodes, bool)
    if accelerator == NOTHING:
        return of_owner
    of_class: Flags = fleet.node_class == fleet.accelerator_class.index(accelerator)
    return of_owner & of_class


def _is_independent(name: str, asked: str) -> bool:
    return asked == INDEPENDENT and name.startswith(f"{INDEPENDENT}-")


def _regions(scenario: Scenario, key: str) -> Integers:
    words = [word for word in scenario.words(key) if word != NOTHING]
    return np.array([region_index(word) for word in words], np.int64)
