"""Attribution: how much of what a regime loses each friction is to blame for.

Coordination loss is not a sum: two frictions together can cost more than both apart, or less. The
loss is therefore shared by Shapley's rule (Contributions to the Theory of Games II, 1953): a
friction's share is what switching it on adds, averaged over all orders in which frictions could be
switched on. Shares and what is lost without any friction add up to the loss, exactly, in each
world; the worlds are the same for every combination (common random numbers).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from math import factorial
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pandas as pd

from hanse.agents.world import World
from hanse.market.regime import Rung
from hanse.market.units import Floats
from hanse.scenarios.analysis.intervals import interval
from hanse.scenarios.draw import draw_world
from hanse.scenarios.experiment import checked_seeds
from hanse.scenarios.measuring.measures import Table
from hanse.scenarios.run import run_world, tells_welfare
from hanse.scenarios.running.batches import run_in_order
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.yardstick import Yardstick, measure_yardstick

STRUCTURE: Final = "(rule and structure)"
"""What is lost with every friction off: the rule seeks something other than the reference, or
several planes command the same units and none knows what another has under way."""

FRICTIONS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "distance": {"control_delay_scale": 0.0},
        "service": {
            "service_posted_us": 0.0,
            "service_welfare_us": 0.0,
            "service_message_us": 0.0,
            "service_edge_us": 0.0,
            "service_solve_us": 0.0,
            "receipt_verify_us": 0.0,
            "settlement_us": 0.0,
        },
        "refresh": {"refresh_interval_us": 0},
        "interval": {"clearing_interval_us": 0},
        "cheating": {"temptation_share": 0.0},
    }
)
"""Frictions of control by name, and the terms of a world that switch each off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Shares of the coordination loss of one regime.

    Attributes
    ----------
    shares : columns friction, mean, ci_low, ci_high, n, in USD per run; 95 % intervals over worlds.
        `STRUCTURE` is the row of what is lost with all of them off; the rows add up to the loss.
    by_world : shape (n_worlds, n_frictions + 1), the same world by world, `STRUCTURE` last.
    """

    shares: pd.DataFrame
    by_world: Floats


def attribute(
    scenario: Scenario,
    rung: Rung,
    *,
    seeds: Iterable[int],
    frictions: Sequence[str] = tuple(FRICTIONS),
    workers: int | None = None,
) -> Attribution:
    """Share the coordination loss of a regime among frictions; 2**len(frictions) runs per world.

    Raises
    ------
    ValueError
        If a friction is unknown, the regime tells no welfare, or the seeds are none or not
        distinct.
    """
    if not tells_welfare(rung.regime):
        raise ValueError(f"regime must tell its welfare, got {rung.name} with truthful reports")
    unknown = [name for name in frictions if name not in FRICTIONS]
    if unknown:
        raise ValueError(f"friction must be one of {', '.join(FRICTIONS)}, got {unknown[0]!r}")
    work = partial(_shares_of_seed, scenario=scenario, rung=rung, frictions=tuple(frictions))
    tasks = checked_seeds(seeds)
    rows = run_in_order(work, tasks, workers=workers)
    by_world = np.array(rows)
    over = interval(by_world.T)
    shares = pd.DataFrame(
        {
            "friction": [*frictions, STRUCTURE],
            "mean": over.mean,
            "ci_low": over.low,
            "ci_high": over.high,
            "n": over.n,
        }
    )
    return Attribution(shares=shares, by_world=by_world)


def shapley_values(worth: Mapping[frozenset[int], float], n_players: int) -> list[float]:
    """Return each player's share of the worth of all, beyond that of nobody.

    `worth` has an entry for every coalition of players 0 to n_players - 1.

    Examples
    --------
    >>> nobody, both = frozenset[int](), frozenset({0, 1})
    >>> worth = {nobody: 0.0, frozenset({0}): 1.0, frozenset({1}): 2.0, both: 5.0}
    >>> shapley_values(worth, 2)
    [2.0, 3.0]
    """
    shares = []
    for player in range(n_players):
        others = [other for other in range(n_players) if other != player]
        share = 0.0
        for size in range(n_players):
            weight = factorial(size) * factorial(n_players - size - 1) / factorial(n_players)
            for members in combinations(others, size):
                before = frozenset(members)
                share += weight * (worth[before | {player}] - worth[before])
        shares.append(share)
    return shares


def _shares_of_seed(
    seed: int, *, scenario: Scenario, rung: Rung, frictions: tuple[str, ...]
) -> list[float]:
    """Run one world under every combination of frictions and share out its loss."""
    world = draw_world(scenario, seed)
    # The reference has none of these frictions, so that it is the same with any of them off.
    yardstick = measure_yardstick(world)
    players = range(len(frictions))
    loss = {}
    for size in range(len(frictions) + 1):
        for on in combinations(players, size):
            off = [frictions[player] for player in players if player not in on]
            loss[frozenset(on)] = _loss_usd(_without(world, off), rung, yardstick)
    return [*shapley_values(loss, len(frictions)), loss[frozenset()]]


def _without(world: World, frictions: Sequence[str]) -> World:
    """Switch frictions of a world off; everything that was drawn stays as it is."""
    terms = world.terms
    for name in frictions:
        terms = replace(terms, **FRICTIONS[name])
    return replace(world, terms=terms)


def _loss_usd(world: World, rung: Rung, yardstick: Yardstick) -> float:
    """Return what the regime loses on this world against its reference, all families together."""
    result = run_world(world, rung.regime, name=rung.name, digest="-", yardstick=yardstick)
    return _total(result.tables["measures"], "coordination_loss_usd")


def _total(measures: Table, name: str) -> float:
    return float(measures["value"][measures["measure"] == name].sum())
