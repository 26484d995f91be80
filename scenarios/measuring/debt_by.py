"""The table of what was paid of debt, by operation, cause, region, jurisdiction and buyer.

It has some hundreds of rows and takes as long as all other debt, so it is made where asked for.
"""

import numpy as np

from hanse.market.accounts.debt_accounts import METERED
from hanse.market.accounts.debt_breakdown import (
    BUYER_DIMENSION,
    DIMENSIONS,
    REGION_DIMENSION,
    break_down,
)
from hanse.market.accounts.obligations import RECORDED_OBLIGATION, RECORDED_RESOURCE
from hanse.market.engine.debt_meter import OBLIGATION, RESOURCE
from hanse.market.engine.states import CAUSES, OPERATIONS
from hanse.scenarios.measuring.measures import Measured, Table

__all__ = ["debt_by"]


def debt_by(measured: Measured) -> Table:
    """Lay out what was paid of each account, one dimension after the other.

    Columns: family, resource, obligation, dimension (one of `DIMENSIONS`), member (its name) and
    paid, in whole microseconds of the resource or, for money, micro-dollars. Over the members of
    one dimension `paid` sums to the paydown of the account, exactly; dimensions are not to be
    added.
    """
    geography, n_buyers = measured.world.geography, len(measured.world.workload.buyer_region)
    rows = break_down(
        measured.ledger,
        measured.obligations,
        region_jurisdiction=geography.region_jurisdiction,
        n_families=len(measured.world.workload.family),
    )
    names = (
        OPERATIONS,
        CAUSES,
        geography.region,
        geography.jurisdiction,
        tuple(f"buyer-{k}" for k in range(n_buyers)),
    )
    assert names[REGION_DIMENSION] is geography.region, "names follow the dimensions"
    assert len(names[BUYER_DIMENSION]) == n_buyers, "likewise"
    first = np.cumsum([0, *(len(name) for name in names)])[:-1]
    every = np.array([text for name in names for text in name], dtype=object)
    resource = np.array([*(RESOURCE[k] for k in METERED), *RECORDED_RESOURCE], dtype=object)
    obligation = np.array([*(OBLIGATION[k] for k in METERED), *RECORDED_OBLIGATION], dtype=object)
    return {
        "family": np.array(measured.families, dtype=object)[rows.family],
        "resource": resource[rows.account],
        "obligation": obligation[rows.account],
        "dimension": np.array(DIMENSIONS, dtype=object)[rows.dimension],
        "member": every[first[rows.dimension] + rows.member],
        "paid": rows.paid,
    }
