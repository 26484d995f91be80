"""The columns of meters: what was paid of debt, and what sites under a power cap do and lose."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hanse.market.units import Floats, Integers

_SITE_FIELDS: Final = (
    "is_capped",
    "first_unit",
    "last_unit",
    "since_us",
    "rate",
    "done",
    "next_us",
    "next_unit",
)
SITE: Final = np.dtype([(name, "i8") for name in _SITE_FIELDS])
WORKER: Final = np.dtype([("record", "i8"), ("phase", "i8"), ("until", "i8"), ("begun_us", "i8")])


class DebtMeter(NamedTuple):
    """What was paid of which obligations: totals, amount times age, and paths over the horizon.

    First axis: the kinds of `debt_meter.py`; then (family, is_interest) or bins of the horizon, the
    last of which takes what lies beyond.
    """

    total_us: Integers
    area: Floats
    accrued_us: Integers
    paid_us: Integers


class PowerMeter(NamedTuple):
    """The clocks of sites under a power cap, and what work there has lost; empty without caps.

    `server_operation` is what each server of control was last busy with, with caps or without.
    `lost` counts up what a unit loses that works all the time, by operation and to the cap itself,
    as `done` of a site counts up what it does; `lost_us` is what each record has lost.
    """

    site: NDArray[np.void]
    worker: NDArray[np.void]
    lost_rate: Integers
    lost: Integers
    lost_before: Integers
    lost_us: Integers
    draw_w: Floats
    server_operation: Integers
