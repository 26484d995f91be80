"""The one place for supply that stays sorted between clearings: units with asks, a heap per sink.

Within a sink (region x class) units differ by their ask alone, so that any efficient clearing takes
the cheapest first. A heap per sink gives them in that order, on demand: nothing is sorted that
nobody asks for, and to take a unit or give it back costs the logarithm of the sink's units. Of
equal asks the lowest unit goes first, so that what is taken depends on what is free and not on the
order in which it became so.
"""

from typing import Final, NamedTuple

import numpy as np

from hanse.market.exchange.bid_columns import whole_column
from hanse.market.kernels import kernel
from hanse.market.units import Integers

ASK_MAX: Final = 1 << 57
"""The largest ask, in nano-USD: above it totals would not fit into int64."""
SOLD_OUT: Final = 1 << 60
"""The ask of a sink without a free unit: above all money, and small enough to be added to."""
NO_UNIT: Final = -1

_IS_FREE, _IS_TAKEN = 1, 0


class SupplyCurves(NamedTuple):
    """The units of each sink and which of them are free, from `supply_curves`.

    `first` to `first + n_free` of a sink are the rows of its heap, in `heap_ask` and `heap_unit`;
    `unit_sink`, `unit_ask` and `is_free` are by unit. Whoever holds it sees units come and go.
    """

    first: Integers
    n_free: Integers
    heap_ask: Integers
    heap_unit: Integers
    unit_sink: Integers
    unit_ask: Integers
    is_free: Integers


def supply_curves(sink: Integers, ask_nano_usd: Integers, *, n_sinks: int) -> SupplyCurves:
    """Set up the curves of units that are all free; time and memory linear in the units.

    Parameters
    ----------
    sink : of each unit, from 0 to `n_sinks` - 1; shape (n_units,).
    ask_nano_usd : the least for which each unit is to be had, at most `ASK_MAX`; shape (n_units,).

    Raises `ValueError` if shapes disagree, or a sink or an ask is out of bounds or not whole.

    Examples
    --------
    >>> curves = supply_curves(np.array([0, 1, 0]), np.array([7, 5, 4]), n_sinks=3)
    >>> next_asks(curves).tolist() == [4, 5, SOLD_OUT]
    True
    >>> take(curves, 0), take(curves, 0), take(curves, 0) == NO_UNIT
    (2, 0, True)
    >>> give_back(curves, np.array([0]))
    >>> next_asks(curves).tolist()[0]
    7
    """
    place = whole_column("sink", sink)
    if place.max(initial=-1) >= n_sinks:
        raise ValueError(f"sink must be below {n_sinks}, got {place.max()}")
    ask = _ask_column(ask_nano_usd, place.shape)
    n_units = len(place)
    curves = SupplyCurves(
        first=np.append(0, np.cumsum(np.bincount(place, minlength=n_sinks))).astype(np.int64),
        n_free=np.zeros(n_sinks, np.int64),
        heap_ask=np.zeros(n_units, np.int64),
        heap_unit=np.zeros(n_units, np.int64),
        unit_sink=place,
        unit_ask=ask,
        is_free=np.full(n_units, _IS_FREE, np.int64),
    )
    _fill_heaps(curves)
    return curves


def next_asks(curves: SupplyCurves) -> Integers:
    """Return the ask of the cheapest free unit of each sink, or `SOLD_OUT`; shape (n_sinks,)."""
    has_free = curves.n_free > 0
    asks = np.full(len(curves.n_free), SOLD_OUT, np.int64)
    asks[has_free] = curves.heap_ask[curves.first[:-1][has_free]]
    return asks


def free_units(curves: SupplyCurves, sink: int) -> Integers:
    """Return the free units of a sink, cheapest first: the curve, written out."""
    start, count = int(curves.first[sink]), int(curves.n_free[sink])
    units = curves.heap_unit[start : start + count]
    return units[np.lexsort((units, curves.unit_ask[units]))]


def take(curves: SupplyCurves, sink: int) -> int:
    """Accept the lowest ask of a sink; return its unit, or `NO_UNIT` if none is free."""
    unit = int(take_unit(curves, sink))
    if unit != NO_UNIT:
        curves.is_free[unit] = _IS_TAKEN
    return unit


def give_back(
    curves: SupplyCurves, unit: Integers, *, ask_nano_usd: Integers | None = None
) -> None:
    """Let units be free again, at a new ask if one is given.

    Parameters
    ----------
    unit : those that are free again, each taken before; shape (n,).
    ask_nano_usd : what they ask from now on; shape (n,). By default, what they asked before.

    Raises `ValueError` if a unit is unknown, free already or named twice, or an ask out of bounds;
    then nothing has changed.
    """
    units = whole_column("unit", unit)
    if units.max(initial=-1) >= len(curves.unit_ask):
        raise ValueError(f"unit must be below {len(curves.unit_ask)}, got {units.max()}")
    ask = curves.unit_ask[units] if ask_nano_usd is None else ask_nano_usd
    ask = _ask_column(ask, units.shape)
    wrong = _return_units(curves, units, ask)
    if wrong != NO_UNIT:
        raise ValueError(f"unit must name units that are taken, each of them once, got {wrong}")


def _ask_column(ask_nano_usd: Integers, shape: tuple[int, ...]) -> Integers:
    ask = whole_column("ask_nano_usd", ask_nano_usd, shape)
    if ask.max(initial=0) > ASK_MAX:
        raise ValueError(f"ask_nano_usd must be at most 2**57, got {ask.max()}")
    return ask


@kernel
def take_unit(curves: SupplyCurves, sink: int) -> int:
    """Take the cheapest unit off the heap of a sink; the caller clears its flag `is_free`."""
    start, last = curves.first[sink], curves.n_free[sink] - 1
    if last < 0:
        return NO_UNIT
    heap_ask, heap_unit = curves.heap_ask, curves.heap_unit
    unit = heap_unit[start]
    curves.n_free[sink] = last
    if last > 0:
        _sift_down(
            heap_ask, heap_unit, start, last, heap_ask[start + last], heap_unit[start + last], 0
        )
    return int(unit)


@kernel
def return_unit(curves: SupplyCurves, unit: int, ask: int) -> None:
    """Put a unit on the heap of its sink, and set its flag."""
    sink = curves.unit_sink[unit]
    start, slot = curves.first[sink], curves.n_free[sink]
    heap_ask, heap_unit = curves.heap_ask, curves.heap_unit
    curves.n_free[sink], curves.unit_ask[unit], curves.is_free[unit] = slot + 1, ask, _IS_FREE
    while slot > 0:
        above = (slot - 1) // 2
        other_ask, other = heap_ask[start + above], heap_unit[start + above]
        if other_ask < ask or (other_ask == ask and other < unit):
            break
        heap_ask[start + slot], heap_unit[start + slot] = other_ask, other
        slot = above
    heap_ask[start + slot], heap_unit[start + slot] = ask, unit


@kernel
def _return_units(curves: SupplyCurves, units: Integers, ask: Integers) -> int:
    """Return units to their heaps, or none, and then the first that is not taken."""
    is_free = curves.is_free
    for row in range(len(units)):
        if is_free[units[row]]:
            for marked in range(row):
                is_free[units[marked]] = _IS_TAKEN
            return int(units[row])
        is_free[units[row]] = _IS_FREE
    for row in range(len(units)):
        return_unit(curves, units[row], ask[row])
    return NO_UNIT


@kernel
def _fill_heaps(curves: SupplyCurves) -> None:
    """Deal all units to their sinks and order each heap from its leaves up (Floyd)."""
    first, n_free, heap_ask, heap_unit, unit_sink, unit_ask, _ = curves
    for unit in range(len(unit_sink)):
        sink = unit_sink[unit]
        row = first[sink] + n_free[sink]
        heap_ask[row], heap_unit[row] = unit_ask[unit], unit
        n_free[sink] += 1
    for sink in range(len(n_free)):
        start, size = first[sink], n_free[sink]
        for slot in range(size // 2 - 1, -1, -1):
            ask, unit = heap_ask[start + slot], heap_unit[start + slot]
            _sift_down(heap_ask, heap_unit, start, size, ask, unit, slot)


@kernel
def _sift_down(
    heap_ask: Integers, heap_unit: Integers, start: int, size: int, ask: int, unit: int, slot: int
) -> None:
    """Let an entry sink from `slot` to where it belongs in a heap of `size` entries."""
    below = 2 * slot + 1
    while below < size:
        low_ask, low = heap_ask[start + below], heap_unit[start + below]
        if below + 1 < size:
            other_ask, other = heap_ask[start + below + 1], heap_unit[start + below + 1]
            if other_ask < low_ask or (other_ask == low_ask and other < low):
                below, low_ask, low = below + 1, other_ask, other
        if ask < low_ask or (ask == low_ask and unit < low):
            break
        heap_ask[start + slot], heap_unit[start + slot] = low_ask, low
        slot, below = below, 2 * below + 1
    heap_ask[start + slot], heap_unit[start + slot] = ask, unit
