"""Gangs never claim to be optimal, are never far from it unseen, and invent no price."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from hanse.market.clearing import FORBIDDEN
from hanse.market.exchange.call_auction import call_auction
from hanse.market.exchange.gangs import NO_PRICE, GangClearing, Nodes, clear_gangs
from hanse.market.exchange.supply_curves import supply_curves
from hanse.market.units import Floats, Integers

SOLVER: Final = 1e-6
"""Relative accuracy that a linear solver promises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Gangs and nodes of a small market."""

    net_value: Integers
    n_units: Integers
    hardware_class: Integers
    nodes: Nodes

    def clear(self) -> GangClearing:
        """Clear the book."""
        return clear_gangs(
            self.nodes,
            self.net_value,
            n_units=self.n_units,
            hardware_class=self.hardware_class,
        )

    def pair_gains(self) -> Integers:
        """Return what each gang gains on each node; `FORBIDDEN` where it may not run."""
        n_regions = self.net_value.shape[1]
        worth = self.net_value[:, self.nodes.sink % n_regions]
        fits = self.hardware_class[:, None] == self.nodes.sink // n_regions
        fits &= (self.n_units[:, None] <= self.nodes.n_units) & (worth > 0)
        gain = worth - self.n_units[:, None] * self.nodes.ask_nano_usd
        return np.where(fits, gain, FORBIDDEN)


def books(seed: int, count: int, *, largest_gang: int = 4) -> list[Book]:
    """Draw books of 2 to 9 gangs and 1 to 6 nodes, short of units and with units to spare."""
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(count):
        n_regions, n_classes = int(rng.integers(1, 4)), int(rng.integers(1, 3))
        n_gangs, n_nodes = int(rng.integers(2, 10)), int(rng.integers(1, 7))
        n_units = rng.integers(1, largest_gang + 1, n_gangs)
        per_unit = rng.integers(10**8, 10**10, n_gangs)
        distance = rng.integers(0, 4 * 10**9, (n_gangs, n_regions))
        net_value = (n_units * per_unit)[:, None] - distance
        net_value[rng.random(net_value.shape) < 0.1] = FORBIDDEN
        drawn.append(
            Book(
                net_value=net_value,
                n_units=n_units,
                hardware_class=rng.integers(0, n_classes, n_gangs),
                nodes=Nodes(
                    sink=rng.integers(0, n_regions * n_classes, n_nodes),
                    n_units=rng.integers(1, 7, n_nodes),
                    ask_nano_usd=rng.integers(0, 5 * 10**9, n_nodes),
                ),
            )
        )
    return drawn


def optimum(book: Book, *, whole: bool) -> float:
    """Solve the book pair by pair with another program: a share of each gang on each node."""
    gain = book.pair_gains()
    gang, node = np.nonzero(gain > 0)
    if len(gang) == 0:
        return 0.0
    once = (np.arange(len(gain))[:, None] == gang).astype(float)
    room = np.where(np.arange(gain.shape[1])[:, None] == node, book.n_units[gang], 0)
    limit = np.append(np.ones(len(gain)), book.nodes.n_units)
    worth: Floats = gain[gang, node] / 1e9
    found = milp(
        -worth,
        constraints=LinearConstraint(np.vstack([once, room]), -np.inf, limit),
        bounds=Bounds(0, 1),
        integrality=np.full(len(gang), int(whole)),
        options={"mip_rel_gap": 0.0},
    )
    assert found.success
    return float(-found.fun) * 1e9


def test_the_bound_is_the_relaxation_and_the_best_whole_allocation_lies_between() -> None:
    n_beaten, n_short, n_holes = 0, 0, 0
    for book in books(1, 400):
        cleared = book.clear()
        best, relaxed = optimum(book, whole=True), optimum(book, whole=False)
        near = SOLVER * (1.0 + relaxed)
        # Gangs share nodes in the relaxation pair by pair; ours pools the nodes of a sink.
        assert cleared.bound_nano_usd == pytest.approx(relaxed, rel=SOLVER, abs=1_000)
        assert cleared.welfare_nano_usd <= best + near
        assert best <= cleared.bound_nano_usd + near
        n_beaten += cleared.welfare_nano_usd > 0
        n_short += cleared.welfare_nano_usd < best - near
        n_holes += best < relaxed - near
    # Rounding misses the best of these books now and then; were it never, gaps would be untested.
    assert n_beaten > 300
    assert n_holes > 30
    assert 0 < n_short < 40


def test_every_gang_is_whole_in_one_node_of_its_class_that_has_room_and_is_worth_it() -> None:
    for book in books(2, 400):
        cleared = book.clear()
        served = np.flatnonzero(cleared.node >= 0)
        gains = book.pair_gains()[served, cleared.node[served]]
        assert (gains > 0).all()
        assert gains.sum() == cleared.welfare_nano_usd
        used = np.bincount(
            cleared.node[served], book.n_units[served], minlength=len(book.nodes.sink)
        )
        assert (used <= book.nodes.n_units).all()
        assert cleared.unsold.tolist() == (book.nodes.n_units - used).tolist()


def test_what_is_forgone_is_the_gap_and_who_lost_is_made_whole_exactly() -> None:
    n_gangs, n_nodes = 0, 0
    for book in books(3, 1_000):
        cleared = book.clear()
        served = np.flatnonzero(cleared.node >= 0)
        asked = book.n_units * book.nodes.ask_nano_usd[cleared.node] if len(served) else served
        forgone = cleared.gang_forgone_nano_usd.sum() + cleared.node_forgone_nano_usd.sum()
        assert forgone == cleared.gap_nano_usd
        assert (cleared.gang_forgone_nano_usd >= 0).all()
        assert (cleared.node_forgone_nano_usd >= 0).all()
        assert cleared.paid_nano_usd.sum() == cleared.received_nano_usd.sum()
        for gang in served:
            node = cleared.node[gang]
            worth = book.net_value[gang, book.nodes.sink[node] % book.net_value.shape[1]]
            level = np.flatnonzero(cleared.size == book.n_units[gang])[0]
            price = cleared.price_nano_usd[book.nodes.sink[node], level]
            assert cleared.paid_nano_usd[gang] == price * book.n_units[gang]
            loss = cleared.paid_nano_usd[gang] - worth
            assert cleared.gang_made_whole_nano_usd[gang] == max(0, loss)
            n_gangs += loss > 0
        for node in range(len(book.nodes.sink)):
            cost = sum(asked[gang] for gang in served if cleared.node[gang] == node)
            loss = cost - cleared.received_nano_usd[node]
            assert cleared.node_made_whole_nano_usd[node] == max(0, loss)
            n_nodes += loss > 0
        unserved = cleared.node < 0
        assert (cleared.gang_made_whole_nano_usd[unserved] == 0).all()
        assert (cleared.paid_nano_usd[unserved] == 0).all()
    # Else nobody would have had to be made whole.
    assert min(n_gangs, n_nodes) > 5


def test_gangs_of_one_clear_as_the_exact_auction_does() -> None:
    for book in books(4, 200, largest_gang=1):
        nodes, n_regions = book.nodes, book.net_value.shape[1]
        unit_node = np.repeat(np.arange(len(nodes.sink)), nodes.n_units)
        exact = call_auction(
            supply_curves(
                nodes.sink[unit_node], nodes.ask_nano_usd[unit_node], n_sinks=2 * n_regions
            ),
            book.net_value,
            hardware_class=book.hardware_class,
        )
        cleared = book.clear()
        assert cleared.welfare_nano_usd == exact.certificate.primal_nano_usd
        assert 0 <= cleared.gap_nano_usd <= SOLVER * (1 + cleared.welfare_nano_usd)


def test_complements_in_one_node_show_their_gap_and_who_would_rather_trade() -> None:
    # Oracle 12, as gangs: 3 for both units, 2 for either; the best is 3 and the relaxation 3.5, so
    # that no price per unit supports it: at 1.5 the smaller gang would like a unit.
    cleared = clear_gangs(
        Nodes(sink=np.array([0]), n_units=np.array([2]), ask_nano_usd=np.array([0])),
        np.array([[3_000], [2_000]]),
        n_units=np.array([2, 1]),
        hardware_class=np.array([0, 0]),
    )
    assert (cleared.welfare_nano_usd, cleared.bound_nano_usd) == (3_000, 3_500)
    assert cleared.price_nano_usd.tolist() == [[1_500, 1_500]]
    assert cleared.gang_forgone_nano_usd.tolist() == [0, 500]
    assert cleared.unsold.tolist() == [0]


def test_a_hole_too_small_for_any_gang_stays_unsold_and_its_units_have_a_price() -> None:
    # Two gangs of 3 and one node of 5: the second fits in part only. The bound sells all five
    # units at 10 each; whole gangs sell three, and the node forgoes what two units would bring.
    cleared = clear_gangs(
        Nodes(sink=np.array([0]), n_units=np.array([5]), ask_nano_usd=np.array([4])),
        np.array([[36], [30]]),
        n_units=np.array([3, 3]),
        hardware_class=np.array([0, 0]),
    )
    assert cleared.node.tolist() == [0, -1]
    assert cleared.unsold.tolist() == [2]
    assert cleared.price_nano_usd.tolist() == [[10]]
    assert (cleared.welfare_nano_usd, cleared.bound_nano_usd) == (24, 36)
    assert cleared.node_forgone_nano_usd.tolist() == [12]
    assert cleared.gang_forgone_nano_usd.tolist() == [0, 0]


def test_units_in_nodes_that_hold_larger_gangs_may_be_dearer() -> None:
    # Only the second node holds the gang of 4; the two gangs of 1 are content with the first.
    cleared = clear_gangs(
        Nodes(sink=np.array([0, 0]), n_units=np.array([2, 4]), ask_nano_usd=np.array([1, 1])),
        np.array([[80], [72], [5], [3]]),
        n_units=np.array([4, 4, 1, 1]),
        hardware_class=np.zeros(4, np.int64),
    )
    assert cleared.node.tolist() == [1, -1, 0, 0]
    small, large = cleared.price_nano_usd[0]
    assert 1 <= small <= 3
    assert 18 <= large <= 20
    assert cleared.gap_nano_usd == 0
    assert cleared.gang_made_whole_nano_usd.sum() + cleared.node_made_whole_nano_usd.sum() == 0


def test_what_no_node_holds_has_no_price_and_is_not_served() -> None:
    cleared = clear_gangs(
        Nodes(sink=np.array([0, 1]), n_units=np.array([3, 0]), ask_nano_usd=np.array([1, 1])),
        np.array([[100, 100], [50, 9]]),
        n_units=np.array([4, 2]),
        hardware_class=np.array([0, 0]),
    )
    assert cleared.node.tolist() == [-1, 0]
    assert cleared.size.tolist() == [2, 4]
    assert cleared.price_nano_usd[:, 1].tolist() == [NO_PRICE, NO_PRICE]
    assert cleared.price_nano_usd[1].tolist() == [NO_PRICE, NO_PRICE]


@pytest.mark.parametrize(("n_gangs", "n_nodes"), [(0, 0), (0, 2), (2, 0)])
def test_empty_sides_trade_nothing(n_gangs: int, n_nodes: int) -> None:
    cleared = clear_gangs(
        Nodes(
            sink=np.arange(n_nodes),
            n_units=np.full(n_nodes, 3),
            ask_nano_usd=np.zeros(n_nodes, np.int64),
        ),
        np.full((n_gangs, 2), 9),
        n_units=np.full(n_gangs, 2),
        hardware_class=np.zeros(n_gangs, np.int64),
    )
    assert cleared.node.tolist() == [-1] * n_gangs
    assert (cleared.welfare_nano_usd, cleared.bound_nano_usd) == (0, 0)
    assert cleared.unsold.tolist() == [3] * n_nodes


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_the_order_of_rows_moves_the_bound_by_no_more_than_the_solver_s_accuracy(
    seed: int, shuffle: int
) -> None:
    book = books(seed, 1)[0]
    rows = np.random.default_rng(shuffle).permutation(len(book.n_units))
    shuffled = Book(
        net_value=book.net_value[rows],
        n_units=book.n_units[rows],
        hardware_class=book.hardware_class[rows],
        nodes=book.nodes,
    )
    expected = book.clear().bound_nano_usd
    assert shuffled.clear().bound_nano_usd == pytest.approx(expected, rel=SOLVER, abs=1_000)


@pytest.mark.parametrize(
    ("net_value", "n_units", "ask", "named"),
    [
        ([[1.5]], [1], 1, "net_value_nano_usd must be int64"),
        ([[1]], [0], 1, "n_units must be at least 1"),
        ([[1]], [1, 2], 1, "n_units must have shape"),
        ([[1 << 60]], [1], 1, "sum below 2\\*\\*60"),
        ([[1]], [1], -1, "ask_nano_usd must be at least 0"),
        ([[1]], [8], 1 << 60, "ask_nano_usd times the largest gang"),
    ],
)
def test_a_book_that_means_nothing_is_refused_by_name(
    net_value: list[list[float]], n_units: list[int], ask: int, named: str
) -> None:
    nodes = Nodes(sink=np.array([0]), n_units=np.array([1]), ask_nano_usd=np.array([ask]))
    with pytest.raises(ValueError, match=named):
        clear_gangs(
            nodes,
            np.array(net_value),
            n_units=np.array(n_units),
            hardware_class=np.zeros(1, np.int64),
        )
