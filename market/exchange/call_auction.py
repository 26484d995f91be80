"""The one place for the locational call auction: unit requests against live supply curves, exactly.

Welfare is what requests are worth where they are served, less the asks of the units that serve
them. Requests enter one by one, each by the cheapest path: take the next unit of a sink, or a
holder's unit there while that holder moves on, or is sent away. This is successive shortest paths
on the graph of the sinks of a class (Ahuja, Magnanti and Orlin, Network Flows, 1993, section 9.7;
for a request at a time Jonker and Volgenant, Computing 38, 1987, doi:10.1007/BF02278710); the
search stands in `hanse.market.exchange.augmenting_paths`. It looks at no unit but the next of each
sink, so that its work depends on the requests and the regions, and not on how many units there are.
All money is int64 nano-USD: every comparison is exact.

What is charged is the least competitive price of each sink: for a buyer of one unit its
Vickrey-Clarke-Groves payment, and never below the ask of a unit that is sold. The greatest is found
beside it; see `hanse.market.exchange.competitive_prices`.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.market.clearing import Certificate
from hanse.market.exchange.augmenting_paths import (
    BUCKETS,
    AuctionScratch,
    auction_scratch,
    award,
    enter,
    find_greatest,
    find_least,
    open_regions,
    rank_requests,
)
from hanse.market.exchange.bid_columns import money_column, whole_column
from hanse.market.exchange.competitive_prices import PriceLattice
from hanse.market.exchange.supply_curves import NO_UNIT, SupplyCurves
from hanse.market.kernels import borrow, kernel
from hanse.market.units import Floats, Integers

_COST_MAX: Final = 2.0**61


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAuction:
    """Who gets which unit, and the range of competitive prices; the least are what is paid.

    `unit` and `sink` are by request, -1 where unserved; `prices` are by sink. The certificate's
    dual counts the rent of every unit that was free, sold or not.
    """

    unit: Integers
    sink: Integers
    prices: PriceLattice
    certificate: Certificate


def net_values(
    value_nano_usd: Integers,
    *,
    origin: Integers,
    weight_nano_usd_per_us: Floats,
    rtt_us: Integers,
) -> Integers:
    """Return what each request is worth in each region: its value less the cost of distance.

    Parameters
    ----------
    value_nano_usd : of each request, served on the spot; shape (n_requests,).
    origin : region that each request comes from; shape (n_requests,).
    weight_nano_usd_per_us : cost of latency, at least 0; the product is rounded; (n_requests,).
    rtt_us : round trips; shape (n_regions, n_regions).

    Raises `ValueError` if shapes disagree, or anything is negative, out of bounds, or not whole
    where it should be.

    Examples
    --------
    >>> net_values(
    ...     np.array([900]),
    ...     origin=np.array([1]),
    ...     weight_nano_usd_per_us=np.array([0.5]),
    ...     rtt_us=np.array([[0, 80], [80, 0]]),
    ... ).tolist()
    [[860, 900]]
    """
    value = money_column("value_nano_usd", value_nano_usd)
    home = whole_column("origin", origin, value.shape)
    n_regions = len(rtt_us)
    rtt = whole_column("rtt_us", rtt_us, (n_regions, n_regions))
    weight = np.asarray(weight_nano_usd_per_us, dtype=np.float64)
    if home.max(initial=-1) >= n_regions:
        raise ValueError(f"origin must be below {n_regions}, got {home.max()}")
    if weight.shape != value.shape:
        raise ValueError(
            f"weight_nano_usd_per_us must have shape {value.shape}, got {weight.shape}"
        )
    dearest = weight.max(initial=0.0) * float(rtt.max(initial=0))
    if not (weight.min(initial=0.0) >= 0 and dearest <= _COST_MAX):
        raise ValueError("weight_nano_usd_per_us must be at least 0, and times rtt_us below 2**61")
    net_value = np.empty((len(value), n_regions), np.int64)
    _write_net_values(value, home, weight, rtt, net_value)
    return net_value


def call_auction(
    curves: SupplyCurves,
    net_value_nano_usd: Integers,
    *,
    hardware_class: Integers,
    scratch: AuctionScratch | None = None,
) -> CallAuction:
    """Clear a book of requests for one unit each, and take the units sold off the curves.

    Welfare and prices do not depend on the order of rows. Ties: a request that adds nothing goes
    unserved.

    Parameters
    ----------
    curves : the supply; sink = class * n_regions + region. The units sold are taken: give them
        back, with `hanse.market.exchange.supply_curves.give_back`, when they are free again.
    net_value_nano_usd : value less all costs but the ask; shape (n_requests, n_regions); from
        `hanse.market.clearing.FORBIDDEN`, where law rules a region out, to 2**57.
    hardware_class : of each request; shape (n_requests,). It takes units of no other class.
    scratch : from `auction_scratch`, for a caller that clears often; made here by default.

    Raises `ValueError` if shapes disagree, or a class or a net value is out of bounds; then no unit
    has been taken.

    Examples
    --------
    Two requests want the cheap unit of region 0; who gains least elsewhere stays.

    >>> from hanse.market.exchange.supply_curves import supply_curves
    >>> curves = supply_curves(np.array([0, 0, 1]), np.array([1, 6, 2]), n_sinks=2)
    >>> book = np.array([[9, 8], [9, 3]])
    >>> cleared = call_auction(curves, book, hardware_class=np.array([0, 0]))
    >>> cleared.sink.tolist(), cleared.unit.tolist(), cleared.certificate.primal_nano_usd
    ([1, 0], [2, 0], 14)
    >>> cleared.prices.least_nano_usd.tolist(), cleared.prices.greatest_nano_usd.tolist()
    ([3, 2], [6, 5])
    """
    net_value = np.ascontiguousarray(net_value_nano_usd)
    classes = _checked_classes(curves, net_value, hardware_class)
    n_requests, n_regions = net_value.shape
    n_sinks = len(curves.n_free)
    if scratch is None:
        scratch = auction_scratch(n_requests, n_regions=n_regions, n_classes=n_sinks // n_regions)
    _check_scratch(scratch, n_requests, n_regions, n_sinks)
    unit, sink = np.empty(n_requests, np.int64), np.empty(n_requests, np.int64)
    least, greatest = np.empty(n_sinks, np.int64), np.empty(n_sinks, np.int64)
    clear_call(curves, net_value, classes, scratch, unit, sink, least, greatest)
    accept(curves, classes, unit, n_regions)
    proof = Certificate(*map(int, auction_certificate(curves, net_value, classes, unit, least)))
    assert proof.gap_nano_usd == 0, f"the auction is not optimal: {proof}"
    return CallAuction(
        unit=unit,
        sink=sink,
        prices=PriceLattice(least_nano_usd=least, greatest_nano_usd=greatest),
        certificate=proof,
    )


def _checked_classes(
    curves: SupplyCurves, net_value: Integers, hardware_class: Integers
) -> Integers:
    if net_value.ndim != 2 or net_value.dtype != np.int64:
        raise ValueError(
            f"net_value_nano_usd must be int64 of two dimensions, got {net_value.dtype} of shape "
            f"{net_value.shape}"
        )
    n_requests, n_regions = net_value.shape
    n_sinks = len(curves.n_free)
    if n_regions == 0 or n_sinks % n_regions:
        raise ValueError(f"n_regions must divide the {n_sinks} sinks, got {n_regions}")
    classes = whole_column("hardware_class", hardware_class, (n_requests,))
    if classes.max(initial=-1) >= n_sinks // n_regions:
        raise ValueError(
            f"hardware_class must be below {n_sinks // n_regions}, got {classes.max()}"
        )
    return classes


def _check_scratch(scratch: AuctionScratch, n_requests: int, n_regions: int, n_sinks: int) -> None:
    room = (scratch.region.shape[1], len(scratch.begin))
    needed = (n_regions, n_sinks // n_regions * BUCKETS + 2)
    if room != needed or len(scratch.order) < n_requests:
        raise ValueError("scratch must be made for these regions and classes and as many requests")


@kernel
def _write_net_values(
    value: Integers, origin: Integers, weight: Floats, rtt_us: Integers, net_value: Integers
) -> None:
    for request in range(len(value)):
        worth, home, per_us = value[request], origin[request], weight[request]
        for region in range(len(rtt_us)):
            net_value[request, region] = worth - int(np.rint(per_us * rtt_us[home, region]))


@kernel
def clear_call(
    curves: SupplyCurves,
    net_value: Integers,
    hardware_class: Integers,
    scratch: AuctionScratch,
    unit: Integers,
    sink: Integers,
    least: Integers,
    greatest: Integers,
) -> None:
    """Award units to requests so that welfare is largest, and find both ends of the prices.

    `unit` and `sink`, by request, and `least` and `greatest`, by sink, are written. The units are
    off their heaps, and flagged as taken by `accept`.
    """
    work, supply = borrow(scratch), borrow(curves)
    n_regions = net_value.shape[1]
    rank_requests(supply, work, net_value, hardware_class)
    order, begin = work.order, work.begin
    for chosen in range(len(curves.n_free) // n_regions):
        base = chosen * n_regions
        start, end = begin[chosen * BUCKETS], begin[(chosen + 1) * BUCKETS]
        open_regions(supply, work, base)
        for rank in range(start, end):
            enter(supply, work, net_value, order[rank], base)
        award(work, unit, sink, start, end, base)
        find_greatest(work, net_value, greatest, base)
        find_least(supply, work, net_value, least, start, end, base)


@kernel
def accept(curves: SupplyCurves, hardware_class: Integers, unit: Integers, n_regions: int) -> None:
    """Flag the units sold as taken; raise where one is sold twice, not free or of another class."""
    for request in range(len(unit)):
        sold = unit[request]
        if sold != NO_UNIT:
            base, sink = hardware_class[request] * n_regions, curves.unit_sink[sold]
            if not curves.is_free[sold] or not base <= sink < base + n_regions:
                raise ValueError("a unit must be free, of the request's class and sold once")
            curves.is_free[sold] = 0


@kernel
def auction_certificate(
    curves: SupplyCurves,
    net_value: Integers,
    hardware_class: Integers,
    unit: Integers,
    price: Integers,
) -> Certificate:
    """Compare the welfare of an auction just held with the dual bound that prices give.

    The dual, what each request would gain at these prices and the rents of all units, sold or still
    free, bounds every allocation's welfare: a gap of zero proves this one optimal. It reads asks,
    net values and who got what, and nothing of how that was found.
    """
    n_requests, n_regions = net_value.shape
    primal, dual = 0, 0
    for request in range(n_requests):
        base, surplus = hardware_class[request] * n_regions, 0
        for region in range(n_regions):
            surplus = max(surplus, net_value[request, region] - price[base + region])
        dual += surplus
        sold = unit[request]
        if sold != NO_UNIT:
            sink, ask = curves.unit_sink[sold], curves.unit_ask[sold]
            primal += net_value[request, sink - base] - ask
            dual += max(0, price[sink] - ask)
    heap_ask = curves.heap_ask
    for sink in range(len(price)):
        asked, start, rent = price[sink], curves.first[sink], 0
        if asked < 0:
            raise ValueError("a price must be at least 0 at every sink")
        for row in range(start, start + curves.n_free[sink]):
            rent += max(0, asked - heap_ask[row])
        dual += rent
    return Certificate(primal, dual, dual - primal)
