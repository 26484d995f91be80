"""The one place for sharing what is short in proportion to orders, and what orders then become.

Units and money (int64 nano-USD) are whole, and nothing is lost in rounding.
"""

from dataclasses import dataclass

import numpy as np

from hanse.market.exchange.bid_columns import whole_column
from hanse.market.units import Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Rationing:
    """How many units each order gets, and what is paid for them."""

    granted_units: Integers
    paid_nano_usd: Integers
    received_nano_usd: int


def fixed_price_in_proportion(
    order_units: Integers, *, supply_units: int, price_nano_usd: int
) -> Rationing:
    """Grant orders at a fixed price, cut in proportion where they ask for more than there is.

    Proportional rationing (Lee, Padmanabhan and Whang, Management Science 43(4), 1997,
    doi:10.1287/mnsc.43.4.546). Whole units by largest remainder, so that no unit is left over. Not
    truthful where orders cost nothing: see `inflated_orders`.

    Budget: balanced exactly. Individual rationality: nobody is granted, or pays, more than it
    ordered. Ties: of equal remainders the first row.

    Raises `ValueError` if an order, the supply or the price is negative or not whole.

    Examples
    --------
    >>> fixed_price_in_proportion(
    ...     np.array([6, 3, 1]), supply_units=5, price_nano_usd=2
    ... ).granted_units.tolist()
    [3, 2, 0]
    """
    order = whole_column("order_units", order_units)
    if supply_units < 0 or price_nano_usd < 0:
        raise ValueError(
            f"supply_units and price_nano_usd must be at least 0, "
            f"got {supply_units}, {price_nano_usd}"
        )
    total = sum(order.tolist())
    granted = order.copy()
    if total > supply_units:
        parts = [divmod(units * supply_units, total) for units in order.tolist()]
        granted = np.array([whole for whole, _ in parts], np.int64)
        by_rest = sorted(range(len(parts)), key=lambda row: (-parts[row][1], row))
        granted[by_rest[: supply_units - int(granted.sum())]] += 1
    paid = granted * price_nano_usd
    return Rationing(granted_units=granted, paid_nano_usd=paid, received_nano_usd=int(paid.sum()))


def inflated_orders(need_units: Integers, *, supply_units: int, cap_units: int) -> Integers:
    """Return where orders end if nothing is paid for ordering and supply is shared in proportion.

    The rationing game (Lee, Padmanabhan and Whang 1997). Starting from true needs, each buyer in
    turn raises its order to the least that, cut in proportion, would still cover its need, or to
    the cap if none does; until nobody raises. Whoever needs more than its share at the cap ends
    there; if supply covers all needs, nobody raises at all.

    Raises `ValueError` if a need is negative, not whole or above the cap.

    Examples
    --------
    >>> inflated_orders(np.array([60, 60]), supply_units=100, cap_units=500).tolist()
    [500, 500]
    >>> inflated_orders(np.array([40, 60]), supply_units=100, cap_units=500).tolist()
    [40, 60]
    """
    need = whole_column("need_units", need_units).tolist()
    if max(need, default=0) > cap_units:
        raise ValueError(f"need_units must be at most cap_units = {cap_units}, got {max(need)}")
    order, raised = list(need), True
    while raised:
        raised = False
        for buyer, wanted in enumerate(need):
            others = sum(order) - order[buyer]
            enough = order[buyer]
            if wanted + others > supply_units and wanted > 0:
                # Least q with supply q / (q + others) >= wanted, rounded up to a whole unit.
                spare = supply_units - wanted
                enough = -(-wanted * others // spare) if spare > 0 else cap_units
            enough = min(enough, cap_units)
            if enough > order[buyer]:
                order[buyer], raised = enough, True
    return np.array(order, np.int64)
