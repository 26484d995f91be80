"""The columns of the meter of debt: what was paid of which obligations."""

from typing import NamedTuple

from hanse.market.units import Floats, Integers


class DebtMeter(NamedTuple):
    """What was paid of which obligations: totals, amount times age, and paths over the horizon.

    First axis: the kinds of `debt_meter.py`; then (family, is_interest) or bins of the horizon, the
    last of which takes what lies beyond.
    """

    total_us: Integers
    area: Floats
    accrued_us: Integers
    paid_us: Integers
