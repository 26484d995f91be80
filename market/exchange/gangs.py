"""The one place for gangs: requests for several units in one node, all or nothing.

Whole gangs leave holes in nodes, so that prices per unit which support the best allocation need not
exist. What exists is the linear relaxation, in which a share of a gang may be served: its dual
prices bound the welfare of every allocation, and by how much a rounded one falls short of the bound
is known. Nothing here claims to be optimal, and the distance from it is always said.

At such prices somebody may lose by what was decided: a gang that pays more than its place is worth,
a node that is paid below its ask. Each is made whole, and that is reported, as electricity markets
do (O'Neill, Sotkiewicz, Hobbs, Rothkopf and Stewart, European Journal of Operational Research
164(1), 2005, doi:10.1016/j.ejor.2003.12.011). All money is int64 nano-USD; the bound is summed up
in whole numbers from the rounded prices, so that it holds whatever the solver's accuracy.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array

from hanse.market.clearing import FORBIDDEN
from hanse.market.exchange.bid_columns import money_column, whole_column
from hanse.market.kernels import kernel
from hanse.market.units import Flags, Floats, Integers

NO_PRICE: Final = -1
"""The price of units for gangs larger than any node of the sink: there is nothing to price."""

_TOTAL_MAX: Final = 1 << 60
_DEAREST: Final = 1 << 62
_NOWHERE: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes:
    """The free units of each node: its sink (class * n_regions + region), and its ask per unit."""

    sink: Integers
    n_units: Integers
    ask_nano_usd: Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class GangClearing:
    """Which node serves which gang, how far from the bound that is, and who is made whole.

    `node` is by gang, -1 where unserved; `unsold` is by node. `price_nano_usd` is per unit, by sink
    and by `size`, the sizes of gangs in the book: units in nodes that hold larger gangs may be
    dearer. Gangs pay it; what they forgo, and nodes, is the most each would gain at these prices
    less what it does gain, and all of that adds up to the gap. Payments are before making whole.
    """

    node: Integers
    welfare_nano_usd: int
    bound_nano_usd: int
    size: Integers
    price_nano_usd: Integers
    paid_nano_usd: Integers
    received_nano_usd: Integers
    gang_made_whole_nano_usd: Integers
    node_made_whole_nano_usd: Integers
    gang_forgone_nano_usd: Integers
    node_forgone_nano_usd: Integers
    unsold: Integers

    @property
    def gap_nano_usd(self) -> int:
        """Return how much a better allocation could add at most; zero would prove this one best."""
        return self.bound_nano_usd - self.welfare_nano_usd


class _Book(NamedTuple):
    """A checked book; `level` and `node_level` say which sizes of gang each has or holds."""

    net_value: Integers
    n_units: Integers
    sinks: Integers
    n_sinks: int
    level: Integers
    size: Integers
    node: Nodes
    node_level: Integers
    has_place: Flags


def clear_gangs(
    nodes: Nodes, net_value_nano_usd: Integers, *, n_units: Integers, hardware_class: Integers
) -> GangClearing:
    """Serve gangs by rounding the linear relaxation and filling up what is left.

    The relaxation is solved by HiGHS. Gangs are then placed whole, in three orders (the share that
    the relaxation serves, what they are worth per unit, what they are worth), each where it leaves
    most after paying ask or dual price, whichever is more; the best of the three is kept.

    Parameters
    ----------
    nodes : columns of shape (n_nodes,).
    net_value_nano_usd : what the whole gang is worth in each region, less all costs but asks; shape
        (n_gangs, n_regions). Only above zero is a gang ever served.
    n_units : size of each gang, at least 1; shape (n_gangs,).
    hardware_class : of each gang; shape (n_gangs,). It takes units of no other class.

    Raises `ValueError` if shapes disagree, a size is zero, anything is negative or not whole,
    values sum to 2**60 or more, or a gang could be asked 2**62 or more.

    Examples
    --------
    One node of two units; one gang wants both, worth 30, another either one, worth 20.

    >>> cleared = clear_gangs(
    ...     Nodes(sink=np.array([0]), n_units=np.array([2]), ask_nano_usd=np.array([0])),
    ...     np.array([[30], [20]]),
    ...     n_units=np.array([2, 1]),
    ...     hardware_class=np.array([0, 0]),
    ... )
    >>> cleared.node.tolist(), cleared.welfare_nano_usd, cleared.bound_nano_usd
    ([0, -1], 30, 35)
    >>> cleared.price_nano_usd.tolist(), cleared.gang_forgone_nano_usd.tolist()
    ([[15, 15]], [0, 5])
    """
    book = _checked(nodes, net_value_nano_usd, n_units, hardware_class)
    share, price = _relax(book)
    own_price = _price_of_levels(price, book.sinks, book.level[:, None])
    unit_price = _price_of_levels(price, book.node.sink, book.node_level)
    orders = _orders(book, share)
    attempts = [_place_all(book, share, unit_price, order) for order in orders]
    best = max(attempts, key=lambda node: _welfare(book, node))
    return _settled(book, best, price, own_price, unit_price)


def _checked(
    nodes: Nodes, net_value: Integers, n_units: Integers, hardware_class: Integers
) -> _Book:
    worth = np.ascontiguousarray(net_value)
    if worth.ndim != 2 or worth.dtype != np.int64:
        raise ValueError(
            f"net_value_nano_usd must be int64 of two dimensions, got {worth.dtype} of shape "
            f"{worth.shape}"
        )
    n_gangs, n_regions = worth.shape
    units = whole_column("n_units", n_units, (n_gangs,))
    chosen = whole_column("hardware_class", hardware_class, (n_gangs,))
    if units.min(initial=1) < 1:
        raise ValueError(f"n_units must be at least 1, got {units.min()}")
    total = sum(worth.max(axis=1, initial=0).tolist())
    if total >= _TOTAL_MAX or worth.min(initial=0) < FORBIDDEN:
        raise ValueError(f"net_value_nano_usd must be from FORBIDDEN, sum below 2**60, got {total}")
    sink = whole_column("sink", nodes.sink)
    node = Nodes(
        sink=sink,
        n_units=whole_column("n_units of nodes", nodes.n_units, sink.shape),
        ask_nano_usd=money_column("ask_nano_usd", nodes.ask_nano_usd, sink.shape),
    )
    dearest = int(node.ask_nano_usd.max(initial=0)) * int(units.max(initial=0))
    if dearest >= _DEAREST:
        raise ValueError(f"ask_nano_usd times the largest gang must be below 2**62, got {dearest}")
    size = np.unique(units)
    sinks = chosen[:, None] * n_regions + np.arange(n_regions)
    n_sinks = int(1 + max(sinks.max(initial=-1), sink.max(initial=-1)))
    node_level = np.searchsorted(size, node.n_units, side="right") - 1
    largest = np.full(n_sinks, -1)
    np.maximum.at(largest, sink, node_level)
    level = np.searchsorted(size, units)
    has_place = (worth > 0) & (largest[sinks] >= level[:, None])
    return _Book(worth, units, sinks, n_sinks, level, size, node, node_level, has_place)


def _relax(book: _Book) -> tuple[Floats, Integers]:
    """Solve the relaxation; return the share of each gang in each region, and rounded prices.

    Which shares fit is a chain of limits: gangs of a size and above must fit into the nodes that
    hold that size. The price for a size is therefore the sum of the duals of all sizes up to it.
    """
    gang, region = np.nonzero(book.has_place)
    node = np.flatnonzero(book.node_level >= 0)
    n_gangs, n_sinks, n_sizes = len(book.level), book.n_sinks, len(book.size)
    share, price = np.zeros(book.has_place.shape), np.zeros((n_sinks, n_sizes))
    if len(gang):
        scale = float(book.net_value[gang, region].max())
        limits = _limits(book, gang, region, node)
        program = linprog(
            np.append(-book.net_value[gang, region], book.node.ask_nano_usd[node]) / scale,
            A_ub=limits,
            b_ub=np.append(np.ones(n_gangs), np.zeros(n_sinks * n_sizes)),
            bounds=np.column_stack(
                [
                    np.zeros(len(gang) + len(node)),
                    np.append(np.ones(len(gang)), book.node.n_units[node]),
                ]
            ),
            method="highs",
        )
        assert program.success, program.message
        share[gang, region] = program.x[: len(gang)]
        dual = np.maximum(0.0, -program.ineqlin.marginals[n_gangs:]) * scale
        price = np.cumsum(dual.reshape(n_sinks, n_sizes), axis=1)
    holds = np.zeros((n_sinks, n_sizes), dtype=bool)
    for level in range(n_sizes):
        holds[book.node.sink[book.node_level >= level], level] = True
    return share, np.where(holds, np.rint(price).astype(np.int64), NO_PRICE)


def _limits(book: _Book, gang: Integers, region: Integers, node: Integers) -> csr_array:
    """Build the rows: at most one of each gang; then, per sink and size, units used and offered."""
    n_gangs, n_sizes, n_pairs = len(book.level), len(book.size), len(gang)
    rows, columns, entries = [gang], [np.arange(n_pairs)], [np.ones(n_pairs)]
    for level in range(n_sizes):
        pair = np.flatnonzero(book.level[gang] >= level)
        unit = np.flatnonzero(book.node_level[node] >= level)
        rows += [
            n_gangs + book.sinks[gang[pair], region[pair]] * n_sizes + level,
            n_gangs + book.node.sink[node[unit]] * n_sizes + level,
        ]
        columns += [pair, n_pairs + unit]
        entries += [book.n_units[gang[pair]].astype(float), -np.ones(len(unit))]
    shape = (n_gangs + book.n_sinks * n_sizes, n_pairs + len(node))
    return csr_array(
        (np.concatenate(entries), (np.concatenate(rows), np.concatenate(columns))), shape=shape
    )


def _price_of_levels(price: Integers, sink: Integers, level: Integers) -> Integers:
    """Look prices up; a node that holds no gang of the book has none."""
    if price.shape[1] == 0:
        return np.full(np.broadcast_shapes(sink.shape, level.shape), NO_PRICE, np.int64)
    return np.where(level < 0, NO_PRICE, price[sink, np.maximum(level, 0)])


def _orders(book: _Book, share: Floats) -> tuple[Integers, ...]:
    worth = np.where(book.has_place, book.net_value, 0).max(axis=1, initial=0)
    keys = (share.sum(axis=1), worth / book.n_units, worth.astype(float))
    return tuple(np.argsort(-key, kind="stable") for key in keys)


def _place_all(book: _Book, share: Floats, unit_price: Integers, order: Integers) -> Integers:
    """Place gangs where the relaxation has most of them, then wherever there is room."""
    left = book.node.n_units.copy()
    node = np.full(len(order), _NOWHERE, np.int64)
    in_relaxation = share >= np.maximum(share.max(axis=1, keepdims=True, initial=0.0), 1e-9)
    for allowed in (book.has_place & in_relaxation, book.has_place):
        _place(
            order,
            np.where(allowed, book.net_value, 0),
            book.n_units,
            book.sinks,
            book.node.sink,
            book.node.ask_nano_usd,
            unit_price,
            left,
            node,
        )
    return node


@kernel
def _place(
    order: Integers,
    net_value: Integers,
    n_units: Integers,
    sinks: Integers,
    node_sink: Integers,
    ask: Integers,
    unit_price: Integers,
    left: Integers,
    node: Integers,
) -> None:
    """Place each gang that has no node yet; of equal nodes the cheapest, then the fullest."""
    for gang in order:
        size, base = n_units[gang], sinks[gang, 0]
        best, chosen = FORBIDDEN, node[gang]
        is_placed = chosen != _NOWHERE
        for place in range(len(node_sink)):
            region = node_sink[place] - base
            if is_placed or left[place] < size or not 0 <= region < net_value.shape[1]:
                continue
            worth = net_value[gang, region]
            if worth > size * ask[place]:
                gain = worth - size * max(ask[place], unit_price[place])
                is_better = gain > best
                if gain == best:
                    lead = ask[chosen] - ask[place]
                    is_better = lead > 0 or (lead == 0 and left[place] < left[chosen])
                if is_better:
                    best, chosen = gain, place
        if not is_placed and chosen != _NOWHERE:
            node[gang] = chosen
            left[chosen] -= size


def _gains(book: _Book, node: Integers) -> tuple[Integers, Integers, Integers]:
    """Return the gangs served, what each is worth where it is, and what its node asks for it."""
    served = np.flatnonzero(node != _NOWHERE)
    region = book.node.sink[node[served]] - book.sinks[served, 0]
    asked = book.n_units[served] * book.node.ask_nano_usd[node[served]]
    return served, book.net_value[served, region], asked


def _welfare(book: _Book, node: Integers) -> int:
    _, worth, asked = _gains(book, node)
    return int((worth - asked).sum())


def _settled(
    book: _Book, node: Integers, price: Integers, own_price: Integers, unit_price: Integers
) -> GangClearing:
    """Let gangs pay the dual prices, and see who loses by it and who forgoes what."""
    served, worth, asked = _gains(book, node)
    n_gangs, n_nodes = len(node), len(book.node.sink)
    at = node[served]
    paid, surplus = np.zeros(n_gangs, np.int64), np.zeros(n_gangs, np.int64)
    region = book.node.sink[at] - book.sinks[served, 0]
    paid[served] = book.n_units[served] * own_price[served, region]
    surplus[served] = worth - paid[served]
    sold, received, cost = (np.zeros(n_nodes, np.int64) for _ in range(3))
    np.add.at(sold, at, book.n_units[served])
    np.add.at(received, at, paid[served])
    np.add.at(cost, at, asked)
    gain = np.where(book.has_place, book.net_value - book.n_units[:, None] * own_price, 0)
    most = gain.max(axis=1, initial=0)
    rent = book.node.n_units * np.maximum(0, unit_price - book.node.ask_nano_usd)
    return GangClearing(
        node=node,
        welfare_nano_usd=int((worth - asked).sum()),
        bound_nano_usd=int(most.sum() + rent.sum()),
        size=book.size,
        price_nano_usd=price,
        paid_nano_usd=paid,
        received_nano_usd=received,
        gang_made_whole_nano_usd=np.maximum(0, -surplus),
        node_made_whole_nano_usd=np.maximum(0, cost - received),
        gang_forgone_nano_usd=most - surplus,
        node_forgone_nano_usd=rent - (received - cost),
        unsold=book.node.n_units - sold,
    )
