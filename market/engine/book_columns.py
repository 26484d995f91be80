"""The columns of one plane's book, filled anew for each decision: what rules read and write."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hanse.market.units import Integers


class BookColumns(NamedTuple):
    """One plane's book, as columns that are filled anew for each decision.

    Requests stand in order of their index, so that all planes break ties alike; `own` lists the
    rows of the plane's own. A rule writes `assigned` (an offer) or `assigned_sink` (a sink), -1 for
    none, and the `rent_nano_usd` of each sink.
    The rest is scratch: who refused whom, the sinks that a request may ask, in bits, the requests
    and the open sinks that a clearing is about, the slot of a sink among the open ones, units
    taken, and the best values so far.
    """

    request: Integers
    is_own: Integers
    own: Integers
    held_back: Integers
    assigned: Integers
    assigned_sink: Integers
    rent_nano_usd: Integers
    refused: NDArray[np.uint8]
    to_ask: Integers
    cursor: Integers
    candidate: Integers
    slot: Integers
    open_sink: Integers
    open_capacity: Integers
    open_rent: Integers
    net_open: Integers
    candidate_sink: Integers
    taken: Integers
    best_nano_usd: Integers
