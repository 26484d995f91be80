"""The one place where buyers' habits and a regime's way of reporting become what routers hear."""

import numpy as np

from hanse.agents.world import World
from hanse.market.engine.columns import Rows
from hanse.market.reporting import Habits, Reporting, Worth
from hanse.market.units import Floats, Integers


def with_reports(stage: Rows, world: World, reporting: Reporting) -> Rows:
    """Return the facts of stages with what their buyers say; the same rows where that is in them.

    Raises `ValueError` if a report lies below zero.
    """
    true = Worth(stage["value_usd"], stage["delay_usd_per_us"])
    n_buyers, buyer = len(world.workload.buyer_region), stage["buyer"]
    habits = Habits(
        _of_stages(world.habits.worth_share, buyer, n_buyers),
        _of_stages(world.habits.delay_scale, buyer, n_buyers),
    )
    said = true if reporting.is_truthful else reporting.report(true, habits)
    for name, column in (("usd", said.usd), ("delay_usd_per_us", said.delay_usd_per_us)):
        if len(column) and not column.min() >= 0:
            raise ValueError(f"said {name} must be at least 0, got {column.min()}")
    is_said = np.array_equal(stage["said_usd"], said.usd)
    if is_said and np.array_equal(stage["said_delay_usd_per_us"], said.delay_usd_per_us):
        return stage
    told = stage.copy()
    told["said_usd"], told["said_delay_usd_per_us"] = said.usd, said.delay_usd_per_us
    return told


def _of_stages(of_buyer: Floats, buyer: Integers, n_buyers: int) -> Floats:
    if len(of_buyer) == 0:
        return np.ones(len(buyer))
    if len(of_buyer) != n_buyers:
        raise ValueError(f"habits must have one entry per buyer ({n_buyers}), got {len(of_buyer)}")
    return np.asarray(of_buyer[buyer])
