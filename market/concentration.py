"""The one place for whether demand can be served without some one seller."""

import numpy as np

from hanse.market.units import Flags, Floats


def residual_supply_index(supply: Floats, demand: float) -> Floats:
    """Return, for each seller, what all the others can supply over what is demanded.

    The residual supply index (Sheffrin, California ISO, 2002). For n equal sellers it is
    total (1 - 1/n) / demand.

    Parameters
    ----------
    supply : of each seller, in any unit; shape (n_sellers,).
    demand : in the same unit, above 0.

    Raises `ValueError` if demand is not positive or a supply is negative.

    Examples
    --------
    >>> residual_supply_index(np.array([30.0, 70.0]), 50.0).tolist()
    [1.4, 0.6]
    """
    units = np.asarray(supply, float)
    if not demand > 0:
        raise ValueError(f"demand must be above 0, got {demand}")
    if not units.min(initial=0.0) >= 0:
        raise ValueError(f"supply must be at least 0, got {units.min()}")
    return np.asarray((units.sum() - units) / demand)


def is_pivotal(supply: Floats, demand: float) -> Flags:
    """Say of each seller whether demand cannot be met without it: an index below 1."""
    return residual_supply_index(supply, demand) < 1.0
