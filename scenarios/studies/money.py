"""Synchronization cost in money, at the planner's prices, beside what resources cost.

The prices are a property of the world, the same for all regimes, and take seconds to work out: once
per world, by whoever asks for them, and never in a comparison.
"""

from dataclasses import dataclass
from time import perf_counter

import numpy as np

from hanse.agents.lowering import lower_facts
from hanse.agents.world import World
from hanse.market.accounts.money_at_duals import locate_cost
from hanse.market.planner import planner_bound, upper_prices
from hanse.market.regime import CENTRAL
from hanse.market.units import Floats, Integers
from hanse.scenarios.measuring.measures import Measured, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class DualPrices:
    """What a second of a unit is worth to the planner of one world.

    Attributes
    ----------
    edges_us : shape (n_bins + 1,), from 0 to the horizon.
    price_usd_per_gpu_s : shape (n_sinks, n_bins), as the solver returns them.
    upper_usd_per_gpu_s : the same shape, the upper end where there are several (`upper_prices`).
    seconds : wall time taken.
    """

    edges_us: Integers
    price_usd_per_gpu_s: Floats
    upper_usd_per_gpu_s: Floats
    seconds: float


def measure_prices(world: World, *, n_bins: int = 6) -> DualPrices:
    """Work out the planner's prices of a world, and their upper end: two linear programs."""
    started = perf_counter()
    facts, free_from_us = lower_facts(world, CENTRAL), world.fleet.node_free_from_us
    planned = planner_bound(
        facts, world.terms, free_from_us, horizon_us=world.horizon_us, n_bins=n_bins
    )
    upper = upper_prices(
        facts, world.terms, free_from_us, horizon_us=world.horizon_us, n_bins=n_bins
    )
    return DualPrices(
        edges_us=planned.edges_us,
        price_usd_per_gpu_s=planned.price_usd_per_gpu_s,
        upper_usd_per_gpu_s=upper,
        seconds=perf_counter() - started,
    )


def money_table(measured: Measured, prices: DualPrices) -> Table:
    """Lay out synchronization cost in time and in money by family, beside resource cost.

    Columns: family, sync_cost_gpu_s, of it displaced_gpu_s, sync_cost_usd at the upper end of the
    prices, sync_cost_solver_usd at those the solver returned, and resource_cost_usd.
    """
    n_families = len(measured.families) - 1
    located = locate_cost(measured.ledger, prices.edges_us, n_families=n_families)
    displaced_s = located.displaced_gpu_s.sum(axis=(1, 2))
    return {
        "family": np.array(measured.families[:n_families], dtype=object),
        "sync_cost_gpu_s": located.labelled_gpu_s.sum(axis=(1, 2)) + displaced_s,
        "displaced_gpu_s": displaced_s,
        "sync_cost_usd": located.usd(prices.upper_usd_per_gpu_s),
        "sync_cost_solver_usd": located.usd(prices.price_usd_per_gpu_s),
        "resource_cost_usd": measured.welfare.resource_usd[:n_families],
    }
