"""The one place for exact clearing: who gets which unit, at what price, and the proof.

Requests each want one unit; a sink is a pool of equal units (region x class). Requests enter one
by one, the keenest first, so that few have to make way; each takes the sink where its own value
plus `label` is largest, `label[s]` being the best that can be had for one unit at s: nothing if one
is free, else the least loss of moving present holders along a chain or sending one away. This is
successive augmentation by shortest paths on the graph of sinks (Ahuja, Magnanti and Orlin, Network
Flows, 1993, section 9.7). Prices are the least competitive ones, which for unit demand are the
Vickrey-Clarke-Groves payments (Leonard, Journal of Political Economy 91(3), 1983). All money is
int64 nano-USD: every comparison is exact.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from hanse.market.kernels import kernel
from hanse.market.units import NANO_USD_PER_USD, Floats, Integers

FORBIDDEN: Final = -(1 << 62)
"""Net value of a pair that law or class rules out; any net value of zero or less acts the same."""

_NOBODY: Final = -1
_TOTAL_LIMIT_USD: Final = (1 << 62) / NANO_USD_PER_USD

# Columns of ClearingScratch.sinks: free units or _CLOSED; the label; the sink where a holder then
# moves, or the sink itself where one is sent away; the first holder; whether exchanges are filled
# in; the price; then, for each sink, gain and mover of the best exchange.
_UNITS, _LABEL, _NEXT, _FIRST, _HAS_ROW, _PRICE, _GAIN, _MOVER = range(8)
_FULL, _CLOSED = 0, -1
# Columns of ClearingScratch.holders: sink or _NOBODY; net value there; neighbours; who enters when.
_SINK, _VALUE, _AFTER, _BEFORE, _ENTRANT = range(5)


class ClearingScratch(NamedTuple):
    """Working memory of one caller, from `clearing_scratch`; it holds nothing between calls.

    The exchange s -> t of a full sink says what is gained, at best, when one holder of a unit at s
    moves to t, and who that is; s -> s, when one is sent away unserved.
    """

    sinks: Integers
    holders: Integers


class Certificate(NamedTuple):
    """Proof of optimality: no allocation is worth more than the dual, so a gap of zero is exact."""

    primal_nano_usd: int
    dual_nano_usd: int
    gap_nano_usd: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Clearing:
    """The sink of each request, or -1, and the rent of one unit of each sink."""

    assignment: Integers
    price_usd: Floats
    certificate: Certificate


def clearing_scratch(max_requests: int, n_sinks: int) -> ClearingScratch:
    """Allocate the working memory for books of up to `max_requests` over `n_sinks` sinks."""
    return ClearingScratch(
        sinks=np.zeros((n_sinks, _GAIN + 2 * n_sinks), dtype=np.int64),
        holders=np.zeros((max_requests, 5), dtype=np.int64),
    )


def clear(net_value_usd: Floats, capacity: Integers) -> Clearing:
    """Clear a book given in dollars: the notebook's door to `clear_welfare`.

    Parameters
    ----------
    net_value_usd : shape (n_requests, n_sinks); value less all real costs, rounded to nano-USD;
        -inf where forbidden.
    capacity : shape (n_sinks,); units, at least zero.

    Raises `ValueError` if shapes disagree, a capacity is negative, or a net value is NaN, +inf or
    so large that totals would not fit into int64.

    Examples
    --------
    >>> book = clear(np.array([[8.0, 4, 7], [5, 2, 3], [9, 4, 8]]), np.array([1, 1, 1]))
    >>> book.assignment.tolist(), book.price_usd.tolist()
    ([2, 1, 0], [3.0, 0.0, 2.0])
    """
    net_value, units = _nano_usd(net_value_usd), np.asarray(capacity, dtype=np.int64)
    n_requests, n_sinks = net_value.shape
    if units.shape != (n_sinks,):
        raise ValueError(f"capacity must have shape ({n_sinks},), got {units.shape}")
    if units.min(initial=0) < 0:
        raise ValueError(f"capacity must be at least 0, got {units.min()} at {units.argmin()}")
    assignment, price = np.empty(n_requests, dtype=np.int64), np.empty(n_sinks, dtype=np.int64)
    clear_welfare(net_value, units, assignment, price, clearing_scratch(n_requests, n_sinks))
    proof = Certificate(*map(int, certificate(net_value, units, assignment, price)))
    assert proof.gap_nano_usd == 0, f"clearing is not optimal: {proof}"
    return Clearing(assignment=assignment, price_usd=price / NANO_USD_PER_USD, certificate=proof)


@kernel
def clear_welfare(
    net_value: Integers,
    capacity: Integers,
    assignment: Integers,
    price: Integers,
    scratch: ClearingScratch,
) -> None:
    """Assign units so that total net value is largest, and price every sink.

    Ties: a free unit comes before an occupied one, then the lowest sink; a newcomer that adds
    nothing displaces nobody; of equal holders the latest row gives way. Welfare and prices do not
    depend on the order of rows.

    Parameters
    ----------
    net_value : nano-USD, shape (n_requests, n_sinks); only values above zero are ever served.
        The sum of each row's largest value must stay below 2**62.
    capacity : units, shape (n_sinks,); zero closes a sink, which is priced all the same.
    assignment : written; shape (n_requests,) or longer; sink or -1.
    price : written; nano-USD per unit, shape (n_sinks,); the least competitive price, that is
        what one more unit at the sink would add to welfare: zero where a unit is left over.
    scratch : from `clearing_scratch` for at least this many requests and these sinks.
    """
    sinks, holders = scratch
    n_requests, n_sinks = net_value.shape
    n_open = _open_book(capacity, sinks)
    contested, stale = False, False
    _rank(net_value, sinks, holders)
    for rank in range(n_requests):
        request = holders[rank, _ENTRANT]
        holders[request, _SINK] = _NOBODY
        sink = _best_sink(net_value, sinks, request)
        if stale and sink != _NOBODY and sinks[sink, _UNITS] == _FULL:
            _relabel(net_value, sinks, holders)
            contested, stale = True, False
            sink = _best_sink(net_value, sinks, request)
        if sink != _NOBODY:
            if sinks[sink, _UNITS] == _FULL:
                _exchange(net_value, sinks, holders, request, sink)
            else:
                _place(net_value, sinks, holders, request, sink)
            stale = stale or sinks[sink, _UNITS] == _FULL
    if contested:
        _ask(net_value, sinks, holders, _FULL)
        _spread_prices(net_value, sinks, holders)
    if n_open < n_sinks:
        _ask(net_value, sinks, holders, _CLOSED)
    # Loops, not slices: numba would copy the column first, and the kernel must not allocate.
    for request in range(n_requests):
        assignment[request] = holders[request, _SINK]
    for sink in range(n_sinks):
        price[sink] = sinks[sink, _PRICE]


@kernel
def certificate(
    net_value: Integers, capacity: Integers, assignment: Integers, price: Integers
) -> Certificate:
    """Compare welfare with the dual bound that the prices give.

    The dual, rents of all units plus what each request would gain at these prices, bounds every
    allocation's welfare (weak duality): a gap of zero proves the assignment optimal. Where it
    would prove nothing, at a negative price or an overfull sink, it raises.
    """
    primal, dual = 0, 0
    for request in range(len(net_value)):
        surplus = 0
        for sink in range(len(price)):
            surplus = max(surplus, net_value[request, sink] - price[sink])
        dual += surplus
        if assignment[request] != _NOBODY:
            primal += net_value[request, assignment[request]]
    for sink in range(len(price)):
        units_left = capacity[sink]
        for request in range(len(net_value)):
            units_left -= assignment[request] == sink
        if units_left < 0 or price[sink] < 0:
            raise ValueError("units left and price must be at least 0 at every sink")
        dual += capacity[sink] * price[sink]
    return Certificate(primal, dual, dual - primal)


@kernel
def _open_book(capacity: Integers, sinks: Integers) -> int:
    """Empty the sinks; return how many have capacity."""
    n_open = 0
    for sink in range(len(sinks)):
        sinks[sink, _UNITS] = capacity[sink] if capacity[sink] > 0 else _CLOSED
        sinks[sink, _LABEL], sinks[sink, _HAS_ROW], sinks[sink, _PRICE] = 0, 0, 0
        sinks[sink, _FIRST] = _NOBODY
        n_open += capacity[sink] > 0
    return n_open


@kernel
def _rank(net_value: Integers, sinks: Integers, holders: Integers) -> None:
    """Order the requests by the most that each could add, then by row (Shell's sort)."""
    n_requests, n_sinks = net_value.shape
    for request in range(n_requests):
        best = 0
        for sink in range(n_sinks):
            if sinks[sink, _UNITS] != _CLOSED:
                best = max(best, net_value[request, sink])
        holders[request, _VALUE], holders[request, _ENTRANT] = best, request
    gap = max(1, n_requests // 2)
    while gap > 0:
        for rank in range(gap, n_requests):
            request, slot = holders[rank, _ENTRANT], rank
            while slot >= gap:
                other = holders[slot - gap, _ENTRANT]
                lead = holders[request, _VALUE] - holders[other, _VALUE]
                if lead < 0 or (lead == 0 and other < request):
                    break
                holders[slot, _ENTRANT] = other
                slot -= gap
            holders[slot, _ENTRANT] = request
        gap //= 2


@kernel
def _best_sink(net_value: Integers, sinks: Integers, request: int) -> int:
    """Return the sink where a request adds most to welfare, or -1.

    Labels only fall as requests come in, so outdated ones are upper bounds and those of sinks
    with free units, zero, are exact: where the best sink has a free unit it is the true best.
    """
    best, choice, is_full = 0, _NOBODY, False
    for sink in range(len(sinks)):
        units = sinks[sink, _UNITS]
        if units != _CLOSED:
            gain = net_value[request, sink] + sinks[sink, _LABEL]
            if gain > best or (gain == best and is_full and units != _FULL):
                best, choice, is_full = gain, sink, units == _FULL
    return choice


@kernel
def _relabel(net_value: Integers, sinks: Integers, holders: Integers) -> None:
    """Find what one unit costs at every full sink: Bellman-Ford from free units and dismissals.

    No cycle gains anything at an optimum, so the labels converge and `_NEXT` has no loop.
    """
    _fill_rows(net_value, sinks, holders)
    for sink in range(len(sinks)):
        if sinks[sink, _UNITS] == _FULL:
            sinks[sink, _LABEL], sinks[sink, _NEXT] = sinks[sink, _GAIN + 2 * sink], sink
    improved = True
    while improved:
        improved = False
        for sink in range(len(sinks)):
            if sinks[sink, _UNITS] != _FULL:
                continue
            label, onward = sinks[sink, _LABEL], sinks[sink, _NEXT]
            for other in range(len(sinks)):
                # The diagonal never improves: a dismissal plus a label of zero or less.
                gain = sinks[sink, _GAIN + 2 * other] + sinks[other, _LABEL]
                if gain > label:
                    label, onward, improved = gain, other, True
            sinks[sink, _LABEL], sinks[sink, _NEXT] = label, onward


@kernel
def _fill_rows(net_value: Integers, sinks: Integers, holders: Integers) -> None:
    """Collect the exchanges of sinks that have become full."""
    for sink in range(len(sinks)):
        if sinks[sink, _UNITS] == _FULL and not sinks[sink, _HAS_ROW]:
            sinks[sink, _HAS_ROW] = 1
            for onward in range(len(sinks)):
                _find_exchange(net_value, sinks, holders, sink, onward)


@kernel
def _find_exchange(
    net_value: Integers, sinks: Integers, holders: Integers, sink: int, onward: int
) -> None:
    """Find the holder at `sink` whose move to `onward` gains most."""
    sinks[sink, _GAIN + 2 * onward] = FORBIDDEN
    sinks[sink, _MOVER + 2 * onward] = _NOBODY
    holder = sinks[sink, _FIRST] if sinks[onward, _UNITS] != _CLOSED else _NOBODY
    while holder != _NOBODY:
        _offer(net_value, sinks, holders, holder, onward)
        holder = holders[holder, _AFTER]


@kernel
def _offer(
    net_value: Integers, sinks: Integers, holders: Integers, holder: int, onward: int
) -> None:
    """Let a holder compete to be the one that moves from where it is to `onward`."""
    sink, value = holders[holder, _SINK], net_value[holder, onward]
    gain = (0 if onward == sink else value) - holders[holder, _VALUE]
    best, mover = sinks[sink, _GAIN + 2 * onward], sinks[sink, _MOVER + 2 * onward]
    if value > 0 and (gain > best or (gain == best and holder > mover)):
        best, mover = gain, holder
    sinks[sink, _GAIN + 2 * onward], sinks[sink, _MOVER + 2 * onward] = best, mover


@kernel
def _exchange(
    net_value: Integers, sinks: Integers, holders: Integers, request: int, sink: int
) -> None:
    """Give a request a unit of a full sink, moving holders along the chain the labels chose."""
    while request != _NOBODY:
        if sinks[sink, _UNITS] == _FULL:
            onward = sinks[sink, _NEXT]
            mover = sinks[sink, _MOVER + 2 * onward]
            _swap(net_value, sinks, holders, request, mover)
            request = mover if onward != sink else _NOBODY
            sink = onward
        else:
            _place(net_value, sinks, holders, request, sink)
            request = _NOBODY


@kernel
def _swap(
    net_value: Integers, sinks: Integers, holders: Integers, newcomer: int, mover: int
) -> None:
    """Put a newcomer in the place of a holder, and look for new movers where it was the best."""
    sink, before, after = holders[mover, _SINK], holders[mover, _BEFORE], holders[mover, _AFTER]
    holders[newcomer, _SINK], holders[newcomer, _VALUE] = sink, net_value[newcomer, sink]
    holders[newcomer, _BEFORE], holders[newcomer, _AFTER] = before, after
    holders[mover, _SINK] = _NOBODY
    if before == _NOBODY:
        sinks[sink, _FIRST] = newcomer
    else:
        holders[before, _AFTER] = newcomer
    if after != _NOBODY:
        holders[after, _BEFORE] = newcomer
    for onward in range(len(sinks)):
        if sinks[sink, _MOVER + 2 * onward] == mover:
            _find_exchange(net_value, sinks, holders, sink, onward)
        elif sinks[onward, _UNITS] != _CLOSED:
            _offer(net_value, sinks, holders, newcomer, onward)


@kernel
def _place(
    net_value: Integers, sinks: Integers, holders: Integers, request: int, sink: int
) -> None:
    """Give a request a free unit."""
    first = sinks[sink, _FIRST]
    if first != _NOBODY:
        holders[first, _BEFORE] = request
    holders[request, _AFTER], holders[request, _BEFORE] = first, _NOBODY
    holders[request, _SINK], holders[request, _VALUE] = sink, net_value[request, sink]
    sinks[sink, _FIRST] = request
    sinks[sink, _UNITS] -= 1


@kernel
def _ask(net_value: Integers, sinks: Integers, holders: Integers, state: int) -> None:
    """Raise prices of the full (or the closed) sinks until no request would rather be there.

    Holders at full sinks are left out of the first: what they ask depends on their own prices.
    """
    for request in range(net_value.shape[0]):
        held, surplus = holders[request, _SINK], 0
        if held != _NOBODY:
            surplus = holders[request, _VALUE] - sinks[held, _PRICE]
        if held == _NOBODY or state == _CLOSED or sinks[held, _UNITS] != _FULL:
            for sink in range(len(sinks)):
                if sinks[sink, _UNITS] == state:
                    demand = net_value[request, sink] - surplus
                    sinks[sink, _PRICE] = max(sinks[sink, _PRICE], demand)


@kernel
def _spread_prices(net_value: Integers, sinks: Integers, holders: Integers) -> None:
    """Raise prices of full sinks to the least fixed point at which no holder would move.

    A sink asks at least the price of any other plus what its keenest holder would gain here.
    """
    _fill_rows(net_value, sinks, holders)
    raised = True
    while raised:
        raised = False
        for sink in range(len(sinks)):
            for other in range(len(sinks)):
                if sinks[sink, _UNITS] == _FULL and sinks[other, _UNITS] == _FULL:
                    # The diagonal never raises a price: a dismissal takes the value away.
                    demand = sinks[sink, _PRICE] + sinks[sink, _GAIN + 2 * other]
                    raised |= demand > sinks[other, _PRICE]
                    sinks[other, _PRICE] = max(sinks[other, _PRICE], demand)


def _nano_usd(net_value_usd: Floats) -> Integers:
    is_forbidden = np.isneginf(net_value_usd)
    usd = np.where(is_forbidden, 0.0, net_value_usd)
    total_usd = np.abs(usd).max(initial=0.0) * len(usd)
    if not total_usd < _TOTAL_LIMIT_USD:
        raise ValueError(
            f"net_value_usd must be -inf or finite, its largest entry times the requests below "
            f"{_TOTAL_LIMIT_USD:.3g} USD, got {total_usd:.3g}"
        )
    nano_usd = np.rint(usd * NANO_USD_PER_USD).astype(np.int64)
    return np.where(is_forbidden, FORBIDDEN, nano_usd)
