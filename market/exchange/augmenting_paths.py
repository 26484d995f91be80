"""The one place for the search of the call auction: cheapest paths through the sinks of a class.

Regions stand for sinks here: one class is cleared at a time. Each region has a guiding price, never
above what one more unit there would cost: no move of a holder from one region to another undercuts
the prices of the two. With them, every move costs zero or more, so that Dijkstra's algorithm finds
the cheapest path; it stops where a next unit, or the cheapest holder to send away, costs no more
than anything that lies beyond.

What a holder's move costs is remembered region by region. When the one who moves most cheaply has
left, the figure stays as a lower bound, and is mended by a look through the holders only if a path
would lead that way: most never do.
"""

from typing import Final, NamedTuple

import numpy as np

from hanse.market.clearing import FORBIDDEN
from hanse.market.exchange.competitive_prices import UNBOUNDED
from hanse.market.exchange.supply_curves import NO_UNIT, SOLD_OUT, SupplyCurves, take_unit
from hanse.market.kernels import kernel
from hanse.market.units import Integers

NET_VALUE_MAX: Final = 1 << 57
"""The largest net value of a request, in nano-USD."""
BUCKETS: Final = 64
"""How finely the requests of a class are sorted."""
NOBODY: Final = -1

# Rows of AuctionScratch.region: the guiding price; the ask of the next unit; how many are served.
# During a search: the cost of getting there; the price, or _SETTLED; the regions settled, in order,
# the cost of each, and from which of them it was reached (by rank).
_PRICE, _ASK, _SERVED, _COST, _KEY, _ORDER, _PAID, _FROM = range(8)
_SETTLED: Final = SOLD_OUT
_ENTRY: Final = -1


class AuctionScratch(NamedTuple):
    """Working memory of one caller, from `auction_scratch`; it holds nothing between calls.

    `order` lists the requests as `rank_requests` sorts them, and `begin` says where each class and
    bucket starts; `at` and `slot` say where a request is served and where it stands in `holder`,
    the list of each region, beside `unit`, the units taken there. `move_cost[a, b]` is the least
    that is lost when a holder at a moves to b, or in the last column is sent away, and `mover` says
    who that is.
    """

    order: Integers
    begin: Integers
    at: Integers
    slot: Integers
    holder: Integers
    unit: Integers
    move_cost: Integers
    mover: Integers
    region: Integers


def auction_scratch(max_requests: int, *, n_regions: int, n_classes: int) -> AuctionScratch:
    """Allocate the working memory for books of up to `max_requests` requests."""
    return AuctionScratch(
        order=np.zeros(max_requests, np.int64),
        begin=np.zeros(n_classes * BUCKETS + 2, np.int64),
        at=np.zeros(max_requests, np.int64),
        slot=np.zeros(max_requests, np.int64),
        holder=np.zeros((n_regions, max_requests), np.int64),
        unit=np.zeros((n_regions, max_requests), np.int64),
        move_cost=np.zeros((n_regions, n_regions + 1), np.int64),
        mover=np.zeros((n_regions, n_regions + 1), np.int64),
        region=np.zeros((8, n_regions), np.int64),
    )


@kernel
def rank_requests(
    curves: SupplyCurves, work: AuctionScratch, net_value: Integers, hardware_class: Integers
) -> None:
    """Sort requests by class, then roughly by what each would lose by being served just anywhere.

    Any order is exact. In this one those come last that make way at little cost, and paths stay
    short. Where units are short, it is the keenest first: then few are sent away again.
    """
    order, begin, at, slot = work.order, work.begin, work.at, work.slot
    n_requests, n_regions = net_value.shape
    for key in range(len(begin)):
        begin[key] = 0
    for request in range(n_requests):
        begin[hardware_class[request] + 1] += 1
    for sink in range(len(curves.n_free)):
        begin[sink // n_regions + 1] -= curves.n_free[sink]
    largest = _write_losses(work, net_value, hardware_class)
    for key in range(len(begin)):
        begin[key] = 0
    for request in range(n_requests):
        bucket = int((1.0 - slot[request] / largest) * (BUCKETS - 1))
        at[request] = hardware_class[request] * BUCKETS + bucket
        begin[at[request] + 2] += 1
    for key in range(2, len(begin)):
        begin[key] += begin[key - 1]
    for request in range(n_requests):
        order[begin[at[request] + 1]] = request
        begin[at[request] + 1] += 1
        at[request] = NOBODY


@kernel
def _write_losses(work: AuctionScratch, net_value: Integers, hardware_class: Integers) -> int:
    """Write into `slot` by what each request is ranked, and return the largest.

    `begin` has the shortage of units of each class, one entry late. Raises, before any unit is
    taken, if a net value or their total is out of bounds.
    """
    slot, begin = work.slot, work.begin
    n_requests, n_regions = net_value.shape
    keenest, lowest, largest = 0, 0, 1
    for request in range(n_requests):
        best, total, chosen = 0, 0.0, hardware_class[request]
        for place in range(n_regions):
            worth = net_value[request, place]
            best, lowest = max(best, worth), min(lowest, worth)
            total += max(0, worth)
        is_short = begin[chosen + 1] > 0
        slot[request] = best if is_short else best - int(total / n_regions)
        keenest, largest = max(keenest, best), max(largest, slot[request])
    if lowest < FORBIDDEN or keenest > NET_VALUE_MAX or keenest * float(n_requests) > 2.0**61:
        raise ValueError("net values must be from FORBIDDEN to 2**57, and sum to less than 2**61")
    return largest


@kernel
def open_regions(curves: SupplyCurves, work: AuctionScratch, base: int) -> None:
    """Empty the regions and price each at its next ask: no path undercuts that yet."""
    region, move_cost, mover = work.region, work.move_cost, work.mover
    for place in range(region.shape[1]):
        ask = _next_ask(curves, base + place)
        region[_ASK, place], region[_PRICE, place], region[_SERVED, place] = ask, ask, 0
        for onward in range(region.shape[1] + 1):
            move_cost[place, onward], mover[place, onward] = SOLD_OUT, NOBODY


@kernel
def enter(
    curves: SupplyCurves, work: AuctionScratch, net_value: Integers, request: int, base: int
) -> None:
    """Serve one request by the cheapest path, or leave it out, and raise prices to match."""
    region, move_cost = work.region, work.move_cost
    n_regions = region.shape[1]
    nearest = SOLD_OUT
    for place in range(n_regions):
        cost, key = -net_value[request, place], region[_PRICE, place]
        region[_COST, place], region[_KEY, place] = cost, key
        nearest = min(nearest, cost + key)
    best, last, is_free, n_settled = 0, NOBODY, False, 0
    while nearest < best:
        place = 0
        for other in range(n_regions):
            # A product, not a choice: this way the loop compiles to vector instructions.
            is_nearest = int(region[_COST, other] + region[_KEY, other] == nearest)
            place = max(place, other * is_nearest)
        cost = region[_COST, place]
        source = _reach(work, net_value, request, place, n_settled)
        if region[_COST, place] > cost:
            nearest = _nearest(region)
            continue
        region[_ORDER, n_settled], region[_PAID, n_settled] = place, cost
        region[_FROM, n_settled], region[_KEY, place] = source, _SETTLED
        if cost + region[_ASK, place] < best:
            best, last, is_free = cost + region[_ASK, place], n_settled, True
        if cost + move_cost[place, n_regions] < best:
            away = cost + _move_cost(work, net_value, place, n_regions)
            if away < best:
                best, last, is_free = away, n_settled, False
        n_settled += 1
        if best == nearest:
            break
        nearest = SOLD_OUT
        for other in range(n_regions):
            through = min(region[_COST, other], cost + move_cost[place, other])
            region[_COST, other] = through
            nearest = min(nearest, through + region[_KEY, other])
    for rank in range(n_settled):
        region[_PRICE, region[_ORDER, rank]] = best - region[_PAID, rank]
    if last != NOBODY:
        _augment(curves, work, net_value, request, last, is_free, base)


@kernel
def _nearest(region: Integers) -> int:
    nearest = SOLD_OUT
    for place in range(region.shape[1]):
        nearest = min(nearest, region[_COST, place] + region[_KEY, place])
    return nearest


@kernel
def _reach(
    work: AuctionScratch, net_value: Integers, request: int, place: int, n_settled: int
) -> int:
    """Return from which settled region, by rank, a region is reached; mend its cost if need be."""
    region, move_cost = work.region, work.move_cost
    cost = -net_value[request, place]
    if cost == region[_COST, place]:
        return _ENTRY
    source = _ENTRY
    for rank in range(n_settled):
        before = region[_ORDER, rank]
        if region[_PAID, rank] + move_cost[before, place] < cost:
            through = region[_PAID, rank] + _move_cost(work, net_value, before, place)
            if through < cost:
                cost, source = through, rank
    region[_COST, place] = cost
    return source


@kernel
def _move_cost(work: AuctionScratch, net_value: Integers, place: int, onward: int) -> int:
    """Return what the cheapest move costs, after a look through the holders if the mover left."""
    mover, move_cost = work.mover, work.move_cost
    if mover[place, onward] != NOBODY and work.at[mover[place, onward]] != place:
        holder = work.holder
        cheapest, who = SOLD_OUT, NOBODY
        for rank in range(work.region[_SERVED, place]):
            request = holder[place, rank]
            cost = net_value[request, place]
            if onward < net_value.shape[1]:
                cost -= net_value[request, onward]
            if cost < cheapest:
                cheapest, who = cost, request
        move_cost[place, onward], mover[place, onward] = cheapest, who
    return int(move_cost[place, onward])


@kernel
def _next_ask(curves: SupplyCurves, sink: int) -> int:
    return curves.heap_ask[curves.first[sink]] if curves.n_free[sink] > 0 else SOLD_OUT


@kernel
def _augment(
    curves: SupplyCurves,
    work: AuctionScratch,
    net_value: Integers,
    request: int,
    last: int,
    is_free: bool,
    base: int,
) -> None:
    """Move holders on along the path, from its end back to the region the request enters."""
    region = work.region
    place = region[_ORDER, last]
    if is_free:
        work.unit[place, region[_SERVED, place]] = take_unit(curves, base + place)
        region[_ASK, place] = _next_ask(curves, base + place)
    else:
        _leave(work, work.mover[place, region.shape[1]], place)
    while region[_FROM, last] != _ENTRY:
        last = region[_FROM, last]
        before = region[_ORDER, last]
        moving = work.mover[before, place]
        _leave(work, moving, before)
        _arrive(work, net_value, moving, place)
        place = before
    _arrive(work, net_value, request, place)


@kernel
def _leave(work: AuctionScratch, request: int, place: int) -> None:
    """Strike a holder off a region's list, and put the last of the list in its place."""
    region, holder, slot = work.region, work.holder, work.slot
    last = region[_SERVED, place] - 1
    moved = holder[place, last]
    holder[place, slot[request]], slot[moved] = moved, slot[request]
    region[_SERVED, place], work.at[request] = last, NOBODY


@kernel
def _arrive(work: AuctionScratch, net_value: Integers, request: int, place: int) -> None:
    """Add a holder to a region's list, and let it compete to be the one that moves on."""
    region, move_cost, mover = work.region, work.move_cost, work.mover
    count, n_regions = region[_SERVED, place], region.shape[1]
    work.holder[place, count], work.slot[request], work.at[request] = request, count, place
    region[_SERVED, place] = count + 1
    worth = net_value[request, place]
    for onward in range(n_regions):
        cost = worth - net_value[request, onward]
        is_cheaper = cost < move_cost[place, onward]
        move_cost[place, onward] = cost if is_cheaper else move_cost[place, onward]
        mover[place, onward] = request if is_cheaper else mover[place, onward]
    if worth < move_cost[place, n_regions]:
        move_cost[place, n_regions], mover[place, n_regions] = worth, request


@kernel
def award(
    work: AuctionScratch, unit: Integers, sink: Integers, start: int, end: int, base: int
) -> None:
    """Write down who got what; which unit of a sink is nobody's concern."""
    order, at, slot = work.order, work.at, work.slot
    for rank in range(start, end):
        request = order[rank]
        unit[request], sink[request] = NO_UNIT, NOBODY
        if at[request] != NOBODY:
            unit[request] = work.unit[at[request], slot[request]]
            sink[request] = base + at[request]


@kernel
def find_greatest(work: AuctionScratch, net_value: Integers, greatest: Integers, base: int) -> None:
    """Find what one more request at each region would cost: the cheapest way to make room."""
    region, move_cost = work.region, work.move_cost
    n_regions = region.shape[1]
    for place in range(n_regions):
        away = _move_cost(work, net_value, place, n_regions)
        greatest[base + place] = min(region[_ASK, place], away)
    improved = True
    while improved:
        improved = False
        for place in range(n_regions):
            bound = SOLD_OUT
            for onward in range(n_regions):
                bound = min(bound, move_cost[place, onward] + greatest[base + onward])
            if bound < greatest[base + place]:
                improved = True
                for onward in range(n_regions):
                    saving = greatest[base + place] - greatest[base + onward]
                    if move_cost[place, onward] < saving:
                        cost = _move_cost(work, net_value, place, onward)
                        greatest[base + place] -= max(0, saving - cost)
    for place in range(n_regions):
        if greatest[base + place] >= SOLD_OUT:
            greatest[base + place] = UNBOUNDED


@kernel
def find_least(
    curves: SupplyCurves,
    work: AuctionScratch,
    net_value: Integers,
    least: Integers,
    start: int,
    end: int,
    base: int,
) -> None:
    """Find what one more unit at each region would save: an ask, a move, or a request's loss."""
    region, move_cost, order, at = work.region, work.move_cost, work.order, work.at
    n_regions = region.shape[1]
    for place in range(n_regions):
        served, ask = region[_SERVED, place], 0
        if served > 0:
            ask = curves.unit_ask[work.unit[place, served - 1]]
        least[base + place] = ask
    for rank in range(start, end):
        request = order[rank]
        if at[request] == NOBODY:
            for place in range(n_regions):
                least[base + place] = max(least[base + place], net_value[request, place])
    improved = True
    while improved:
        improved = False
        for place in range(n_regions):
            most = 0
            for onward in range(n_regions):
                rise = least[base + place] - move_cost[place, onward] - least[base + onward]
                most = max(most, rise)
            if most > 0:
                improved = True
                for onward in range(n_regions):
                    bound = least[base + place] - least[base + onward]
                    if move_cost[place, onward] < bound:
                        cost = _move_cost(work, net_value, place, onward)
                        least[base + onward] += max(0, bound - cost)
