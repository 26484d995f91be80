"""A border: jobs on one side and all units on the other, so that every stage has to cross."""

from dataclasses import replace
from typing import Final

import numpy as np

from hanse.agents.crossing_draws import NO_DRAWS
from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.crossings import CrossingCosts
from hanse.market.engine.columns import Rows
from hanse.market.regime import Regime
from hanse.market.units import US_PER_S
from hanse.scenarios.selftest.checks import ON_ARRIVAL, run_ledger
from hanse.scenarios.selftest.oracle_worlds import FREE_CROSSINGS
from tests.strategies import Column, with_jobs, world_of

MS: Final = 1_000
BYTES_PER_MS: Final = 1_250_000
"""At the 10 Gbit/s of the line geography."""


def border(
    arrival_s: list[float],
    crossing: CrossingCosts = FREE_CROSSINGS,
    *,
    holds: bool = False,
    work_s: float = 1.0,
    transfer_ms: int = 0,
    n_units: int = 8,
    **terms: float,
) -> World:
    """Build jobs of one buyer in the first region, and units in the second, another jurisdiction.

    Messages take half a second each way; a crossing waits for none of them unless it says so.
    """
    world = world_of(
        arrival_s=arrival_s,
        work_s=[work_s] * len(arrival_s),
        units=[1] * n_units,
        n_regions=2,
        one_way_s=0.5,
        horizon_s=max(arrival_s) + 100.0,
        **terms,
    )
    n = len(arrival_s)
    world = with_jobs(
        world,
        stage_holds=np.full(n, holds),
        stage_input_bytes=np.full(n, transfer_ms * BYTES_PER_MS),
    )
    return replace(world, crossing=crossing)


def drawn(world: World, **columns: Column) -> World:
    """Set what is drawn of crossings."""
    draws = replace(world.crossing_draws or NO_DRAWS, **columns)  # type: ignore[arg-type]
    return replace(world, crossing_draws=draws)


def revoked_at(world: World, *at_s: float) -> World:
    """Revoke what the buyer holds at these instants."""
    at_us = np.rint(np.array(at_s) * US_PER_S).astype(np.int64)
    return drawn(world, revocation_us=at_us, revocation_buyer=np.zeros(len(at_us), np.int64))


def crossed(world: World, regime: Regime = ON_ARRIVAL) -> Ledger:
    """Run a world on arrival at one hub."""
    return run_ledger(world, regime)


def in_state_ms(ledger: Ledger, state: int) -> list[float]:
    """Return how long each stage was in a state."""
    return [us / MS for us in ledger.time_us[:, state].tolist()]


def tally(ledger: Ledger, name: str) -> list[int]:
    """Return a count of each stage."""
    counts: list[int] = ledger.tally[name].tolist()
    return counts


def executions(ledger: Ledger) -> Rows:
    """Return the records of executions, in order of their stages."""
    rows = ledger.record[ledger.work]
    return rows[np.argsort(rows["stage"], kind="stable")]
